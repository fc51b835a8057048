"""Samples of layers: passes, queries, reduction of dimension with and without loss, and layers too wide for memory."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import layer_information, noisify, propagate
from layerbits.calibration import V1
from layerbits.estimators import Problem, layer_groups, layer_sample, principal_view
from layerbits.estimators.layer_sample import sample_layers
from layerbits.mixtures import coordinates_in_blocks, fit_subspace
from layerbits.networks import read_inputs
from tests.support.answers import gaussian_mixture_information
from tests.support.networks import dense, noisy_identities
from tests.support.random_arrays import normal_tensor

TASKS = {task.name: task for task in V1}
STANDARD_ERRORS = 5


def sample_network(noisy, inputs, *, layers=None, draws=8, queries=None, seed=0):
    problem = Problem.of(noisy, read_inputs(inputs, noisy), layers=layers)
    return sample_layers(problem, problem.layers, draws, queries, seed)


def squared_distances(sample):
    """Return the squared distances of all signals from the first one."""
    signals = sample.signals.flatten(0, 1).numpy()
    return np.square(signals - signals[0]).sum(1)


# Passes and queries


@pytest.mark.parametrize(
    ("inputs", "draws", "queries", "exact", "behind_noise"),
    [
        (20, 8, None, 820, 4),  # 16,384 in all; behind noise the larger of 4 and a quarter of the draws
        (20, 2, None, 820, 1),  # at most half of the draws
        (20, 40, None, 820, 10),
        (5000, 6, None, 4, 3),
        (20, 8, 3, 3, 3),
        (20, 8, 100, 100, 4),
    ],
)
def test_number_of_queries_is_the_wanted_or_the_default_number(inputs, draws, queries, exact, behind_noise):
    samples = sample_network(noisy_identities(2), normal_tensor(inputs, 2), draws=draws, queries=queries)
    assert [(sample.signals.shape, sample.queries) for sample in samples.values()] == [
        ((inputs, 1, 2), exact),
        ((inputs, draws, 2), behind_noise),
    ]
    assert [sample.is_exact for sample in samples.values()] == [True, False]


@pytest.mark.parametrize(("layers", "draws", "passes"), [(None, 8, [2, 6]), ("0", 8, [2]), (None, 2, [2])])
def test_probing_passes_are_part_of_the_draws(layers, draws, passes):
    noisy, rows = noisy_identities(2, inputs=torch.zeros(1, 2)), []
    noisy.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    sample_network(noisy, normal_tensor(5, 2), layers=layers, draws=draws)
    # The passes that find the layers, their rows and what acts on them have 2, 3 or 16 rows.
    assert [count for count in rows if count % 5 == 0] == [5 * count for count in passes]
    assert {count for count in rows if count % 5} == {2, 3, 16}


@pytest.mark.parametrize("budget_per_value", [8, 2**40], ids=["held", "viewed"])
def test_signals_are_those_of_all_draws_in_their_order(monkeypatch, budget_per_value):
    monkeypatch.setattr(layer_groups, "_BUDGET_PER_VALUE", budget_per_value)
    noisy, inputs = noisy_identities(2), normal_tensor(5, 2)
    signals = propagate(noisy, inputs, draws=8, layers="1")["1"].flatten(0, 1).numpy()
    truth = np.square(signals - signals[0]).sum(1)
    np.testing.assert_allclose(
        squared_distances(sample_network(noisy, inputs, layers="1")["1"]), truth, rtol=1e-9, atol=1e-12
    )


def test_single_draw_behind_noise_is_refused():
    with pytest.raises(ValueError, match=r"^draws: got 1, wanted at least 2, because '1' lies behind noise"):
        sample_network(noisy_identities(2), normal_tensor(5, 2), draws=1)


def test_layers_come_in_the_order_of_the_network():
    assert list(sample_network(noisy_identities(3), normal_tensor(5, 2), layers=["2", "0"])) == ["0", "2"]


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
@pytest.mark.parametrize(("layer", "budget_per_value"), [("0", 8), ("1", 8), ("1", 2**40)])
def test_distances_of_whitened_signals_are_mahalanobis_distances(
    monkeypatch, sigma, covariance, layer, budget_per_value
):
    """The information depends on these distances alone."""
    monkeypatch.setattr(layer_groups, "_BUDGET_PER_VALUE", budget_per_value)
    noisy, inputs = noisy_identities(2, sigma), normal_tensor(6, 2)
    sample = sample_network(noisy, inputs, layers=layer)[layer]
    signals = propagate(noisy, inputs, draws=sample.draws, layers=layer)[layer].flatten(0, 1).numpy()
    deviations = signals - signals[0]
    truth = np.einsum("ni,ij,nj->n", deviations, np.linalg.inv(covariance.numpy()), deviations)
    # The standard deviations in float32 are rounded by 6e-8.
    np.testing.assert_allclose(squared_distances(sample) / sample.sigma**2, truth, rtol=1e-6, atol=1e-9)
    entropy = np.linalg.slogdet(2 * np.pi * np.e * covariance.numpy())[1] / 2
    assert sample.noise_entropy == pytest.approx(entropy, abs=1e-6)


# Fewer dimensions


@pytest.mark.parametrize("layer", ["0", "1"])
def test_dimensions_without_signal_are_omitted_at_no_loss(layer):
    """Signals have rank 3 in 200 units; the noise of the first layer enters the second in 3 directions too."""
    first_weight = torch.linalg.qr(normal_tensor(200, 3)).Q
    second_weight = torch.linalg.qr(normal_tensor(200, 3, seed=1)).Q @ normal_tensor(3, 200, seed=2) / 10
    noisy = noisify(nn.Sequential(dense(first_weight), dense(second_weight)), sigma=0.5, layers=nn.Linear)
    sample = sample_network(noisy, normal_tensor(30, 3), layers=layer)[layer]
    assert sample.signals.shape[2] == 3
    assert sample.dimension_loss <= 1e-7


def test_exact_reduction_keeps_the_information():
    """The points lie in a subspace of 3 dimensions of R^300, away from zero."""
    points = normal_tensor(40, 3, seed=3)
    directions = torch.linalg.qr(normal_tensor(300, 3, seed=1)).Q
    row = layer_information(noisy_identities(1), points @ directions.T + normal_tensor(300, seed=2))["0", "I(X;T)"]
    truth, error = gaussian_mixture_information(points.numpy(), 0.25 * np.eye(3), 100_000, seed=1)
    assert abs(row.value - truth) <= STANDARD_ERRORS * math.hypot(row.standard_error, error)


@pytest.mark.parametrize("layer", ["0", "1"])
def test_omitted_dimensions_lose_at_most_the_dimension_loss(monkeypatch, layer):
    """The loss is limited to 0.2 nats in the draws that fit the directions; other draws may lose more.

    The second layer makes S = D (X + Z) with weak directions in D, so that T given x is N(D x, sigma^2 (D^2 + I)).
    """
    monkeypatch.setattr(layer_sample, "_MANY_DIMENSIONS", 2)
    monkeypatch.setattr(layer_sample, "_DIMENSION_LOSS", 0.2)
    scales = torch.tensor([1.0, 1.0] + [0.06] * 15).double()
    noisy = noisify(nn.Sequential(nn.Identity(), dense(scales.diag())), sigma=0.5, layers=["0", "1"])
    values = normal_tensor(60, 17)
    inputs, noise = (values * scales, torch.zeros(17)) if layer == "0" else (values, scales)
    covariance = 0.25 * (noise.square() + 1).diag().double().numpy()
    truth, error = gaussian_mixture_information((values * scales).numpy(), covariance, 30_000, seed=1)
    sample = sample_network(noisy, inputs, draws=32, layers=layer)[layer]
    dimensions = sample.signals.shape[2]
    assert dimensions < 17
    assert 0.02 < sample.dimension_loss < 0.4
    row = layer_information(noisy, inputs, layers=layer, draws=32, confidence=0.999, estimator="draws")[layer, "I(X;T)"]
    assert row.lower - STANDARD_ERRORS * error <= truth <= row.upper + STANDARD_ERRORS * error
    if sample.is_exact:
        centers = sample.signals[:, 0].numpy()
        reduced, reduced_error = gaussian_mixture_information(centers, 0.25 * np.eye(dimensions), 30_000, seed=2)
        margin = STANDARD_ERRORS * math.hypot(error, reduced_error)
        assert reduced - margin <= truth <= reduced + sample.dimension_loss + margin


@pytest.mark.parametrize(
    ("budget_per_value", "draws", "queries", "fitted_draws"),
    [(8, 8, 3, 5), (2**40, 8, 3, 2), (2**40, 2, None, 1)],
    ids=["held", "viewed", "viewed, two draws"],
)
def test_subspaces_are_fitted_to_draws_without_queries(monkeypatch, budget_per_value, draws, queries, fitted_draws):
    """Decoders must not depend on draws with queries. A view is fitted to at most two draws."""
    monkeypatch.setattr(layer_groups, "_BUDGET_PER_VALUE", budget_per_value)
    sizes = []

    def recording(centers, *args, **options):
        sizes.append(len(centers))
        return fit_subspace(centers, *args, **options)

    for module in (layer_sample, principal_view):
        monkeypatch.setattr(module, "fit_subspace", recording)
    sample_network(noisy_identities(2), normal_tensor(10, 3), layers="1", draws=draws, queries=queries)
    assert sizes == [10 * fitted_draws]


# Layers too wide for memory


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [("broadcast-64", 1), ("scalar-2-of-8", 1), ("linear-plane", 1), ("linear-cube-4", 1), ("broadcast-64", 256)],
)
def test_intervals_of_a_layer_recorded_in_a_view_contain_the_true_values(monkeypatch, name, dimensions):
    monkeypatch.setattr(layer_groups, "_BUDGET_PER_VALUE", 2**40)
    monkeypatch.setattr(principal_view, "MAX_DIMENSIONS", dimensions)
    task = TASKS[name]
    network = task.network()
    sample = sample_network(network, task.inputs, layers=task.layer, draws=64)[task.layer]
    assert sample.signals.shape[2] <= min(dimensions, task.matrices[-1].shape[0])
    table = layer_information(
        network, task.inputs, task.labels, layers=task.layer, draws=128, confidence=0.999, estimator="draws"
    )
    for quantity, truth in task.truths.items():
        row = table[task.layer, quantity]
        assert row.lower - 1e-9 <= truth.value <= row.upper + 1e-9, quantity


def test_views_of_all_dimensions_are_the_signals(monkeypatch):
    task = TASKS["broadcast-64"]
    sample = sample_network(task.network(), task.inputs, layers="3")["3"]
    monkeypatch.setattr(layer_groups, "_BUDGET_PER_VALUE", 2**40)
    view = sample_network(task.network(), task.inputs, layers="3")["3"]
    # The view is fitted to the two probing passes, the other subspace to all draws without queries. All signals lie on
    # one line, at distances below 12 and with 64 units, so only the rounding of float64 differs.
    np.testing.assert_allclose(*(np.sqrt(squared_distances(sample)) for sample in (sample, view)), rtol=0, atol=1e-12)
    assert view.dimension_loss <= 1e-12


@pytest.mark.parametrize(("layer", "units"), [("0", 6000), ("1", 500)])
def test_wide_layer_is_saturated(layer, units):
    row = layer_information(noisy_identities(2), normal_tensor(300, units), layers=layer, draws=8, estimator="draws")[
        layer, "I(X;T)"
    ]
    assert (row.upper, row.plug_in) == (pytest.approx(math.log(300), abs=1e-9),) * 2
    assert row.flags == ("saturated",)
    if layer == "0":
        assert row.lower == pytest.approx(math.log(300), abs=1e-9)


# Many values


@pytest.mark.parametrize("layer", ["1", "3"], ids=["behind no noise", "behind noise"])
def test_signals_in_half_precision_are_reduced_without_a_copy_in_float32(monkeypatch, layer):
    network = nn.Sequential(nn.Linear(4, 20), nn.Tanh(), nn.Linear(20, 90), nn.Tanh(), nn.Linear(90, 2)).bfloat16()
    noisy, inputs = noisify(network, sigma=0.5, layers=nn.Tanh), normal_tensor(12, 4).bfloat16()
    expected = squared_distances(sample_network(noisy, inputs, layers=layer)[layer])
    monkeypatch.setattr(layer_sample, "_WHOLE_VALUES", 1)
    dtypes = []

    def recording(points, *args, **options):
        dtypes.append(points.dtype)
        return coordinates_in_blocks(points, *args, **options)

    monkeypatch.setattr(layer_sample, "coordinates_in_blocks", recording)
    sample = sample_network(noisy, inputs, layers=layer)[layer]
    assert dtypes == [torch.bfloat16]
    assert sample.signals.dtype == torch.float32
    # Coordinates of some 3 sigma, rounded to float32.
    np.testing.assert_allclose(np.sqrt(squared_distances(sample)), np.sqrt(expected), atol=1e-5)


@pytest.mark.parametrize("sigma", [0.4, torch.tensor([0.3, 0.8, 0.5])], ids=["isotropic", "deviations"])
@pytest.mark.parametrize("layer", ["0", "1"])
def test_a_sample_in_blocks_has_the_distances_of_the_whole(monkeypatch, sigma, layer):
    noisy, inputs = noisy_identities(2, sigma), normal_tensor(9, 3)
    whole = sample_network(noisy, inputs, layers=layer)[layer]
    monkeypatch.setattr(layer_sample, "_WHOLE_VALUES", 1)
    blocks = sample_network(noisy, inputs, layers=layer)[layer]
    np.testing.assert_allclose(squared_distances(blocks), squared_distances(whole), rtol=1e-9, atol=1e-12)
    assert (blocks.queries, blocks.dimension_loss) == (whole.queries, pytest.approx(whole.dimension_loss, abs=1e-12))


def test_loss_is_that_of_draws_that_the_axes_were_not_fitted_to():
    """Five draws of three inputs span a subspace of 50 units, and the three draws with queries lie outside."""
    noisy, inputs = noisy_identities(2), normal_tensor(3, 50)
    sample = sample_network(noisy, inputs, layers="1", queries=3)["1"]
    signals = propagate(noisy, inputs, draws=8, layers="1")["1"].double()
    fitted = signals[:, :5].flatten(0, 1)
    axes = torch.linalg.svd(fitted - fitted.mean(0), full_matrices=False).Vh[:14]
    deviations = (signals[:, 5:] - fitted.mean(0)).flatten(0, 1)
    remainder = deviations - deviations @ axes.T @ axes
    expected = float(remainder.square().sum(1).mean()) / 2 / sample.sigma**2
    assert sample.dimension_loss == pytest.approx(expected, rel=1e-6)


def test_ends_of_a_layer_of_many_values_allow_for_the_units_that_are_left_out(monkeypatch):
    """300 units behind noise: T given x is Gaussian with the variance 2 sigma^2, so h(T|X) is known.

    Without the terms of the omitted units, the upper end would miss some 100 nats of the entropy. The bet on 64 final
    queries costs some 100 nats, because a term may be as large as 1000.
    """
    monkeypatch.setattr(layer_sample, "_WHOLE_VALUES", 1)
    noisy, inputs = noisy_identities(2), normal_tensor(64, 300)
    sample = sample_network(noisy, inputs, layers="1", draws=8, queries=2)["1"]
    assert sample.signals.shape[2] <= 64
    assert sample.omitted.squares.shape == (64, 2)
    assert sample.dimension_loss == pytest.approx(sample.omitted.narrow_terms.mean())
    table = layer_information(noisy, inputs, layers="1", draws=8, queries=2, estimator="draws")
    truth = 150 * math.log(2 * math.pi * math.e * 2 * 0.25)
    row = table["1", "h(T|X)"]
    assert row.lower <= truth <= row.upper < truth + 150
    assert table["1", "h(T)"].upper >= truth + math.log(64) - 0.1
