"""Noisy networks that two processes train: DistributedDataParallel and fully_shard, over gloo on the CPU."""

import contextlib

import pytest
import torch
from torch import distributed, nn
from torch.distributed import fsdp
from torch.nn.parallel import DistributedDataParallel

from layerbits import layer_information, layers, noise_of, noise_off, noisify
from tests.support.networks import tanh_mlp
from tests.support.process_groups import run_in_group

RANKS = 2
CAN_SHARD = hasattr(fsdp, "fully_shard")
INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="needs torch.distributed with gloo"
)


class Reused(nn.Module):
    """Calls one activation function twice; its calls have their own noise."""

    sigma = {"activation": 0.1, "activation@2": 0.9}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.linear, self.activation = tanh_mlp(4, 4)[0], nn.Tanh()

    def forward(self, x):
        return self.linear(self.activation(self.linear(self.activation(x))))


def noisy_network():
    return noisify(tanh_mlp(4, 3, 3, 2), sigma=0.3, inputs=INPUTS)


def reused():
    return noisify(Reused(), sigma=Reused.sigma, inputs=INPUTS)


def batch(rank):
    return INPUTS[rank::RANKS]


def gradients(model, seed, inputs, off=False):
    """Return the gradients of one pass with the noise of this seed; of the whole network if it is sharded."""
    torch.manual_seed(seed)
    model.zero_grad()
    with noise_off(model) if off else contextlib.nullcontext():
        model(inputs).square().sum().backward()
    grads = [parameter.grad for parameter in model.parameters()]
    return [grad.full_tensor() if hasattr(grad, "full_tensor") else grad.clone() for grad in grads]


def with_new_noise(model):
    noise_of(model)["1"] = 0.7
    return model


def losses(model, rank):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(rank)
    values = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(batch(rank)).square().mean()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values


