"""Intervals of I(T_k;T_l): invariance, draws and queries, confidence, arguments."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from layerbits import NoNoiseError, information_between_layers, noisify
from tests.support.networks import dense, noisy_identities, three_tanh_layers
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(300, 4, seed=9)

pytestmark = pytest.mark.usefixtures("one_thread")

# Noise that differs from layer to layer: one standard deviation, one for each unit, a full covariance.
ROOTS = [
    0.3 * torch.eye(3).double(),
    torch.tensor([0.2, 1.0, 0.5]).double().diag(),
    normal_tensor(3, 3, seed=6).tril() + 2,
]
KINDS = [0.3, ROOTS[1].diagonal(), ROOTS[2] @ ROOTS[2].mT]


@pytest.mark.parametrize(("order", "last"), [((0, 1, 2), "1"), ((0, 1, 2), "2"), ((2, 1, 0), "2")])
def test_information_is_that_of_whitened_layers_with_isotropic_noise(order, last):
    """Both networks have the same random numbers. Exponents up to 1e4, as |t - c| < 100 sigma, are rounded by 1e-12."""
    roots = [torch.linalg.cholesky(ROOTS[kind] @ ROOTS[kind].mT) for kind in order]
    by_layer = {str(layer): KINDS[kind] for layer, kind in enumerate(order)}
    inputs = normal_tensor(30, 3)
    layers = nn.Sequential(*(nn.Identity() for _ in roots))
    estimate = information_between_layers(noisify(layers, sigma=by_layer, layers=nn.Identity), inputs, "0", last)
    maps = [torch.linalg.solve(after, before) for before, after in pairwise(roots)]
    whitened = noisify(nn.Sequential(nn.Identity(), *map(dense, maps)), sigma=1.0, layers=["0", "1", "2"])
    expected = information_between_layers(whitened, torch.linalg.solve(roots[0], inputs.T).T, "0", last)
    numbers = {
        name: pytest.approx(getattr(expected, name), abs=1e-11, nan_ok=True)
        for name in ("value", "standard_error", "lower", "upper")
    }
    assert dataclasses.asdict(estimate) == dataclasses.asdict(expected) | numbers


def test_orthonormal_map_into_many_dimensions_does_not_change_the_information():
    """In directions orthogonal to the signals T is noise alone, which carries no information."""
    network = nn.Sequential(nn.Identity(), dense(torch.linalg.qr(normal_tensor(200, 3, seed=5)).Q))
    inputs = normal_tensor(30, 3)
    embedded = information_between_layers(noisify(network, sigma=0.5, layers=["0", "1"]), inputs, "0", "1", queries=512)
    plain = information_between_layers(noisy_identities(2), inputs, "0", "1", queries=512)
    assert abs(embedded.value - plain.value) <= 5 * math.hypot(embedded.standard_error, plain.standard_error)
    # For signals of up to 10 times the noise in the 197 other dimensions, a bet loses log(1 / risk) / n of its largest
    # term.
    allowance = math.log(40) / (30 * 512) * 197 / 2 * math.log(101)
    width = plain.upper - plain.lower
    assert 0.8 * width <= embedded.upper - embedded.lower <= 1.2 * width + allowance


def test_lower_end_is_a_student_bound_less_an_allowance():
    """Student's quantiles have some 4095 degrees of freedom; their differences are those of normal quantiles to 1 %."""
    inputs, levels = normal_tensor(1, 3), [0.5, 0.9, 0.99]
    estimates = [
        information_between_layers(noisy_identities(2), inputs, "0", "1", confidence=level) for level in levels
    ]
    quarters = [(1 - level) / 4 for level in levels]
    # An end is m - p (log C + p + log 1/p), with m Student's bound and C draws: 4096 with queries, and a pool of 5120.
    probabilities = [-math.log(risk) / 4096 for risk in quarters]
    seen = [
        estimate.lower + p * (math.log(4096 + 5120) + p - math.log(p))
        for estimate, p in zip(estimates, probabilities, strict=True)
    ]
    moves = np.diff(seen) / np.diff(stats.norm.ppf(quarters))
    assert moves[0] == pytest.approx(moves[1], rel=0.02)


@pytest.mark.parametrize(("activation", "flags"), [(nn.Tanh, ()), (nn.Identity, ("tail_assumed",))])
def test_tail_is_assumed_unless_the_activation_function_bounds_the_signals(activation, flags):
    noisy = noisify(nn.Sequential(nn.Identity(), activation()), sigma=0.5, layers=["0", "1"])
    assert information_between_layers(noisy, INPUTS, "0", "1", draws=4).flags == flags


def test_interval_narrows_with_draws_and_queries():
    few_draws, many_draws = (
        information_between_layers(three_tanh_layers(), INPUTS[:150], "1", "5", draws=draws, queries=queries)
        for draws, queries in ((4, 2), (48, 16))
    )
    assert few_draws.lower < many_draws.lower < many_draws.upper < few_draws.upper


def test_few_inputs_have_more_queries():
    """Queries are at least 4096 in all, and a quarter more choose densities; each has draws given its own T_k.

    The pool has at least as many draws as there are queries.
    """
    counts = {
        last: information_between_layers(noisy_identities(3), INPUTS[:32], "0", last, draws=8).draws for last in "12"
    }
    many_inputs = information_between_layers(noisy_identities(3), INPUTS, "0", "2", draws=8).draws
    assert (counts, many_inputs) == ({"1": 160 + 160 * 2, "2": 160 + 160 * 9}, 17 + 17 * 9)


def test_feature_maps_have_information_in_common():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Conv2d(2, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 1))
    images = normal_tensor(16, 1, 5, 5, dtype=torch.float32)
    estimate = information_between_layers(noisify(network, sigma=0.01), images, "1", "3", draws=64)
    assert math.log(16) < estimate.lower < estimate.upper


# Arguments


def test_arrays_and_tuples_give_the_values_of_tensors():
    inputs = INPUTS[:20]
    expected = information_between_layers(three_tanh_layers(), inputs, "1", "5", draws=4)
    for argument in (inputs.numpy(), (inputs,), (inputs.numpy(),)):
        assert information_between_layers(three_tanh_layers(), argument, "1", "5", draws=4) == expected


def test_seed_decides_the_estimate():
    estimate, repeated, different = (
        information_between_layers(three_tanh_layers(), INPUTS[:20], "1", "3", seed=seed) for seed in (1, 1, 2)
    )
    assert estimate == repeated != different


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"draws": 1}, ValueError),
        ({"queries": 1}, ValueError),
        ({"confidence": 1}, ValueError),
        ({"seed": "a"}, TypeError),
        ({"estimator": np.zeros(2)}, ValueError),
    ],
)
def test_bad_option_is_refused(option, error):
    with pytest.raises(error, match=next(iter(option))):
        information_between_layers(noisy_identities(2), INPUTS, "0", "1", **option)


def test_network_without_noise_is_refused():
    with pytest.raises(NoNoiseError):
        information_between_layers(nn.Linear(4, 2), INPUTS, "0", "1")


def test_signals_beyond_the_budget_are_named():
    """4 inputs have 1,024 values of the first layer, as many draws of the pool and of the second: 3 MiB of 64 units."""
    layers = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    noisy = noisify(layers, sigma=0.5, inputs=INPUTS[:4].float())
    with pytest.warns(UserWarning, match=r"^max_memory: got 1048576, but the signals of '1' and '3', which are held"):
        information_between_layers(noisy, INPUTS[:4].float(), "1", "3", draws=2, max_memory=2**20)
