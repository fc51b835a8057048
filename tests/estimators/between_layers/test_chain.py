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
        return self.c(b + {"input": 1e-2 * x, "a": 1e-2 * a, "nothing": 0 * x}[self.source])


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


def test_skip_connection_into_a_layer_with_far_more_noise_is_accepted():
    estimate = information_between_layers(three_layers("a", {"a": 0.1, "b": 0.1, "c": 1e3}), INPUTS, "b", "c")
    assert estimate.value < 0.1
    with pytest.raises(ValueError, match="another path"):
        information_between_layers(three_layers("a", {"a": 0.1, "b": 1e3, "c": 0.1}), INPUTS, "b", "c")
