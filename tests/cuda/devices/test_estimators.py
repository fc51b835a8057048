"""Estimates on a device agree with those on the CPU if the noise is the same.

Information between layers, mixture information and class separation copy no rows to the host.
"""

import numpy as np
import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits import baselines
from layerbits.estimators import principal_view
from layerbits.mixtures import Subspace
from layerbits.networks.noise.gaussian import gaussian_noise

# Exponents reach some hundred in float64, and the ends of intervals are computed to 1e-9.
ROUNDING = 1e-8

# The number of units, which is the length of rows; no other array that is copied has a multiple of this size.
WIDTH = 7
N = 48


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


INPUTS, LABELS = normal(N, WIDTH), torch.arange(N) % 3
DEVIATIONS = normal(WIDTH, seed=1).square() + 0.1
COVARIANCE = 0.1 * (torch.eye(WIDTH, dtype=torch.float64) + normal(WIDTH, WIDTH, seed=2).cov())


@pytest.fixture
def no_rows_are_copied(copies_to_host):
    yield
    sizes = copies_to_host()
    assert sizes  # the results
    row = 8 * WIDTH
    assert [size for size in sizes if size > row and size % row == 0] == []


def network(device, sigma=0.3):
    torch.manual_seed(0)
    modules = [module for _ in range(3) for module in (nn.Linear(WIDTH, WIDTH), nn.Tanh())]
    return lb.noisify(nn.Sequential(*modules).double(), sigma=sigma, layers=nn.Tanh).to(device)


def on_both_devices(estimate):
    """Return the estimates on the CPU and on a device."""
    return [estimate(device) for device in ("cpu", "cuda")]


def assert_same_rows(tables):
    for row, expected in zip(*tables, strict=True):
        assert (row.layer, row.quantity, row.note) == (expected.layer, expected.quantity, expected.note)
        for field in ("value", "lower", "upper", "standard_error"):
            wanted = pytest.approx(getattr(expected, field), abs=ROUNDING, nan_ok=True)
            assert getattr(row, field) == wanted, (row.layer, field)


def information(device, *, sigma=0.3, **options):
    """Measure by draws: with "auto", a network on a device has no known network beside them."""
    options = {"queries": 4, "labels": LABELS.to(device), "estimator": "draws"} | options
    return lb.layer_information(network(device, sigma), INPUTS.to(device), **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"labels": None, "draws": 2},
        {"tolerance": 0.3, "draws": 8},
        {"estimator": "paper"},
        {"sigma": 0.005},
        {"sigma": DEVIATIONS},
        {"sigma": COVARIANCE},
    ],
    ids=["labels", "no labels", "tolerance", "paper", "little noise", "deviations", "covariance"],
)
def test_layer_information_agrees_with_that_of_the_cpu(same_noise, options):
    assert_same_rows(on_both_devices(lambda device: information(device, **options)))


def test_views_of_wide_layers_agree_with_those_of_the_cpu(same_noise, wide_layer_limits):
    assert_same_rows(on_both_devices(information))


def test_views_of_wide_layers_do_not_depend_on_the_precision_of_products_in_float32():
    """Signals of length 2e3 in float32 have a residual near 1e-8; with squares in float32 it would be near 0.1."""
    directions = torch.linalg.qr(normal(400, 3)).Q.cuda()
    subspace = Subspace(directions.new_zeros(400), directions)
    signals = (1000 * normal(1, 50, 3).cuda() @ directions.mT).float()
    assert principal_view.view_values(gaussian_noise(0.1), subspace, signals)[..., -1].max() < 1e-6


def test_information_of_arrays_agrees_with_that_of_tensors():
    noisy = network("cuda")
    tables = [lb.layer_information(noisy, inputs, draws=4, queries=2) for inputs in (INPUTS.cuda(), INPUTS.numpy())]
    assert_same_rows(tables)


def test_network_on_the_second_device_is_measured(second_device):
    noisy = network(second_device)
    table = lb.layer_information(noisy, INPUTS.to(second_device), draws=4, queries=2)
    assert all(row.lower <= row.upper for row in table)


@pytest.mark.parametrize("layer", ["3", "5"], ids=["adjacent layers", "distant layers"])
def test_information_between_layers_agrees_with_that_of_the_cpu(same_noise, layer):
    def estimate(device):
        return lb.information_between_layers(network(device), INPUTS.to(device), "1", layer, draws=4)

    assert_same_estimates(*on_both_devices(estimate))


def test_information_between_layers_copies_no_signals(no_rows_are_copied):
    """Queries of an input, those that choose densities and both together are 92, 23 and 115, no multiples of WIDTH."""
    lb.information_between_layers(network("cuda"), INPUTS.cuda(), "1", "5", draws=4, queries=92)