def message(function, *args, **options):
    """Return the class and the message of the error that a call raises."""
    try:
        function(*args, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def replicated_results(rank):
    parallel = DistributedDataParallel
    wrapped = noisify(parallel(tanh_mlp(4, 3, 3, 2)), sigma=0.3, inputs=INPUTS)
    waiting = noisify(parallel(tanh_mlp(4, 3, 3, 2)), sigma=0.3)
    trained = parallel(noisy_network())
    return {
        "gradients": gradients(parallel(noisy_network()), rank, batch(rank)),
        "gradients, wrapped first": gradients(wrapped, rank, batch(rank)),
        "gradients, waiting": gradients(waiting, rank, batch(rank)),
        "gradients, off": gradients(parallel(noisy_network()), rank, batch(rank), off=True),
        "gradients, reused": gradients(parallel(reused()), rank, batch(rank)),
        "gradients, new noise": gradients(with_new_noise(parallel(noisy_network())), rank, batch(rank)),
        "losses": losses(trained, rank),
        "trained": [parameter.detach() for parameter in trained.parameters()],
        "noisy layers": layers(trained, INPUTS).noisy,
        "measured": {row.layer for row in layer_information(trained, INPUTS, draws=4)},
    }


def sharded(model, mesh):
    for module in model.children():
        if any(True for _ in module.parameters()):
            fsdp.fully_shard(module, mesh=mesh)
    return fsdp.fully_shard(model, mesh=mesh)


def sharded_results(rank):
    mesh = distributed.device_mesh.init_device_mesh("cpu", (RANKS,))
    trained = sharded(noisy_network(), mesh)
    return {
        "gradients": gradients(sharded(noisy_network(), mesh), rank, batch(rank)),
        "gradients, off": gradients(sharded(noisy_network(), mesh), rank, batch(rank), off=True),
        "gradients, reused": gradients(sharded(reused(), mesh), rank, batch(rank)),
        "gradients, new noise": gradients(with_new_noise(sharded(noisy_network(), mesh)), rank, batch(rank)),
        "losses": losses(trained, rank),
        "noisify": message(noisify, sharded(tanh_mlp(4, 3, 3, 2), mesh), sigma=0.3, inputs=INPUTS),
        "noisify without inputs": message(noisify, sharded(tanh_mlp(4, 3, 3, 2), mesh), sigma=0.3),
        "first call": message(sharded(noisify(tanh_mlp(4, 3, 3, 2), sigma=0.3), mesh), INPUTS),
        "layers": message(layers, trained, INPUTS),
        "information": message(layer_information, trained, INPUTS, draws=4),
    }


def work(rank):
    """Return the results of one process of the group."""
    return {"replicated": replicated_results(rank), "sharded": sharded_results(rank) if CAN_SHARD else None}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the results of each process; None if one fails or waits too long."""
    return run_in_group(work, RANKS, tmp_path_factory.mktemp("processes"))


@pytest.fixture
def replicated(results):
    return [result["replicated"] for result in results]


@pytest.fixture
def shards(results):
    if not CAN_SHARD:
        pytest.skip("needs torch.distributed.fsdp.fully_shard")
    return [result["sharded"] for result in results]


def mean_gradients(make=noisy_network, **options):
    """Return the mean over ranks of the gradients that one process computes with the noise of each rank."""
    by_rank = [gradients(make(), rank, batch(rank), **options) for rank in range(RANKS)]
    return [sum(grads) / RANKS for grads in zip(*by_rank, strict=True)]


def assert_gradients(results, key, expected):
    for result in results:
        for gradient, reference in zip(result[key], expected, strict=True):
            assert torch.equal(gradient, reference)  # the mean of two numbers rounds once, in any order


WAYS = ["gradients", "gradients, wrapped first", "gradients, waiting"]


@pytest.mark.parametrize("way", WAYS)
def test_replicated_gradients_are_the_mean_over_the_noise_of_the_ranks(replicated, way):
    assert_gradients(replicated, way, mean_gradients())


def test_mean_gradients_depend_on_the_noise_of_each_rank():
    noise_of_rank_0 = [gradients(noisy_network(), 0, batch(rank)) for rank in range(RANKS)]
    means = [sum(grads) / RANKS for grads in zip(*noise_of_rank_0, strict=True)]
    assert not torch.equal(means[0], mean_gradients()[0])


def test_replicated_network_without_noise_has_the_gradients_of_the_network(replicated):
    assert_gradients(replicated, "gradients, off", mean_gradients(lambda: tanh_mlp(4, 3, 3, 2)))


def test_calls_of_a_module_of_a_replicated_network_have_their_own_noise(replicated):
    assert_gradients(replicated, "gradients, reused", mean_gradients(reused))


def test_noise_of_a_replicated_network_can_be_set(replicated):
    assert_gradients(replicated, "gradients, new noise", mean_gradients(lambda: with_new_noise(noisy_network())))


def test_replicas_train_to_the_same_parameters(replicated):
    first, second = replicated
    assert torch.tensor([first["losses"], second["losses"]]).isfinite().all()
    assert all(map(torch.equal, first["trained"], second["trained"]))


def test_replicated_network_is_observed_and_measured(replicated):
    for result in replicated:
        assert result["noisy layers"] == ("1", "3")
        assert result["measured"] == {"1", "3"}


def test_sharded_gradients_are_those_of_the_network_with_the_same_noise(shards):
    assert_gradients(shards, "gradients", mean_gradients())


def test_sharded_network_without_noise_has_the_gradients_of_the_network(shards):
    assert_gradients(shards, "gradients, off", mean_gradients(lambda: tanh_mlp(4, 3, 3, 2)))


def test_calls_of_a_module_of_a_sharded_network_have_their_own_noise(shards):
    assert_gradients(shards, "gradients, reused", mean_gradients(reused))


def test_noise_of_a_sharded_network_can_be_set(shards):
    assert_gradients(shards, "gradients, new noise", mean_gradients(lambda: with_new_noise(noisy_network())))


def test_sharded_network_trains(shards):
    assert torch.tensor([result["losses"] for result in shards]).isfinite().all()


@pytest.mark.parametrize("call", ["noisify", "noisify without inputs", "first call", "layers", "information"])
def test_observing_a_sharded_network_is_refused_with_the_remedy(shards, call):
    for result in shards:
        assert result[call].startswith("TypeError: model: got FSDP")
        assert "before the network is sharded" in result[call]
