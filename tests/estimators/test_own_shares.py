"""The share of a query's own draw in the mixture, and what the first-order bias of the plug-in tells by this share."""

import numpy as np
import pytest
import torch

from layerbits import calibration, propagate
from layerbits.estimators.classes import Classes
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.plug_in_bound import plug_in
from layerbits.statistics import QUANTITIES
from tests.support.random_arrays import normal_tensor

INFORMATION, MARGINAL_ENTROPY = QUANTITIES[:2]
TASKS = {task.name: task for task in calibration.V1}
STANDARD_ERRORS = 5


def bounds(bases, draws, sigma, labels=None, seed=0):
    """Return the plug-in of draws (n, r, d) and of the bases (n, q, d) of queries."""
    classes = Classes.of(labels, len(draws))
    return plug_in(Queries.around(bases, sigma, normal_tensor(*bases.shape, seed=seed)), draws, classes)


def test_own_share_of_equal_signals_is_one_in_the_number_of_draws():
    """All kernels are equal at every query: the share is 1 / (draws of the mixture)."""
    bound = bounds(torch.zeros(6, 4, 2).double(), torch.zeros(6, 12, 2).double(), 1.0, torch.tensor([0, 0, 0, 1, 1, 1]))
    assert bound.own_share(INFORMATION) == pytest.approx(1 / 16)
    assert bound.own_share(QUANTITIES[3]) == pytest.approx(1 / 48)  # I(T;Y): three inputs of a class
    assert bound.own_share(QUANTITIES[4]) == pytest.approx(1 / 16)  # I(X;T|Y)
    assert bound.own_share(MARGINAL_ENTROPY) == pytest.approx(1 / 96)


def test_own_share_of_draws_far_apart_is_one():
    signals = 1e4 * normal_tensor(6, 16, 2, seed=1)
    bound = bounds(signals[:, :4], signals[:, 4:], 1.0)
    assert bound.own_share(INFORMATION) == pytest.approx(1)
    assert bound.own_share(MARGINAL_ENTROPY) == pytest.approx(1)


def biases(name, draws, seeds):
    """Return own shares, first-order biases and errors of the plug-in of I(X;T) over seeds, each (seeds,)."""
    task, rows = TASKS[name], []
    network, truth = task.network(), task.truths["I(X;T)"].value
    inputs = torch.as_tensor(np.repeat(task.inputs, 128 // len(task.inputs), 0))
    for seed in range(seeds):
        signals = propagate(network, inputs, draws=draws, seed=seed)[task.layer].double()
        bound = bounds(signals[:, -4:].contiguous(), signals[:, :-4].contiguous(), task.sigma, seed=seed)
        information = bound.bound(INFORMATION)
        rows.append((bound.own_share(INFORMATION), information.bias, information.value - truth))
    return np.transpose(rows)


@pytest.mark.parametrize(
    ("name", "draws"), [("scalar-2-steep", 8), ("linear-plane", 32), ("linear-cube-4", 32), ("linear-cube-6", 128)]
)
def test_first_order_bias_tells_most_of_the_bias_where_own_shares_are_small(name, draws):
    shares, first_order, errors = biases(name, draws, seeds=12)
    assert shares.mean() < 0.25
    spread = np.hypot(first_order.std(ddof=1), errors.std(ddof=1) / 2) / np.sqrt(len(errors))
    assert first_order.mean() >= errors.mean() / 2 - STANDARD_ERRORS * spread


def test_first_order_bias_tells_little_of_the_bias_where_own_shares_are_large():
    """Forty units: nearly every query meets its own draw alone. The plug-in is log N, and has no first-order bias."""
    signals = normal_tensor(32, 32, 40)  # draws of one law for all inputs: I(X;T) = 0
    bound = bounds(signals[:, :8].contiguous(), signals[:, 8:].contiguous(), 0.3)
    assert bound.own_share(INFORMATION) > 0.99
    assert bound.bound(INFORMATION).value > np.log(32) - 0.1
    assert abs(bound.bound(INFORMATION).bias) < 0.1
