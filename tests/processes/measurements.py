"""Measurements that one process and the processes of a group repeat, and calls that a group refuses."""

import contextlib
import dataclasses
import datetime

import numpy as np
import torch
import torch.distributed
from torch import nn
from torch.distributed import fsdp
from torch.nn.parallel import DistributedDataParallel

import layerbits as lb
from layerbits.kernels import sharding
from layerbits.networks.passes.recorder import Recorder


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 2)
    )


def inputs(n=1500):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(1))


def labels(n=1500):
    return torch.arange(n) % 3


def numbers(result):
    """Return the numbers of a table, with their names, without the seconds."""
    if dataclasses.is_dataclass(result) and not hasattr(result, "rows"):
        return dataclasses.astuple(result)
    return [
        {name: value for name, value in dataclasses.asdict(row).items() if name != "seconds"} for row in result.rows
    ]


def clusters():
    generator = torch.Generator().manual_seed(2)
    centers = 10 * torch.randn(40, 5, generator=generator)
    return centers.repeat(100, 1) + torch.randn(4000, 5, generator=generator) / 10


MEASUREMENTS = {
    "mixture": lambda group: lb.mixture_information(inputs(), 0.3, tolerance=0.02, group=group),
    # A tree is faster than all pairs here.
    "clusters": lambda group: lb.mixture_information(clusters(), 0.1, tolerance=0.03, group=group),
    "histogram": lambda group: lb.pairwise_distance_histogram(inputs(), labels(), group=group),
    "profile": lambda group: lb.sigma_profile(inputs(600), [0.1, 1.0], labels=labels(600), group=group),
    "wide profile": lambda group: lb.sigma_profile(
        torch.randn(300, 200, generator=torch.Generator().manual_seed(3)), np.geomspace(0.1, 30, 8), group=group
    ),
    "profile of a network": lambda group: lb.sigma_profile(network(), inputs(600), sigmas=[0.1, 1.0], group=group),
    "network": lambda group: lb.layer_information(
        lb.noisify(network(), sigma=0.3), inputs(), labels(), draws=10, max_memory=2**20, group=group
    ),
    "neighbours": lambda group: lb.information_between_layers(
        lb.noisify(network(), sigma=0.3), inputs(), "1", "3", draws=8, group=group
    ),
    "two layers": lambda group: lb.information_between_layers(
        lb.noisify(network(), sigma=0.3), inputs(), "1", "5", draws=4, max_memory=2**20, group=group
    ),
    "decoders": lambda group: lb.layer_information(
        lb.noisify(network(), sigma=0.3), inputs(100), draws=8, decoders=[lb.NetworkDecoder(steps=20)], group=group
    ),
    "decoders of a pair": lambda group: lb.information_between_layers(
        lb.noisify(network(), sigma=0.3),
        inputs(100),
        "1",
        "5",
        draws=4,
        decoders=[lb.NetworkDecoder(steps=20)],
        group=group,
    ),
    "known channels": lambda group: lb.layer_information(network(), inputs(), labels(), sigma=0.3, group=group),
    "tolerance": lambda group: lb.layer_information(
        lb.noisify(network(), sigma=0.5), inputs(300), draws=8, tolerance=0.2, max_draws=64, group=group
    ),
}


def results(group=None):
    """Return the numbers of each measurement, and the pairs, passes and fits that this process computed."""
    found = {}
    for name, measure in MEASUREMENTS.items():
        with counted_work() as work:
            found[name] = numbers(measure(group)), dict(work)
    return found


@contextlib.contextmanager
def counted_work():
    """Count the pairs of log-sums that may be shared, the passes, and the fits of network decoders."""
    work = {"pairs": 0, "passes": 0, "fits": 0}
    log_sum, run, fit = sharding.log_sum_exp_isotropic, Recorder.run, lb.NetworkDecoder.fit

    def counting_log_sum(points, centers, *arguments, **options):
        work["pairs"] += len(points) * len(centers)
        return log_sum(points, centers, *arguments, **options)

    def counting_run(recorder, of_pass):
        work["passes"] += 1
        return run(recorder, of_pass)

    def counting_fit(decoder, signals, inputs):
        work["fits"] += 1
        fit(decoder, signals, inputs)

    sharding.log_sum_exp_isotropic, Recorder.run, lb.NetworkDecoder.fit = counting_log_sum, counting_run, counting_fit
    try:
        yield work
    finally:
        sharding.log_sum_exp_isotropic, Recorder.run, lb.NetworkDecoder.fit = log_sum, run, fit


