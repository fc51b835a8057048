"""Samples of layers: few dimensions that hold all, others whose loss is bounded, and layers too wide to be held."""

import math
import time

import numpy as np
import pytest
import torch
from layerbits.estimators.sampling import sample_layers
from torch import nn

from layerbits import layer_information, noisify, propagate
from layerbits.calibration import V1
from layerbits.estimators import sampling as samples
from tests.support.answers import gaussian_mixture_information

TASKS = {task.name: task for task in V1}
Z = 5


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def identity(count=1, sigma=0.5):
    return noisify(nn.Sequential(*(nn.Identity() for _ in range(count))), sigma=sigma, layers=nn.Identity)


def sampled(noisy, inputs, *, layers=None, draws=8, queries=None, seed=0):
    return sample_layers(noisy, inputs, layers=layers, draws=draws, queries=queries, seed=seed)


def embedded(coordinates, d):
    """Points (n, k) in R^d, away from zero."""
    k = coordinates.shape[1]
    return coordinates @ torch.linalg.qr(random(d, k, seed=1)).Q.T + random(d, seed=2)


# Shapes, draws and queries


@pytest.mark.parametrize(
    ("inputs", "draws", "asked", "exact", "noisy"),
    [
        (20, 8, None, 820, 4),  # 16,384 in all; behind noise 4, or a quarter of the draws
        (20, 2, None, 820, 1),
        (20, 40, None, 820, 10),
        (5000, 6, None, 4, 3),
        (20, 8, 3, 3, 3),
        (20, 8, 100, 100, 4),  # of the draws at most a half
    ],
)
def test_queries_are_those_asked_or_as_many_as_are_enough(inputs, draws, asked, exact, noisy):
    found = sampled(identity(2), random(inputs, 2), draws=draws, queries=asked)
    assert [(one.signals.shape, one.queries) for one in found.values()] == [
        ((inputs, 1, 2), exact),
        ((inputs, draws, 2), noisy),
    ]
    assert [one.is_exact for one in found.values()] == [True, False]


def test_a_single_draw_behind_noise_is_refused():
    with pytest.raises(ValueError, match=r"^draws: got 1, wanted at least 2, for '1' lies behind noise"):
        sampled(identity(2), random(5, 2), draws=1)


def test_layers_come_in_the_order_of_the_network():
    assert list(sampled(identity(3), random(5, 2), layers=["2", "0"])) == ["0", "2"]


# Noise


COVARIANCE = torch.tensor([[0.5, 0.2], [0.2, 0.3]]).double()


@pytest.mark.parametrize(
    ("sigma", "covariance"),
    [
        (0.4, 0.16 * torch.eye(2).double()),
        (torch.tensor([0.3, 0.8]), torch.tensor([0.09, 0.64]).diag().double()),
        (COVARIANCE, COVARIANCE),
    ],
    ids=["isotropic", "deviations", "covariance"],
)
@pytest.mark.parametrize(("layer", "most_values"), [("0", 2**27), ("1", 2**27), ("1", 1)])
def test_whitened_signals_have_the_distances_of_mahalanobis(monkeypatch, sigma, covariance, layer, most_values):
    """The information depends on these alone: those of layer 1, held or viewed, are of layer 0 with its noise."""
    monkeypatch.setattr(samples, "_MOST_VALUES", most_values)
    noisy = identity(2, sigma=sigma)
    found = sampled(noisy, random(6, 2), layers=layer)[layer]
    signals = propagate(noisy, random(6, 2), draws=8, layers=layer)[layer][:, : 1 if found.is_exact else 8]
    points, places = signals.flatten(0, 1).numpy(), found.signals.flatten(0, 1).numpy()
    away, moved = points - points[0], (places - places[0]) / found.sigma
    truth = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance.numpy()), away)
    # float32 deviations are known to 6e-8.
    np.testing.assert_allclose(np.square(moved).sum(1), truth, rtol=1e-6, atol=1e-9)
    entropy = np.linalg.slogdet(2 * np.pi * np.e * covariance.numpy())[1] / 2
    assert found.entropy == pytest.approx(entropy, abs=1e-6)


# Fewer dimensions


@pytest.mark.parametrize("depth", [1, 2])
def test_dimensions_that_hold_nothing_go_at_no_cost(depth):
    """Signals of rank 3 in 200 units; behind noise the second layer sees it in 3 directions too."""
    first = nn.Linear(3, 200, dtype=torch.float64)
    second = nn.Linear(200, 200, dtype=torch.float64)
    with torch.no_grad():
        first.weight.copy_(torch.linalg.qr(random(200, 3)).Q)
        second.weight.copy_(torch.linalg.qr(random(200, 3, seed=1)).Q @ random(3, 200, seed=2) / 10)
    noisy = noisify(nn.Sequential(first, second), sigma=0.5, layers=nn.Linear)
    layer = ["0", "1"][depth - 1]
    found = sampled(noisy, random(30, 3), layers=layer)[layer]
    assert found.signals.shape[2] == 3
    assert found.lost <= 1e-7


def test_exact_reduction_keeps_the_information():
    places = random(40, 3, seed=3)
    row = layer_information(identity(), embedded(places, 300))["0", "I(X;T)"]
    truth, error = gaussian_mixture_information(places.numpy(), 0.25 * np.eye(3), 100_000, seed=1)
    assert abs(row.value - truth) <= Z * math.hypot(row.standard_error, error)


