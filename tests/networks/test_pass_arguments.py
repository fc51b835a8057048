"""Bad networks, layers, inputs and options of passes are refused, by name."""

import types

import pytest
import torch
from torch import Tensor, nn

from layerbits._base import LayerSelectionError, NoNoiseError
from layerbits.networks import noise_off, noisify, propagate
from tests.support.networks import noisy_identities, tanh_mlp

SIGMA = 0.3
INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)


def mlp():
    return tanh_mlp(4, 3, 5, 2)


class Looping(nn.Module):
    """Calls its activation function x[0, 0] times."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.head = nn.Tanh(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(int(x[0, 0])):
            x = self.act(x)
        return self.head(x)


def test_network_without_noise_is_refused():
    with pytest.raises(NoNoiseError, match=r"^model: got Sequential, wanted .* add noise with layerbits\.noisify"):
        propagate(mlp(), INPUTS)


def test_noise_that_is_off_is_refused():
    noisy = noisify(mlp(), sigma=SIGMA)
    with noise_off(noisy), pytest.raises(NoNoiseError, match="outside of noise_off"):
        propagate(noisy, INPUTS)


def test_noise_of_a_layer_that_no_longer_runs_is_refused():
    noisy = noisify(mlp(), sigma=SIGMA, layers="1", inputs=INPUTS)
    with pytest.raises(LayerSelectionError, match="no noisy layer runs in a pass of these inputs"):
        propagate(skipping_its_noisy_layer(noisy), INPUTS)


def skipping_its_noisy_layer(noisy):
    """Replace the forward of a network by one that does not call the noisy layer "1"."""
    noisy.forward = types.MethodType(lambda self, x: self[4](self[2](self[0](x))), noisy)
    return noisy


def test_function_is_no_network():
    with pytest.raises(TypeError, match="model: got function"):
        propagate(lambda x: x, INPUTS)


@pytest.mark.parametrize("layers", ["2", ["1", "absent"], []])
def test_layer_without_noise_is_refused_with_the_noisy_layers_named(layers):
    with pytest.raises(LayerSelectionError, match="available: 1, 3"):
        propagate(noisify(mlp(), sigma=SIGMA), INPUTS, layers=layers)


class WithMean(nn.Module):
    def forward(self, rows):
        return torch.cat([rows, rows.mean(0, keepdim=True)])


def test_layer_without_a_row_for_each_input_is_refused():
    noisy = noisify(nn.Sequential(WithMean(), nn.Tanh(), nn.Linear(4, 2)), sigma=SIGMA)
    with pytest.raises(LayerSelectionError, match=r"noise at '1', whose rows .* \(shape \(3, 4\) for 2 inputs\)"):
        propagate(noisy, INPUTS, draws=1)


def looping(times):
    inputs = torch.full((3, 4), float(times))
    return noisify(Looping(), sigma=SIGMA, inputs=torch.full((3, 4), 2.0)), inputs


def test_layer_that_runs_more_often_for_later_inputs_is_refused():
    noisy, inputs = looping(2)
    with pytest.raises(LayerSelectionError, match="got 'act@3', which did not run in the pass that showed the layers"):
        propagate(noisy, torch.cat([inputs, inputs + 1]), draws=1, chunk=3)


def test_layer_that_does_not_run_for_later_inputs_is_refused():
    noisy, inputs = looping(2)
    inputs = torch.cat([inputs, inputs - 1])
    with pytest.raises(LayerSelectionError, match="got act@2, which did not run in the pass"):
        propagate(noisy, inputs, layers=["act", "act@2"], draws=1, chunk=3)
    with pytest.warns(UserWarning, match="^layers: None leaves out act@2, "):
        assert list(propagate(noisy, inputs, draws=1, chunk=3)) == ["act"]


def test_layer_that_runs_more_often_than_noisify_observed_is_measured():
    noisy, inputs = looping(3)
    assert list(propagate(noisy, inputs, draws=1)) == ["act", "act@2", "act@3"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_signal_that_is_not_finite_is_refused_with_its_layer(value):
    model = mlp()
    nn.init.constant_(model[2].bias, value)
    model[3] = nn.ReLU()
    with pytest.raises(ValueError, match=r"^inputs: got NaN or infinity in layer '3'"):
        propagate(noisify(model, sigma=SIGMA), INPUTS)


def test_inputs_that_are_nan_are_refused():
    x = INPUTS.clone()
    x[2, 1] = float("nan")
    with pytest.raises(ValueError, match="inputs: got NaN"):
        propagate(noisify(mlp(), sigma=SIGMA), x)


@pytest.mark.parametrize(
    "bad_inputs",
    [torch.zeros(0, 4), torch.tensor(1.0), (torch.zeros(3, 4), torch.zeros(2, 4))],
    ids=["empty", "0-d", "unequal"],
)
def test_inputs_of_a_wrong_shape_are_refused(bad_inputs):
    with pytest.raises(ValueError, match="inputs: got shape"):
        propagate(noisify(mlp(), sigma=SIGMA), bad_inputs)


@pytest.mark.parametrize("bad_inputs", [[[1.0] * 4], None, (), "text", ("text",)])
def test_inputs_of_another_type_are_refused(bad_inputs):
    with pytest.raises(TypeError, match="inputs: got"):
        propagate(noisify(mlp(), sigma=SIGMA), bad_inputs)


@pytest.mark.parametrize("inputs", [None, INPUTS], ids=["first pass", "later pass"])
@pytest.mark.parametrize(
    "bad_inputs", [torch.zeros(3, 99), INPUTS.byte(), (INPUTS, INPUTS)], ids=["units", "dtype", "two"]
)
def test_inputs_that_the_network_cannot_take_are_named(bad_inputs, inputs):
    noisy = noisify(mlp(), sigma=SIGMA, inputs=inputs)
    with pytest.raises(ValueError, match=r"^inputs: got .*torch\..* of shape .*, which the network cannot take: "):
        propagate(noisy, bad_inputs)


def test_inputs_without_values_are_refused():
    with pytest.raises(ValueError, match=r"^inputs: got a tensor on the device meta"):
        propagate(noisify(mlp(), sigma=SIGMA), torch.zeros(3, 4, device="meta"))


@pytest.mark.parametrize("shape", [(5, 4), (6, 3), (6,), ()])
def test_given_values_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"given: got shape .* for '0', wanted \(6, (4|dim)\)"):
        propagate(noisy_identities(2, SIGMA), INPUTS, given={"0": torch.zeros(shape)})


def test_given_values_of_an_unknown_layer_are_refused():
    with pytest.raises(LayerSelectionError, match="wanted names among the noisy layers: 0, 1"):
        propagate(noisy_identities(2, SIGMA), INPUTS, given={"2": INPUTS})


@pytest.mark.parametrize("option", [{"draws": 0}, {"seed": -1}, {"chunk": 0}], ids=str)
def test_option_out_of_range_is_refused(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}: got"):
        propagate(noisify(mlp(), sigma=SIGMA), INPUTS, **option)


@pytest.mark.parametrize("option", [{"draws": 2.0}, {"seed": None}, {"chunk": True}], ids=str)
def test_option_of_another_type_is_refused(option):
    with pytest.raises(TypeError, match=f"{next(iter(option))}: got"):
        propagate(noisify(mlp(), sigma=SIGMA), INPUTS, **option)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (mlp(), INPUTS.byte()),
        (nn.Sequential(nn.Conv1d(4, 2, 1), nn.Tanh(), nn.Conv1d(2, 1, 1)), INPUTS.byte()[..., None]),
    ],
    ids=["linear", "convolution"],
)
def test_inputs_of_another_dtype_are_refused_with_a_remedy_that_works(model, inputs):
    with pytest.raises(ValueError, match=r"^inputs: got torch.uint8 .*; convert .* inputs\.to\(torch\.float32\), "):
        noisify(model, sigma=SIGMA, inputs=inputs)
    noisify(model, sigma=SIGMA, inputs=inputs.to(torch.float32))
