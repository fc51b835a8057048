"""The view in which a layer beyond the budget is recorded: squared distances without the rounding of large sums."""

import numpy as np
import pytest
import torch

from layerbits.estimators import principal_view
from layerbits.networks import gaussian_noise
from tests.support.random_arrays import normal_tensor


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("vector", [False, True], ids=["one sigma", "a sigma for each unit"])
def test_squared_distances_of_signals_of_1e7_squared_deviations_are_exact(monkeypatch, offset, vector):
    """Signals lie in a plane, 1e7 sigma^2 in all, but for a remainder of .01 sigma^2.

    Values in float32 near 1e3 are multiples of 2^-14, so the signals are rounded before the reference is computed.
    """
    monkeypatch.setattr(principal_view, "MAX_DIMENSIONS", 2)
    monkeypatch.setattr(principal_view, "_BLOCK_VALUES", 4000)
    units, sigma = 1000, 0.05
    axes = torch.linalg.qr(normal_tensor(units, 3)).Q
    plane = 3200 * sigma * torch.nn.functional.normalize(normal_tensor(6, 5, 2, seed=1), dim=-1)
    remainder = 0.1 * sigma * normal_tensor(6, 5, 1, seed=2).sign()
    signals = (offset + torch.cat([plane, remainder], -1) @ axes.mT).float()
    noise = gaussian_noise(torch.full((units,), sigma) if vector else sigma)
    view = principal_view.principal_view(noise, signals[:, :4])
    values = view(signals)
    subspace = view.args[1]
    whitened = noise.whiten(signals.double()).numpy()
    deviations = whitened - subspace.origin.numpy()
    directions = subspace.directions.numpy()
    expected = np.square(deviations - deviations @ directions @ directions.T).sum(-1)
    assert values.shape == (6, 5, 3)
    assert values.dtype == (torch.float64 if vector else torch.float32)
    # In units of sigma^2; float64 rounds sums of 1e7 by some 1e-8, float32 by one or more.
    np.testing.assert_allclose(values[..., -1] / noise.whitened_sigma**2, expected / noise.whitened_sigma**2, atol=1e-5)