@pytest.mark.parametrize("layer", ["0", "1"])
def test_dimensions_left_out_cost_no_more_than_they_say(monkeypatch, layer):
    """A tail of 15 weak directions, which may go for 0.2 nats: the truth is above what the others tell by no more.

    The second layer makes S = D (X + Z) with a tail in D, so that T given x is N(D x, sigma^2 (D^2 + I)).
    """
    monkeypatch.setattr(samples, "_MANY_DIMENSIONS", 2)
    monkeypatch.setattr(samples, "_COST", 0.2)
    tail = torch.tensor([1.0, 1.0] + [0.06] * 15).double()
    linear = nn.Linear(17, 17, bias=False, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(tail.diag())
    noisy = noisify(nn.Sequential(nn.Identity(), linear), sigma=0.5, layers=["0", "1"])
    values = random(60, 17)
    inputs, noise = (values * tail, torch.zeros(17)) if layer == "0" else (values, tail)
    covariance = 0.25 * (noise.square() + 1).diag().double().numpy()
    truth, error = gaussian_mixture_information((values * tail).numpy(), covariance, 30_000, seed=1)
    found = sampled(noisy, inputs, draws=32, layers=layer)[layer]
    assert found.signals.shape[2] < 17
    assert 0.02 < found.lost < 0.4  # of fresh draws it may be more than what was asked for
    row = layer_information(noisy, inputs, layers=layer, draws=32, confidence=0.999)[layer, "I(X;T)"]
    assert row.lower - Z * error <= truth <= row.upper + Z * error
    if found.is_exact:
        part = gaussian_mixture_information(
            found.signals[:, 0].numpy(), 0.25 * np.eye(found.signals.shape[2]), 30_000, seed=2
        )
        margin = Z * math.hypot(error, part[1])
        assert part[0] - margin <= truth <= part[0] + found.lost + margin


def test_directions_are_not_made_of_draws_that_carry_queries(monkeypatch):
    """A decoder must not know them: signals of which the last alone leave the line are seen along the line."""
    monkeypatch.setattr(samples, "_MANY_DIMENSIONS", 1)
    monkeypatch.setattr(samples, "_COST", math.inf)
    seen = []

    def recording(centers, *args, **options):
        seen.append(len(centers))
        return fit(centers, *args, **options)

    fit = samples.fit_subspace
    monkeypatch.setattr(samples, "fit_subspace", recording)
    sampled(identity(2), random(10, 3), layers="1", draws=8, queries=3)
    assert seen == [10 * 5]


# Too wide to be held


@pytest.mark.parametrize("name", ["broadcast-64", "scalar-2-of-8", "linear-plane", "linear-cube-4"])
@pytest.mark.parametrize("dimensions", [1, 256])
def test_layer_too_wide_to_be_held_is_bracketed_from_views(monkeypatch, name, dimensions):
    """Seeds are fixed; an interval at 99.9 % that misses is a fault."""
    monkeypatch.setattr(samples, "_MOST_VALUES", 1)
    monkeypatch.setattr(samples, "_MOST_DIMENSIONS", dimensions)
    task = TASKS[name]
    network = task.network()
    found = sampled(network, task.inputs, layers=task.layer, draws=64)[task.layer]
    assert found.signals.shape[2] <= min(dimensions, task.matrices[-1].shape[0])
    table = layer_information(network, task.inputs, task.labels, layers=task.layer, draws=128, confidence=0.999)
    for quantity, truth in task.truths.items():
        row = table[task.layer, quantity]
        assert row.lower - 1e-9 <= truth.value <= row.upper + 1e-9, quantity


def test_views_that_hold_all_are_the_signals(monkeypatch):
    task = TASKS["broadcast-64"]
    whole = sampled(task.network(), task.inputs, layers="3")["3"]
    monkeypatch.setattr(samples, "_MOST_VALUES", 1)
    viewed = sampled(task.network(), task.inputs, layers="3")["3"]
    here, there = (one.signals.flatten(0, 1) for one in (whole, viewed))
    # Distances in a subspace of all two draws of every input, and in one of the draws without queries.
    np.testing.assert_allclose(*(np.linalg.norm(one - one[0], axis=1) for one in (here, there)), atol=1e-3)
    assert viewed.lost <= 1e-3


@pytest.mark.parametrize(("layer", "units"), [("0", 6000), ("1", 1000)])
def test_wide_layer_ends_in_seconds_at_log_n(layer, units):
    """Ten times what it takes on one idle core."""
    noisy, inputs = identity(2), random(300, units)
    began = time.monotonic()
    row = layer_information(noisy, inputs, layers=layer, draws=8)[layer, "I(X;T)"]
    assert time.monotonic() - began < 10
    assert (row.upper, row.plug_in) == (pytest.approx(math.log(300), abs=1e-9),) * 2
    assert row.note == "saturated at log N: the inputs are told apart, and no more is known"


def test_wide_layer_behind_no_noise_is_certified_to_know_all():
    row = layer_information(identity(), random(300, 6000))["0", "I(X;T)"]
    assert row.lower == pytest.approx(math.log(300), abs=1e-9)
