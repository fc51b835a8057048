"""Measurements that one process and the processes of a group repeat, and calls that a group refuses."""

import contextlib
import dataclasses
import datetime

import numpy as np
import torch
import torch.distributed
from torch import nn
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