def message(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def refusals(rank):
    """Return the messages of calls that differ between the ranks; a call ends on all ranks with an error."""
    world, x = torch.distributed.group.WORLD, inputs(100)
    other = network()
    with torch.no_grad():
        other[0].weight[0, 0] += rank  # equal on rank 0
    nan = x.clone()
    nan[0, 0] = torch.nan if rank == 1 else 0.0

    class Failing(nn.Module):
        def forward(self, values):
            if rank == 1 and len(values) > 16:
                raise RuntimeError("no power")
            return torch.tanh(values)

    normed = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
    normed[1].running_mean += rank
    for parameter in normed.parameters():
        nn.init.constant_(parameter, 0.1)
    failing = nn.Sequential(nn.Linear(6, 8), Failing(), nn.Linear(8, 2))
    for parameter in failing.parameters():
        nn.init.constant_(parameter, 0.1)
    return {
        "weights": message(lambda: lb.layer_information(other, x, sigma=0.3, group=world)),
        "buffers": message(lambda: lb.layer_information(normed, x, sigma=0.3, group=world)),
        "inputs": message(lambda: lb.layer_information(network(), x + rank, sigma=0.3, group=world)),
        "labels": message(lambda: lb.layer_information(network(), x, labels(100) * rank, sigma=0.3, group=world)),
        "draws": message(lambda: lb.layer_information(network(), x, sigma=0.3, draws=4 + rank, group=world)),
        "sigma": message(lambda: lb.layer_information(network(), x, sigma=0.3 - float(rank), group=world)),
        "threads": message(lambda: with_threads(1 + rank, lambda: lb.mixture_information(x, 0.3, group=world))),
        "one has NaN": message(lambda: lb.mixture_information(nan, 0.3, group=world)),
        "no labels": message(
            lambda: lb.layer_information(network(), x, labels(100)[: 100 - rank], sigma=0.3, group=world)
        ),
        "failing pass": message(lambda: lb.layer_information(failing, x, sigma=0.3, layers=[Failing], group=world)),
        "other call": message(
            lambda: (
                lb.mixture_information(x, 0.3, group=world) if rank else lb.pairwise_distance_histogram(x, group=world)
            )
        ),
        "a name": message(lambda: lb.mixture_information(x, 0.3, group="gloo")),
        "no member": message(
            lambda: lb.mixture_information(x, 0.3, group=torch.distributed.GroupMember.NON_GROUP_MEMBER)
        ),
        "afterwards": message(lambda: lb.mixture_information(x, 0.3, group=world)),
    }


def with_threads(number, call):
    torch.set_num_threads(number)
    try:
        return call()
    finally:
        torch.set_num_threads(1)


def trained(rank, folder, n_epochs=2):
    """Train under DistributedDataParallel with a Monitor on every rank; return its history and what it logged."""
    world, logged = torch.distributed.group.WORLD, []
    model = DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = lb.Monitor(
        model,
        inputs(200),
        labels(200),
        at=[1, 2],
        directory=f"{folder}/{rank}",
        sigma=0.3,
        log=logged.append,
        measures=["binned_entropy"],
        group=world,
    )
    for epoch in range(1, n_epochs + 1):
        optimizer.zero_grad()
        model(inputs(200)[rank::2]).square().mean().backward()
        optimizer.step()
        monitor.step(epoch)
    resumed = lb.Monitor(
        model,
        inputs(200),
        labels(200),
        at=[1, 2],
        directory=f"{folder}/{rank}",
        sigma=0.3,
        measures=["binned_entropy"],
        group=world,
    )
    tables = {epoch: numbers(table) for epoch, table in monitor.tables.items()}
    return tables, {epoch: numbers(table) for epoch, table in resumed.tables.items()}, len(logged)


def sharded(model):
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for module in model.children():
        if any(True for _ in module.parameters()):
            fsdp.fully_shard(module, mesh=mesh)
    return fsdp.fully_shard(model, mesh=mesh)


class Closure(nn.Module):
    """Reaches its module by a function, which a copy of the network shares."""

    def __init__(self):
        super().__init__()
        linear = self.linear = nn.Linear(6, 4)
        self.call = lambda values: linear(values)

    def forward(self, values):
        return torch.tanh(self.call(values))


SHARDED = {
    "noisy": lambda model, group: lb.layer_information(model, inputs(), labels(), draws=4, group=group),
    "neighbours": lambda model, group: lb.information_between_layers(model, inputs(), "1", "3", draws=4, group=group),
    "activations": lambda model, group: lb.sigma_profile(
        lb.remove_noise(model), inputs(600), sigmas=[0.1, 1.0], group=group
    ),
}


def of_sharded(rank, folder):
    """Return the numbers of a sharded network, before and after steps of training, and messages of refusals."""
    world = torch.distributed.group.WORLD
    model = sharded(lb.noisify(network(), sigma=0.3, inputs=inputs(2)))
    other = sharded(network()[: 2 + 2 * rank])
    mixed, closure = network(), sharded(nn.Sequential(Closure(), nn.Linear(4, 2)))
    fsdp.fully_shard(mixed, mp_policy=fsdp.MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    monitor = lb.Monitor(
        model, inputs(200), at=[1, 2], directory=f"{folder}/sharded", measures=["binned_entropy"], group=world
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    on_meta = monitor._problem.network.original[0].weight.is_meta
    found = {"untrained": numbers(SHARDED["noisy"](model, world)), "on meta": on_meta}
    for epoch in (1, 2):
        optimizer.zero_grad()
        model(inputs(200)[rank::2]).square().mean().backward()
        optimizer.step()
        with torch.no_grad(), lb.noise_off(model):
            model(inputs(200))  # a validation, after which the network holds whole parameters
        monitor.step(epoch)
    weights = [parameter.full_tensor().detach().numpy() for parameter in model.parameters()]
    found |= {"monitor": {epoch: numbers(table) for epoch, table in monitor.tables.items()}, "weights": weights}
    found |= {name: numbers(measure(model, world)) for name, measure in SHARDED.items()}
    found["still trains"] = model(inputs(200)).isfinite().all().item()
    return found | {
        "other networks": message(lambda: lb.layer_information(other, inputs(), sigma=0.3, group=world)),
        "mixed precision": message(lambda: lb.layer_information(mixed, inputs(), sigma=0.3, group=world)),
        "closure": message(lambda: lb.layer_information(closure, inputs(), sigma=0.3, layers="0", group=world)),
        "no group": message(lambda: lb.layer_information(model, inputs(), sigma=0.3)),
    }


def of_network_sharded_alone(rank):
    """Return the numbers of a network that is sharded in a group of one process."""
    model = sharded(lb.noisify(network(), sigma=0.3, inputs=inputs(2)))
    return numbers(SHARDED["noisy"](model, torch.distributed.group.WORLD))


def losses(rank):
    """Return the messages of calls that the last rank does not make, or makes no more because it has ended."""
    world = torch.distributed.group.WORLD
    torch.distributed.barrier()  # the ranks enter the short group together
    short = torch.distributed.new_group(timeout=datetime.timedelta(seconds=1))
    if rank == torch.distributed.get_world_size() - 1:
        torch.distributed.barrier()  # until the other ranks have waited in vain
        return {}
    no_call = message(lambda: lb.mixture_information(inputs(100), 0.3, group=short))
    torch.distributed.barrier()
    return {"no call": no_call, "ended": message(lambda: lb.mixture_information(inputs(100), 0.3, group=world))}


def measured(rank):
    """Return what this rank measures."""
    return results(torch.distributed.group.WORLD)


def trained_and_refused(rank, folder):
    """Return what this rank trains and is refused; the last rank then ends."""
    return {
        "trained": trained(rank, folder),
        "sharded": of_sharded(rank, folder),
        "refusals": refusals(rank),
        "losses": losses(rank),
    }
