"""Networks without noise: the measurement alone adds noise to each layer, so that each channel is known."""

import dataclasses

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS, LABELS = normal_tensor(60, 4, seed=3).float(), torch.arange(60) % 3


@pytest.fixture
def model():
    return tanh_mlp(4, 3, 3, 2)


def test_a_deep_layer_has_the_information_of_its_activations_as_a_mixture(model):
    row = lb.layer_information(model, INPUTS, sigma=0.2, queries=100)["3", "I(X;T)"]
    activations = lb.layer_activations(model, INPUTS)["3"]
    known = lb.mixture_information(activations, 0.2, tolerance=0.005)
    assert row.lower <= known.upper
    assert known.lower <= row.upper
    assert row.upper - row.lower < 0.1


def test_a_later_layer_does_not_depend_on_the_noise_of_an_earlier_one(model):
    """The noise sigma = 100 at layer 1 of a noisy network would leave layer 3 almost no information."""
    rows = [lb.layer_information(model, INPUTS, sigma={"1": sigma, "3": 0.2})["3", "I(X;T)"] for sigma in (0.01, 100.0)]
    low_noise, high_noise = (dataclasses.replace(row, seconds=0) for row in rows)
    assert low_noise == high_noise


def test_rows_have_the_flag_and_no_audit_against_the_layer_before(model):
    table = lb.layer_information(model, INPUTS, sigma={"1": 100.0, "3": 0.01})
    assert {row.flags for row in table} == {("measurement_noise",)}
    assert table["3", "I(X;T)"].lower > table["1", "I(X;T)"].upper
    assert "before it" not in table["3", "I(X;T)"].note


def test_the_network_stays_as_it_was(model):
    before = model(INPUTS)
    lb.layer_information(model.train(), INPUTS, sigma=0.2)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(model(INPUTS), before)


def test_linear_layers_and_the_output_can_be_measured(model):
    table = lb.layer_information(model, INPUTS, LABELS, sigma=0.2, layers=["0", "4"])
    assert [(row.layer, row.quantity) for row in table][::5] == [("0", "I(X;T)"), ("4", "I(X;T)")]


def test_one_draw_gives_three_quantities_for_each_of_two_layers(model):
    assert len(lb.layer_information(model, INPUTS, sigma=0.2, draws=1)) == 6


def test_a_relative_sigma_is_the_share_of_the_root_mean_square_over_all_inputs():
    """The rows of the pass that finds the layers are zero, and so is their root mean square."""
    inputs = torch.cat([torch.zeros(50, 1), torch.ones(50, 1)])
    model = nn.Sequential(nn.Identity())
    relative = lb.layer_information(model, inputs, sigma=lb.RelativeSigma(0.5), layers="0")
    absolute = lb.layer_information(model, inputs, sigma=0.5 * 0.5**0.5, layers="0")
    assert relative["0", "I(X;T)"].value == pytest.approx(absolute["0", "I(X;T)"].value, abs=1e-6)


def test_a_noisy_network_takes_no_sigma(model):
    lb.noisify(model, sigma=0.1)
    with pytest.raises(ValueError, match=r"sigma: got a value for a network that has noise .*remove_noise"):
        lb.layer_information(model, INPUTS, sigma=0.2)


def test_the_error_for_a_network_without_noise_names_the_argument_sigma(model):
    with pytest.raises(lb.NoNoiseError, match="sigma="):
        lb.layer_information(model, INPUTS)


def test_a_monitor_measures_a_network_without_noise_and_is_resumed(model, tmp_path):
    monitor = lb.Monitor(model, INPUTS, LABELS, at=[0, 1], directory=tmp_path, sigma=0.2)
    monitor.step(0)
    with torch.no_grad():
        model[0].weight.zero_()
    final = monitor.step(1)
    assert final["1", "I(X;T)"].upper < 0.01  # without weights the layer is constant
    resumed = lb.Monitor(model, INPUTS, LABELS, at=[0, 1], directory=tmp_path, sigma=0.2)
    assert resumed.tables[1] == final


def test_a_folder_with_measurement_noise_is_not_continued_by_a_noisy_network(model, tmp_path):
    lb.Monitor(model, INPUTS, at=[0], directory=tmp_path, sigma=0.2).step(0)
    lb.noisify(model, sigma=0.2)
    with pytest.raises(lb.UsageError, match="measurement_noise"):
        lb.Monitor(model, INPUTS, at=[0], directory=tmp_path)


def test_a_relative_sigma_is_resumed_after_the_weights_have_changed(model, tmp_path):
    options = {"at": [0, 1], "directory": tmp_path, "sigma": lb.RelativeSigma(0.2)}
    table = lb.Monitor(model, INPUTS, **options).step(0)
    with torch.no_grad():
        model[0].weight.mul_(2)
    assert lb.Monitor(model, INPUTS, **options).tables[0] == table
    with pytest.raises(lb.UsageError, match="sigma"):
        lb.Monitor(model, INPUTS, **options | {"sigma": lb.RelativeSigma(0.3)})


def test_a_monitor_takes_inputs_in_bfloat16(model, tmp_path):
    table = lb.Monitor(model.bfloat16(), INPUTS.bfloat16(), at=[0], directory=tmp_path, sigma=0.5).step(0)
    assert table.rows[0].flags == ("measurement_noise", "before_rounding")


class Rounding(nn.Module):
    """Add a number of the size of a rounding error that differs by the place of a row in the pass."""

    def forward(self, x):
        return x + 1e-7 * torch.arange(len(x))[:, None]


@pytest.mark.parametrize(
    "sigma", [0.2, torch.tensor([0.2, 0.3]), torch.tensor([[0.1, 0.05], [0.05, 0.1]]), lb.DropoutNoise(0.5, 0.2)]
)
def test_a_channel_is_known_where_two_draws_differ_by_rounding(sigma):
    model = nn.Sequential(nn.Tanh(), Rounding(), nn.Tanh())
    rows = lb.layer_information(model, INPUTS[:3, :2], sigma={"2": sigma}, layers="2")
    assert {(row.decoder, row.draws) for row in rows} == {("exact", 1)}
