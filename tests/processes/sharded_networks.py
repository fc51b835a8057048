"""Measurements of networks of `fully_shard`, and all that the ranks of a group return to the tests."""

import torch
import torch.distributed
from torch import nn
from torch.distributed import fsdp

import layerbits as lb
from tests.processes.measurements import inputs, labels, losses, message, network, numbers, refusals, trained


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


def trained_and_refused(rank, folder):
    """Return what this rank trains and is refused; the last rank then ends."""
    return {
        "trained": trained(rank, folder),
        "sharded": of_sharded(rank, folder),
        "refusals": refusals(rank),
        "losses": losses(rank),
    }
