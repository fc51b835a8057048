"""Random numbers of a network that torch does not generate anew in each pass are refused by name."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(40, 4, seed=3).float()


class Network(nn.Module):
    """A network whose first layer has the input `function(network, x)`."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.linear, self.tanh, self.head = nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)
        self.generator = torch.Generator().manual_seed(1)
        self.kept = {"python": random.Random(1), "numpy": np.random.default_rng(1)}

    def forward(self, x):
        return self.head(self.tanh(self.linear(self.function(self, x))))


def by_keyword(net, x, *, generator=np.random.default_rng(1)):  # noqa: B008 - one generator for all passes
    return x * generator.normal()


def measurements(model, tmp_path):
    noisy = lb.noisify(Network(model.function), sigma=0.3, inputs=INPUTS)
    return (
        lambda: lb.layer_information(model, INPUTS, sigma=0.3, draws=4),
        lambda: lb.layer_activations(model, INPUTS),
        lambda: lb.layer_information(noisy, INPUTS, draws=4),
        lambda: lb.propagate(noisy, INPUTS),
        lambda: lb.Monitor(model, INPUTS, at=[0], directory=tmp_path, sigma=0.3),
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda net, x: 2 * x if random.random() < 0.5 else x,
        lambda net, x: 2 * x if random.random() < 1e-9 else x,
        lambda net, x: 2 * x if np.random.rand() < 0.5 else x,  # noqa: NPY002
        lambda net, x: x + torch.tensor([[random.gauss(0, 1)] for _ in x]),
        lambda net, x: x * net.kept["python"].random(),
        lambda net, x: x * net.kept["numpy"].normal(),
        by_keyword,
    ],
    ids=["python", "rare", "numpy", "each row", "kept by a module, python", "kept by a module, numpy", "default"],
)
def test_random_numbers_of_python_and_numpy_are_refused(function, tmp_path):
    for measure in measurements(Network(function), tmp_path):
        with pytest.raises(ValueError, match=r"^model: got a network that takes random numbers .* Python or NumPy"):
            measure()


def test_use_of_the_generator_of_numpy_in_one_pass_alone_is_not_refused():
    """Another thread may use the generator during a pass; here the network does, in the third pass."""
    calls = []

    def function(net, x):
        calls.append(x)
        if len(calls) == 3:
            np.random.rand()  # noqa: NPY002
        return x

    assert lb.layer_activations(Network(function), INPUTS)["tanh"].shape == (40, 3)


@pytest.mark.parametrize(
    "function",
    [
        lambda net, x: x * random.SystemRandom().random(),
        lambda net, x: x + torch.tensor([[random.SystemRandom().random()] for _ in x]),
    ],
    ids=["one for all rows", "each row"],
)
def test_random_numbers_of_the_system_are_refused(function, tmp_path):
    for measure in measurements(Network(function), tmp_path):
        with pytest.raises(ValueError, match=r"^model: got a network whose signals in 'tanh' differ in two passes"):
            measure()


def seeded(net, x):
    torch.manual_seed(5)
    return x + torch.randn_like(x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (seeded, "sets the seed or the state"),
        (lambda net, x: x + torch.randn(x.shape, generator=net.generator.manual_seed(1)), "makes a generator, or sets"),
        (lambda net, x: x + torch.randn(x.shape, generator=torch.Generator().manual_seed(1)), "makes a generator"),
    ],
    ids=["global", "kept by a module", "of the pass"],
)
def test_numbers_after_the_same_seed_in_each_pass_are_refused(function, message, tmp_path):
    """The numbers of an input would depend on its place in the pass."""
    for measure in measurements(Network(function), tmp_path):
        with pytest.raises(ValueError, match=rf"^model: got a network that {message}"):
            measure()


@pytest.mark.parametrize(
    "function",
    [
        lambda net, x: x * torch.bernoulli(torch.full((len(x), 1), 0.5), generator=net.generator),
        lambda net, x: x + torch.randn(x.shape, generator=net.generator),
    ],
    ids=["discrete", "continuous"],
)
@pytest.mark.parametrize("seed", range(4))
def test_generator_that_a_module_keeps_is_measured_whatever_its_state(function, seed, tmp_path):
    model = Network(function)
    model.generator.manual_seed(seed)
    state = model.generator.get_state()
    for measure in measurements(model, tmp_path):
        measure()
    tables = [lb.layer_information(model, INPUTS, sigma=0.3, draws=4) for _ in range(2)]
    first, second = ([(row.quantity, row.lower, row.upper) for row in table] for table in tables)
    assert first == second
    assert model.generator.get_state().equal(state)


def test_generator_that_a_module_keeps_has_new_numbers_in_each_draw():
    model = Network(lambda net, x: x + torch.randn(x.shape, generator=net.generator))
    noisy = lb.noisify(model, sigma=0.3, inputs=INPUTS)
    signals = lb.propagate(noisy, INPUTS[:1].expand(30, 4), draws=4, chunk=10)["tanh"]
    assert len(signals.reshape(120, 3).unique(dim=0)) == 120
