"""Signals that propagate records: their shape, order and values, and the variance and independence of the noise."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from layerbits.kernels import RandomStream, standard_normal, stream
from layerbits.networks import noisify, propagate
from tests.support.networks import noisy_identities, tanh_mlp

SIGMA = 0.3
INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)


def mlp():
    return tanh_mlp(4, 3, 5, 2)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act, self.linear = nn.Tanh(), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.act(self.linear(self.act(x))))


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act, self.head = nn.Tanh(), nn.Linear(4, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head(self.act(x + y))


def test_signals_have_a_row_for_each_input_and_draw():
    signals = propagate(noisify(mlp(), sigma=SIGMA), INPUTS, draws=7)
    assert {name: tuple(signal.shape) for name, signal in signals.items()} == {"1": (6, 7, 3), "3": (6, 7, 5)}


def test_signals_come_in_the_order_of_the_data():
    assert list(propagate(noisify(mlp(), sigma=SIGMA), INPUTS, draws=1, layers=["3", "1"])) == ["1", "3"]


def test_feature_maps_are_flattened():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 2))
    images = torch.linspace(-1, 1, 3 * 36).reshape(3, 1, 6, 6)
    signal = propagate(noisify(model, sigma=SIGMA), images, draws=2)["1"]
    with torch.no_grad():
        assert torch.equal(signal[:, 1], model[0](images).tanh().flatten(1))


def test_single_unit_without_an_axis_has_dimension_one():
    model = nn.Sequential(nn.Flatten(0), nn.Tanh(), nn.Unflatten(0, (-1, 1)), nn.Linear(1, 2))
    assert propagate(noisify(model, sigma=SIGMA), torch.zeros(5, 1), draws=2)["1"].shape == (5, 2, 1)


def test_double_precision_is_kept():
    assert propagate(noisify(mlp().double(), sigma=SIGMA), INPUTS.double())["3"].dtype == torch.float64


def test_first_signal_is_the_activation_without_noise_in_every_draw():
    model, x = mlp(), INPUTS.mul(8).round()
    with torch.no_grad():
        for parameter in model[0].parameters():  # whole numbers: their sums are exact in any order
            parameter.copy_(parameter.mul(8).round())
        activation = model[:2](x)
    signal = propagate(noisify(model, sigma=SIGMA), x, draws=3)["1"]
    assert torch.equal(signal, activation[:, None].expand(-1, 3, -1))


def test_later_signal_is_the_activation_of_the_noisy_layer_before():
    model, x = mlp(), INPUTS
    with torch.no_grad():
        noise = standard_normal((6, 3), stream(9, RandomStream.PASS_NOISE, 0, 1), torch.float32)
        expected = model[2:4](torch.add(model[:2](x), noise, alpha=SIGMA))
    assert torch.equal(propagate(noisify(model, sigma=SIGMA), x, draws=2, seed=9)["3"][:, 1], expected)


def test_each_call_of_a_module_has_its_signal():
    model, x = Twice(), INPUTS
    # The noise is below half an ulp of every activation.
    signals = propagate(noisify(model, sigma=1e-30, layers="act@*"), x, draws=1)
    with torch.no_grad():
        first = x.tanh()
        assert torch.equal(signals["act"][:, 0], first)
        assert torch.equal(signals["act@2"][:, 0], model.linear(first).tanh())


def test_noise_before_a_signal_has_variance_sigma_squared_for_each_layer_passed():
    x = torch.zeros(500, 10, dtype=torch.float64)
    signals = propagate(noisy_identities(3, SIGMA), x, draws=20)["2"]  # the sum of the noise of two layers
    lower, upper = stats.chi2.interval(1 - 1e-6, df=500 * 20 * 10)
    assert lower < float((signals / SIGMA).square().sum()) / 2 < upper


def test_noise_of_layers_and_draws_and_rows_is_independent():
    signals = propagate(noisy_identities(3, SIGMA), torch.zeros(512, 40, dtype=torch.float64), draws=2)
    noise = torch.stack([signals["1"], signals["2"] - signals["1"]])  # layer, row, draw, unit
    groups = noise.reshape(2, 2, 256, 2, 40).permute(0, 1, 3, 2, 4).reshape(8, 256 * 40)
    bound = stats.norm.isf(1e-6) / (256 * 40) ** 0.5  # a correlation of independent normals is N(0, 1/n) to O(1/n)
    assert (torch.corrcoef(groups) - torch.eye(8)).abs().max() < bound


def test_layer_emits_given_values_in_every_draw_in_place_of_signal_and_noise():
    values = INPUTS.flip(0)
    signals = propagate(noisy_identities(2, SIGMA), INPUTS, draws=3, chunk=4, given={"0": values})
    assert torch.equal(signals["1"], values[:, None].expand(-1, 3, -1))
    assert torch.equal(signals["0"][:, 0], INPUTS)


def test_layers_after_given_values_keep_their_noise():
    noise = propagate(noisy_identities(3, SIGMA), INPUTS, draws=3, given={"0": INPUTS})["2"] - INPUTS[:, None]
    signals = propagate(noisy_identities(3, SIGMA), INPUTS, draws=3)
    # Four sums of float32 values below 4, each rounded by at most 2^-23.
    assert torch.allclose(noise, signals["2"] - signals["1"], rtol=0, atol=4 * 2**-23)


def test_feature_maps_may_be_given_flat():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(1), nn.Tanh(), nn.Linear(18, 1))
    values = torch.linspace(-1, 1, 54).reshape(3, 18)
    images = np.zeros((3, 1, 5, 5), np.float32)
    signals = propagate(noisify(network, sigma=SIGMA), images, draws=2, given={"1": values})
    assert np.array_equal(signals["3"][:, 1], values.tanh().numpy())


def test_array_inputs_give_array_signals():
    signals = propagate(noisify(mlp(), sigma=SIGMA), INPUTS.numpy())
    assert all(isinstance(signal, np.ndarray) for signal in signals.values())


def test_arrays_give_the_values_of_tensors():
    noisy = noisify(mlp(), sigma=SIGMA)
    assert np.array_equal(propagate(noisy, INPUTS.numpy())["3"], propagate(noisy, INPUTS)["3"].numpy())


def test_arrays_take_the_dtype_of_the_network():
    assert propagate(noisify(mlp(), sigma=SIGMA), INPUTS.double().numpy())["3"].dtype == np.float32


def test_integer_arrays_keep_their_dtype():
    noisy = noisify(nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2)), sigma=SIGMA, layers="0")
    assert propagate(noisy, np.array([[0, 1], [2, 4]]), draws=1)["0"].shape == (2, 1, 6)


@pytest.mark.parametrize("array", [np.ones((3, 4))[::-1], np.asfortranarray(np.ones((3, 4)))], ids=["reversed", "F"])
def test_arrays_may_have_any_strides(array):
    assert propagate(noisify(mlp(), sigma=SIGMA), array, draws=1)["1"].shape == (3, 1, 3)


def test_tuple_holds_the_arguments_of_the_network():
    x = INPUTS
    assert torch.equal(propagate(noisify(Sum(), sigma=SIGMA), (x, 2 * x), draws=1)["act"][:, 0], (x + 2 * x).tanh())


def test_chunk_may_exceed_the_integers_of_torch():
    noisy = noisify(mlp(), sigma=SIGMA)
    assert torch.equal(propagate(noisy, INPUTS, draws=2, chunk=2**127)["3"], propagate(noisy, INPUTS, draws=2)["3"])
