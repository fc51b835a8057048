"""C standard deviations for signals (n, C, C) are refused, because they may belong to axis 1 or to axis 2."""

import re

import pytest
import torch
from torch import nn

from layerbits import layer_information, noise_of, noisify
from layerbits.networks import is_noisy
from tests.support.networks import noisy_identities


def noisy_identity(sigma):
    return noisy_identities(1, sigma)


TOKENS = torch.zeros(2, 3, 3)
DEVIATIONS = torch.tensor([0.1, 0.2, 5.0])
AMBIGUOUS = re.escape(
    "sigma: got 3 deviations for '1', whose signal of shape (n, 3, 3) has length 3 in axis 1 and in axis 2, wanted one "
    "for each unit, shape (9,): torch.repeat_interleave(sigma, 3) for axis 1, or torch.tile(sigma, (3,)) for axis 2"
)


def network(width=3):
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))


def test_covariance_of_the_channels_is_refused():
    with pytest.raises(ValueError, match=r"^sigma: got noise of 2 units for '0', wanted 6 for its signal of shape"):
        noisy_identity(torch.eye(2))(torch.zeros(5, 2, 3))


def test_deviations_of_either_axis_are_refused():
    with pytest.raises(ValueError, match=AMBIGUOUS):
        noisify(network(), sigma=DEVIATIONS, inputs=TOKENS)


def test_deviations_of_either_axis_are_refused_in_the_first_call():
    with pytest.raises(ValueError, match=AMBIGUOUS):
        noisify(network(), sigma=DEVIATIONS)(TOKENS)


def test_deviations_of_either_axis_are_refused_after_a_change_of_the_noise():
    model = noisify(network(), sigma=0.1, inputs=TOKENS)
    with pytest.raises(ValueError, match=r"^sigma: got "):
        noise_of(model)["1"] = DEVIATIONS


def test_deviations_of_either_axis_are_refused_in_a_measurement_without_noise():
    model = network()
    with pytest.raises(ValueError, match=AMBIGUOUS):
        layer_information(model, TOKENS, sigma=DEVIATIONS, draws=1)
    assert not is_noisy(model)


def test_deviations_of_the_last_axis_of_tokens_are_those_of_features():
    shape, deviations = (5, 3, 4), torch.tensor([0.1, 0.2, 0.5, 5.0])
    torch.manual_seed(1)
    values = noisy_identity(deviations)(torch.zeros(shape))
    torch.manual_seed(1)
    assert torch.equal(values, torch.randn(shape) * deviations)
    inputs, tiled = torch.randn(shape), deviations.expand(shape[1:]).flatten()
    model = network(4)
    tables = [layer_information(model, inputs, sigma=sigma, queries=2) for sigma in (deviations, tiled)]
    assert [row.value for row in tables[0]] == [row.value for row in tables[1]]


@pytest.mark.parametrize("shape", [(5, 3, 4, 4), (5, 3, 2, 4)], ids=["several", "last"])
def test_deviations_of_another_axis_of_a_map_are_refused(shape):
    with pytest.raises(
        ValueError, match=r"^sigma: got noise of 4 units for '0', wanted [0-9]*, or 3 for axis 1, for its"
    ):
        noisy_identity(torch.ones(4))(torch.zeros(shape))


def test_a_pass_of_as_many_tokens_as_features_is_refused():
    model = noisy_identity(torch.ones(4))
    model(torch.zeros(5, 3, 4))
    with pytest.raises(ValueError, match=r"^sigma: got 4 deviations for '0', whose signal of shape \(n, 4, 4\)"):
        model(torch.zeros(5, 4, 4))


@pytest.mark.parametrize(
    ("sigma", "axis"),
    [(torch.repeat_interleave(DEVIATIONS, 3), 1), (torch.tile(DEVIATIONS, (3,)), 2)],
    ids=["axis 1", "axis 2"],
)
def test_remedy_gives_the_deviations_to_the_axis(sigma, axis):
    zeros = torch.zeros(5, 3, 3)
    torch.manual_seed(1)
    values = noisy_identity(sigma)(zeros)
    torch.manual_seed(1)
    assert torch.equal(values.movedim(axis, 2), torch.randn_like(zeros).movedim(axis, 2) * DEVIATIONS)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 3, 3)], ids=str)
def test_deviations_for_signals_of_other_shapes_are_accepted(shape):
    assert noisy_identity(DEVIATIONS)(torch.zeros(shape)).shape == shape
