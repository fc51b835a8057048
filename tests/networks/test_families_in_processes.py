"""Noisy networks of six families that two processes train: DistributedDataParallel and fully_shard, over gloo."""

import pytest
import torch
from torch import distributed, nn
from torch.distributed import fsdp
from torch.nn.parallel import DistributedDataParallel

from layerbits import noisify
from tests.support.families import FAMILIES, family, gradients
from tests.support.process_groups import run_in_group

RANKS = 2
CAN_SHARD = hasattr(fsdp, "fully_shard")

pytestmark = [
    pytest.mark.stress,
    pytest.mark.skipif(
        not (distributed.is_available() and distributed.is_gloo_available()), reason="needs torch.distributed with gloo"
    ),
]


def noisy_network(name, *, checkpoints):
    """Return a noisy network, and inputs of 2 rows for each rank."""
    model, options, inputs = family(name, checkpoints=checkpoints)
    return noisify(model, **options), inputs.chunk(RANKS)


def sharded(model):
    mesh = distributed.device_mesh.init_device_mesh("cpu", (RANKS,))
    for child in model.children():
        for module in child if isinstance(child, nn.ModuleList) else [child]:
            if any(True for _ in module.parameters()):
                fsdp.fully_shard(module, mesh=mesh)
    return fsdp.fully_shard(model, mesh=mesh)


def work(rank):
    """Return the gradients of one process of the group by family and wrapper, under checkpoints."""
    results = {}
    for name in FAMILIES:
        for wrap in (DistributedDataParallel, sharded) if CAN_SHARD else (DistributedDataParallel,):
            model, inputs = noisy_network(name, checkpoints=True)
            results[name, wrap.__name__] = gradients(wrap(model), model, inputs[rank], seed=rank)
    return results


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the results of each process; None if one fails or waits too long."""
    return run_in_group(work, RANKS, tmp_path_factory.mktemp("processes"))


@pytest.mark.parametrize("wrapper", ["DistributedDataParallel", "sharded"])
@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_under_checkpoints_are_the_mean_over_the_noise_of_the_ranks(results, name, wrapper):
    if wrapper == "sharded" and not CAN_SHARD:
        pytest.skip("needs torch.distributed.fsdp.fully_shard")
    model, inputs = noisy_network(name, checkpoints=False)
    by_rank = [[grad.clone() for grad in gradients(model, model, inputs[rank], seed=rank)] for rank in range(RANKS)]
    expected = [sum(grads) / RANKS for grads in zip(*by_rank, strict=True)]
    for result in results:
        assert all(map(torch.equal, result[name, wrapper], expected))  # the mean of two numbers rounds once