def assert_same_estimates(estimate, expected):
    for field in ("value", "lower", "upper", "standard_error"):
        assert getattr(estimate, field) == pytest.approx(getattr(expected, field), abs=ROUNDING, nan_ok=True), field
    assert (estimate.draws, estimate.converged) == (expected.draws, expected.converged)


@pytest.mark.parametrize("estimate", [lb.mixture_information, lb.mixture_entropy])
@pytest.mark.parametrize("weights", [None, normal(N, seed=3).square()], ids=["equal", "weighted"])
def test_mixtures_agree_with_those_of_the_cpu(same_noise, estimate, weights):
    def on_device(device):
        center_weights = None if weights is None else weights.to(device)
        return estimate(INPUTS.to(device), 0.8, weights=center_weights, tolerance=0.1)

    assert_same_estimates(*on_both_devices(on_device))


def test_neither_centers_nor_queries_are_copied_to_the_host(copies_to_host):
    centers, weights = INPUTS.cuda(), normal(N, seed=3).square().cuda()
    copies_to_host()
    lb.mixture_information(centers, 0.8, weights=weights, tolerance=None)
    sizes = {size for size in copies_to_host() if size > 8 * N}
    assert 8 * N * WIDTH not in sizes
    # A number for each query is copied; the queries themselves would be WIDTH times as large.
    assert sizes.isdisjoint({WIDTH * size for size in sizes})


def test_bounds_stay_on_the_device_with_their_gradients():
    def bounds(device):
        centers = INPUTS.to(device, copy=True).requires_grad_()
        limits = lb.mixture_entropy_bounds(centers, 0.8)
        assert {limit.device.type for limit in limits} == {device}
        sum(limits).backward()
        return torch.stack(limits).detach().cpu(), centers.grad.cpu()

    for tensor, expected in zip(*on_both_devices(bounds), strict=True):
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("labels", [None, LABELS])
def test_histograms_equal_those_of_the_cpu(metric, labels):
    def histogram(device):
        classes = None if labels is None else labels.to(device)
        return lb.pairwise_distance_histogram(INPUTS.to(device), classes, bins=20, metric=metric, range=(0, 2))

    expected, counts = on_both_devices(histogram)
    assert expected.within.sum() > 0
    for field in ("within", "between", "edges", "outside"):
        np.testing.assert_array_equal(getattr(counts, field), getattr(expected, field))


def test_default_range_of_a_histogram_agrees_with_that_of_the_cpu():
    """The largest distances of the CPU and of a device differ by rounding."""
    expected, counts = on_both_devices(lambda device: lb.pairwise_distance_histogram(INPUTS.to(device)))
    np.testing.assert_allclose(counts.edges, expected.edges, rtol=1e-14)


def test_class_separation_agrees_with_that_of_the_cpu():
    expected, separation = on_both_devices(lambda device: lb.class_separation(INPUTS.to(device), LABELS.to(device)))
    for field in ("within", "between", "scatter_ratio", "collapse"):
        assert getattr(separation, field) == pytest.approx(getattr(expected, field), rel=1e-12)


def test_class_separation_copies_no_rows(no_rows_are_copied):
    lb.class_separation(INPUTS.cuda(), LABELS.cuda())


@pytest.mark.parametrize(("n", "width"), [(N, WIDTH), (200, 180)], ids=["a call for each sigma", "one pass"])
def test_profiles_over_sigma_agree_with_those_of_the_cpu(same_noise, n, width):
    points = normal(n, width) / width**0.5

    def profile(device):
        return lb.sigma_profile(points.to(device), np.geomspace(0.03, 3, 10), labels=torch.arange(n) % 3, queries=2)

    for expected, estimate in zip(*on_both_devices(profile), strict=True):
        for field in ("value", "lower", "upper", "standard_error"):
            assert getattr(estimate, field) == pytest.approx(getattr(expected, field), abs=ROUNDING, nan_ok=True)


@pytest.mark.parametrize(
    "estimate",
    [
        lb.binned_information,
        lambda rows, labels: lb.binned_information(rows, edges=torch.tensor([0.0]).to(rows.device), labels=labels),
        baselines.kde_entropy,
        baselines.kozachenko_leonenko_entropy,
        lambda rows, labels: baselines.ksg_information(rows, inputs=rows[:, :2], labels=labels),
        baselines.matrix_renyi_entropy,
        lambda rows, labels: baselines.pairwise_bounds(rows, sigma=0.5, labels=labels)[0],
    ],
    ids=["bins", "edges", "kde", "kl", "ksg", "renyi", "pairwise"],
)
def test_baselines_agree_with_those_of_the_cpu(estimate):
    expected, result = on_both_devices(lambda device: estimate(INPUTS.to(device), labels=LABELS.to(device)))
    numbers = (expected.value, expected.label_information)
    assert (result.value, result.label_information) == pytest.approx(numbers, abs=1e-12)
