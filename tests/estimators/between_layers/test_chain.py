"""Refused pairs of layers: the input, or earlier noise, acts on the second layer by a path past the first layer."""

import pytest
import torch
from torch import Tensor, nn

from layerbits import information_between_layers, noisify
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(300, 4, seed=9)

pytestmark = pytest.mark.usefixtures("one_thread")


class ThreeLayers(nn.Module):
    """Layers a, b, c; the signal of c is b plus a hundredth of `source`: the input, a, or nothing."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.a, self.b, self.c = nn.Tanh(), nn.Tanh(), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(a)
        skipped = {"input": x, "a": a}.get(self.source)
        return self.c(b if skipped is None else b + 1e-2 * skipped)


def three_layers(source, sigma=0.1):
    return noisify(ThreeLayers(source), sigma=sigma, layers=nn.Tanh)


class TwoLayers(nn.Module):
    """The signal of the second layer is a tenth of the first layer plus the input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x) / 10 + x)


@pytest.mark.parametrize(("source", "first"), [("input", "a"), ("input", "b"), ("a", "b")])
def test_skip_connection_past_the_first_layer_is_refused(source, first):
    with pytest.raises(ValueError, match=f"first: got '{first}', but the input acts on 'c' by another path"):
        information_between_layers(three_layers(source), INPUTS, first, "c")


def test_noise_of_an_earlier_layer_is_another_path_for_a_single_input_too():
    with pytest.raises(ValueError, match="another path"):
        information_between_layers(three_layers("a"), INPUTS[:1], "b", "c")


@pytest.mark.parametrize("seed", range(8))
def test_skip_connection_is_found_with_two_inputs(seed):
    """Half of the random permutations of two inputs are the identity, so inputs are permuted without fixed points."""
    noisy = noisify(TwoLayers(), sigma=0.1, layers=["first", "second"])
    inputs = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="another path"):
        information_between_layers(noisy, inputs, "first", "second", draws=2, queries=2, seed=seed)


@pytest.mark.parametrize(("source", "first", "second"), [("a", "a", "c"), ("input", "a", "b"), ("nothing", "b", "c")])
def test_skip_connection_from_the_first_or_behind_the_second_layer_is_accepted(source, first, second):
    estimate = information_between_layers(three_layers(source), INPUTS[:20], first, second, draws=4)
    assert 0 < estimate.lower < estimate.upper


def test_skip_connection_into_a_layer_with_far_more_noise_is_refused_too():
    with pytest.raises(ValueError, match="another path"):
        information_between_layers(three_layers("a", {"a": 0.1, "b": 0.1, "c": 1e3}), INPUTS, "b", "c")


class Gate(nn.Module):
    """The signal of b is T of a, times the input; that of a is 0 for all inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Hardshrink(9.0), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x) * x)


def test_gate_that_only_noise_opens_is_refused():
    """T of b depends on x for every T of a but 0: I(T_a;T_b) is .0313, and I(X;T_b) > I(X;T_a) = 0."""
    noisy = noisify(Gate(), sigma=0.4, layers=["a", "b"])
    inputs = torch.linspace(-1, 1, 8, dtype=torch.float64)[:, None]
    with pytest.raises(ValueError, match="first: got 'a', but the input acts on 'b' by another path"):
        information_between_layers(noisy, inputs, "a", "b")


class RandomSign(nn.Module):
    """One random sign of the network itself multiplies the signals of both layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        sign = 2 * torch.randint(2, (len(x), 1)) - 1.0
        return self.b(sign * self.a(sign * x))


def test_random_number_that_acts_on_both_layers_is_refused():
    noisy = noisify(RandomSign(), sigma=0.4, layers=["a", "b"])
    with pytest.raises(ValueError, match="first: got 'a', but a random number of the network acts on 'b' by another"):
        information_between_layers(noisy, INPUTS, "a", "b")


class Branching(ThreeLayers):
    """Runs other operations for other inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(2 * x if x.abs().max() > 1e9 else x)


def test_network_that_reads_numbers_is_refused():
    noisy = noisify(Branching(""), sigma=0.1, layers=nn.Tanh)
    with pytest.raises(ValueError, match=r"first: got 'a', of which it is not known .* because the network may b"):
        information_between_layers(noisy, INPUTS, "a", "b")
