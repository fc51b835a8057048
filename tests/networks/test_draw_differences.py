"""Differences of the signals of two draws, beside the divergence of the noisy values."""

import pytest
import torch

from layerbits import DropoutNoise
from layerbits.mixtures import NEGLIGIBLE
from layerbits.networks import GaussianNoise
from layerbits.networks.passes.draw_differences import DrawDifferences

COVARIANCE_FACTOR = torch.tensor([[0.3, 0.0], [0.28, 0.1]])
NOISES = [GaussianNoise(0.2), GaussianNoise(torch.tensor([0.2, 0.4])), GaussianNoise(COVARIANCE_FACTOR)]


def differs(noise, change):
    """Return whether a change of one of two units, in one of three rows, is more than rounding."""
    signals = torch.ones(1, 3, 2, dtype=torch.float64)
    others = signals[0].clone()
    others[1, 0] += change
    differences = DrawDifferences()
    differences.add("layer", signals, others)
    differences.add("layer", signals, signals[0])
    return differences.beyond_rounding(lambda name: noise) == {"layer"}


@pytest.mark.parametrize("noise", NOISES)
def test_a_change_counts_from_a_divergence_that_is_not_negligible(noise):
    unit = torch.eye(2, dtype=torch.float64)[:1]
    change = (2 * NEGLIGIBLE) ** 0.5 / float((noise.whiten(unit) / noise.whitened_sigma).norm())
    assert not differs(noise, 0.0)
    # The change may be in another direction and in all units, so up to this much less counts too.
    assert differs(noise, 1.01 * change)
    assert not differs(noise, change / 100)


@pytest.mark.parametrize("signal", [0.0, 0.1, 0.4, 3.0])
@pytest.mark.parametrize("alpha", [0.1, 0.5, 4.0])
def test_scale_of_dropout_noise_bounds_the_divergence(alpha, signal):
    noise, change = DropoutNoise(alpha, 0.2), 1e-4
    pair = (torch.tensor([[value]], dtype=torch.float64) for value in (signal + change, signal))
    # The bound holds for small changes, up to terms of the relative size of the change.
    assert float(noise.divergence(*pair)) <= (change / noise.least_scale) ** 2 / 2 * (1 + 10 * alpha * change / 0.2)
