"""Gradients of the log-sum-exp: against more digits and the twin, through autograd, and finite where they should be."""

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu, reference
from layerbits.kernels import operations as kernels
from tests.support.exact_mixture import DTYPES, LEVELS, eps, native, native_gradient, true_gradient

EVERY_LEVEL = pytest.mark.parametrize("level", LEVELS)
BOTH_DTYPES = pytest.mark.parametrize("dtype", DTYPES)
NAMES = ["points", "centers", "weights", "sigma"]
EACH = pytest.mark.parametrize("which", range(4), ids=NAMES)


def mixture(m, n, d, dtype, *, scale=1.0, seed=2):
    generator = np.random.default_rng(seed)
    points, centers = (scale * generator.standard_normal((k, d)) for k in (m, n))
    return points.astype(dtype), centers.astype(dtype), generator.random(n).astype(dtype), generator.standard_normal(m)


def assert_within_bound(got, points, centers, sigma, upstream, weights, which):
    results, bounds = true_gradient(points, centers, sigma, upstream, weights=weights)
    assert (np.abs(got[which] - results[which]) <= bounds[which]).all()


@EVERY_LEVEL
@BOTH_DTYPES
@EACH
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("m", "n", "d"), [(1, 1, 1), (17, 33, 3), (33, 9, 8), (8, 41, 17), (5, 16, 65), (3, 7, 784)])
def test_gradient_is_true_to_rounding(level, dtype, which, weighted, m, n, d):
    points, centers, weights, upstream = mixture(m, n, d, dtype)
    weights = weights if weighted else None
    got = native_gradient(points, centers, 0.6 * d**0.5, upstream, weights=weights, level=level)
    assert_within_bound(got, points, centers, 0.6 * d**0.5, upstream, weights, which)


@EVERY_LEVEL
@BOTH_DTYPES
@EACH
@pytest.mark.parametrize("scale", [1, 10])
def test_gradient_is_true_at_small_sigma_beside_large_activations(level, dtype, which, scale):
    _, centers, weights, upstream = mixture(24, 60, 10, dtype, scale=scale)
    noise = 0.005 * np.random.default_rng(9).standard_normal((24, 10))
    points = (centers[:24] + noise).astype(dtype)
    got = native_gradient(points, centers, 0.005, upstream, weights=weights, level=level)
    assert_within_bound(got, points, centers, 0.005, upstream, weights, which)


def far_tolerance(dtype, exponent):
    """Relative: a few roundings of the dtype, and those of a log-sum of that size in float64; no eps |e| of float32."""
    return 16 * eps(dtype) + 4 * 2.0**-52 * exponent


@EVERY_LEVEL
@BOTH_DTYPES
@EACH
@pytest.mark.parametrize("exponent", [1e3, 1e6, 1e8, 1e10])
def test_softmax_weights_of_a_far_point_add_up_to_one(level, dtype, which, exponent):
    # Two centers at one distance, whole and so equal bit for bit: p is (1/2, 1/2) whatever the exponent rounds to.
    sigma = (4 / (2 * exponent)) ** 0.5
    points, centers = np.array([[0, 0]], dtype), np.array([[2, 0], [0, 2]], dtype)
    got = native_gradient(points, centers, sigma, [1.0], level=level)[which]
    want = [[[1 / sigma**2] * 2], np.array([[-1, 0], [0, -1]]) / sigma**2, [0.5, 0.5], [4 / sigma**3]][which]
    np.testing.assert_allclose(got, want, rtol=far_tolerance(dtype, exponent), atol=0)


@EVERY_LEVEL
@BOTH_DTYPES
@EACH
@pytest.mark.parametrize("exponent", [1e2, 1e4, 1e6, 1e8])
def test_gradient_at_the_only_center_within_reach_keeps_its_digits(level, dtype, which, exponent):
    # Both verbs round an exponent alike, so p = 1 for the near center, and the truth is closed: (c - x) / sigma^2.
    points = np.array([[0, 0], [100, 100]], dtype)
    centers = np.array([[1.25, 0.75], [101.5, 100.25]], dtype)
    sigma = (2.25 / (2 * exponent)) ** 0.5
    difference = points.astype(float) - centers.astype(float)
    squares = (difference**2).sum(axis=1)
    want = [-difference / sigma**2, difference / sigma**2, np.ones(2), squares / sigma**3][which]
    got = native_gradient(points, centers, sigma, [1.0, 1.0], level=level)[which]
    np.testing.assert_allclose(got, want, rtol=far_tolerance(dtype, exponent), atol=0)


@EACH
@pytest.mark.parametrize("weighted", [False, True])
def test_twin_is_true_to_rounding(which, weighted):
    points, centers, weights, upstream = mixture(17, 33, 3, np.float64)
    weights = weights if weighted else None
    got = reference.log_sum_exp_isotropic_gradient(points, centers, 1.0, upstream, weights=weights)
    results, bounds = true_gradient(points, centers, 1.0, upstream, weights=weights)
    # The twin adds the rows' shares of sigma up itself.
    result, bound = (results[which], bounds[which]) if which < 3 else (results[3].sum(), bounds[3].sum())
    assert (np.abs(got[which] - result) <= bound).all()


@BOTH_DTYPES
@EACH
@pytest.mark.parametrize("weighted", [False, True])
def test_twin_and_core_agree_on_ragged_groups(dtype, which, weighted):
    points, centers, weights, upstream = mixture(12, 30, 3, dtype)
    weights = weights if weighted else None
    offsets = {"point_offsets": np.array([0, 4, 4, 12]), "center_offsets": np.array([0, 11, 20, 30])}
    core = native_gradient(points, centers, 1.0, upstream, weights=weights, **offsets)
    twin = reference.log_sum_exp_isotropic_gradient(points, centers, 1.0, upstream, weights=weights, **offsets)
    want, got = (twin[which], core[which]) if which < 3 else (twin[3], core[3].sum())
    # At most 30 terms under 10 (sigma 1, weights down to .01), each off by 4 eps (2 + |e|) on either side, |e| < 20.
    np.testing.assert_allclose(got, want, rtol=0, atol=2 * 30 * 10 * 100 * eps(dtype))


@EVERY_LEVEL
@BOTH_DTYPES
@EACH
@pytest.mark.parametrize(("m", "n"), [(137, 2061), (2061, 137)])
def test_many_rows_and_columns_keep_their_gradient(level, dtype, which, m, n):
    # Several cells of points or of centers, and their tails.
    points, centers, weights, upstream = mixture(m, n, 2, dtype)
    got = native_gradient(points, centers, 0.7, upstream, weights=weights, level=level, threads=2)
    assert_within_bound(got, points, centers, 0.7, upstream, weights, which)


@BOTH_DTYPES
@EACH
@pytest.mark.parametrize("threads", [2, 5])
def test_group_cut_among_threads_has_the_bits_of_one_thread(dtype, which, threads):
    # The large group is many cells by several, in more than one wave; the small ones are not cut.
    points, centers, weights, upstream = mixture(1040, 20_010, 3, dtype)
    offsets = {"point_offsets": np.array([0, 7, 1036, 1040]), "center_offsets": np.array([0, 5, 20_000, 20_010])}
    one, many = (
        native_gradient(points, centers, 0.7, upstream, weights=weights, threads=count, **offsets)[which]
        for count in (1, threads)
    )
    np.testing.assert_array_equal(many, one)


def doubles(m, n, d):
    points, centers, weights, _ = mixture(m, n, d, np.float64)
    return [torch.tensor(array, requires_grad=True) for array in (points, centers, weights)]


@pytest.mark.parametrize("which", range(4), ids=NAMES)
def test_autograd_agrees_with_finite_differences(which):
    points, centers, weights = doubles(4, 6, 3)
    sigma = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    arguments = [points, centers, weights, sigma]
    inputs = [value.detach().requires_grad_(i == which) for i, value in enumerate(arguments)]
    assert torch.autograd.gradcheck(lambda p, c, w, s: kernels.log_sum_exp_isotropic(p, c, s, weights=w), inputs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_autograd_agrees_with_finite_differences_in_all_arguments_at_once(weighted, ragged):
    points, centers, weights = doubles(6, 8, 2)
    sigma = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    offsets = {"point_offsets": torch.tensor([0, 2, 6]), "center_offsets": torch.tensor([0, 5, 8])} if ragged else {}
    arguments = (points, centers, sigma, weights) if weighted else (points, centers, sigma)
    assert torch.autograd.gradcheck(
        lambda p, c, s, w=None: kernels.log_sum_exp_isotropic(p, c, s, weights=w, **offsets), arguments
    )


def test_gradient_of_a_tensor_without_dense_memory_has_its_shape():
    points, centers, _ = doubles(1, 6, 3)
    row = points.detach().expand(5, 3).requires_grad_()
    kernels.log_sum_exp_isotropic(row, centers, torch.tensor(0.5, dtype=torch.float64)).sum().backward()
    assert row.grad.shape == (5, 3)


def test_second_derivatives_are_refused():
    points, centers, _ = doubles(3, 4, 2)
    sums = kernels.log_sum_exp_isotropic(points, centers, torch.tensor(1.0, dtype=torch.float64))
    scales = torch.ones_like(sums, requires_grad=True)  # so that what comes from above has a gradient of its own
    (first,) = torch.autograd.grad((scales * sums).sum(), points, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        first.sum().backward()


@EVERY_LEVEL
@BOTH_DTYPES
def test_coincident_points_have_a_gradient_of_exactly_zero(level, dtype):
    same = np.full((9, 3), 0.3, dtype)
    d_points, d_centers, _, d_sigma = native_gradient(same, same, 1e-6, np.ones(9), level=level)
    assert not d_points.any()
    assert not d_centers.any()
    assert not d_sigma.any()


@EVERY_LEVEL
@BOTH_DTYPES
@EACH
def test_infinite_centers_take_no_part(level, dtype, which):
    points, centers, weights, upstream = mixture(17, 20, 3, dtype)
    centers[[0, 7, 19]] = [[np.inf, 0, 0], [0, -np.inf, 0], [np.inf, np.inf, np.inf]]
    finite = np.isfinite(centers).all(axis=1)
    got = native_gradient(points, centers, 0.9, upstream, weights=weights, level=level)
    assert not np.any(got[1][~finite])
    kept = (got[0], got[1][finite], got[2][finite], got[3])
    assert_within_bound(kept, points, centers[finite], 0.9, upstream, weights[finite], which)


@EVERY_LEVEL
@BOTH_DTYPES
@EACH
def test_finite_centers_whose_squares_overflow_take_no_part(level, dtype, which):
    points, centers, weights, upstream = mixture(17, 20, 3, dtype)
    centers[[0, 7, 19]] = np.finfo(dtype).max / 1000
    near = np.abs(centers).max(axis=1) < 100
    got = native_gradient(points, centers, 0.9, upstream, weights=weights, level=level)
    kept = (got[0], got[1][near], got[2][near], got[3])
    assert_within_bound(kept, points, centers[near], 0.9, upstream, weights[near], which)


@EVERY_LEVEL
@BOTH_DTYPES
@EACH
def test_gradient_at_weights_of_zero_is_the_limit(level, dtype, which):
    points, centers, weights, upstream = mixture(17, 20, 3, dtype)
    weights[[0, 7, 8, 19]] = 0
    got = native_gradient(points, centers, 1.5, upstream, weights=weights, level=level)
    assert_within_bound(got, points, centers, 1.5, upstream, weights, which)


@EVERY_LEVEL
@BOTH_DTYPES
@EACH
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
@pytest.mark.parametrize("rows", [[0], [7], [0, 1, 2, 3, 4, 5, 6, 7], [16]])
def test_rows_of_zero_upstream_add_nothing_whatever_they_hold(level, dtype, which, value, rows):
    points, centers, weights, upstream = mixture(17, 16, 3, dtype)
    upstream[rows] = 0
    want = native_gradient(points, centers, 0.9, upstream, weights=weights, level=level)[which]
    points[rows] = value
    got = native_gradient(points, centers, 0.9, upstream, weights=weights, level=level)[which]
    np.testing.assert_array_equal(got, want)


@EVERY_LEVEL
@BOTH_DTYPES
def test_rows_of_zero_upstream_have_a_gradient_of_zero(level, dtype):
    points, centers, _, upstream = mixture(17, 16, 3, dtype)
    points[7], upstream[7] = np.nan, 0
    d_points, _, _, d_sigma = native_gradient(points, centers, 0.9, upstream, level=level)
    assert not d_points[7].any()
    assert d_sigma[7] == 0


@EVERY_LEVEL
@BOTH_DTYPES
def test_center_of_nan_that_no_row_asks_about_has_a_gradient_of_zero(level, dtype):
    points, centers, _, _ = mixture(5, 16, 3, dtype)
    centers[7] = np.nan
    assert not any(gradient.any() for gradient in native_gradient(points, centers, 0.9, np.zeros(5), level=level))


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("row", [0, 7, 8, 16])
@pytest.mark.parametrize("shift", [0, 1e4])
def test_nan_in_a_row_makes_the_gradient_of_every_center_nan(level, dtype, row, shift):
    # Far rows let a kernel pass a block by: not with NaN in it.
    points, centers, _, _ = mixture(17, 20, 3, dtype)
    points[8:] += shift
    points[row, 1] = np.nan
    assert np.isnan(native_gradient(points, centers, 0.9, np.ones(17), level=level)[1]).all()


@EVERY_LEVEL
@BOTH_DTYPES
def test_nan_in_a_row_stays_in_the_gradient_of_that_row(level, dtype):
    points, centers, _, _ = mixture(17, 20, 3, dtype)
    want = native_gradient(points, centers, 0.9, np.ones(17), level=level)[0]
    points[5, 0], want[5] = np.nan, np.nan
    np.testing.assert_array_equal(native_gradient(points, centers, 0.9, np.ones(17), level=level)[0], want)


@EVERY_LEVEL
@BOTH_DTYPES
def test_point_at_infinity_has_no_gradient(level, dtype):
    points, centers, _, upstream = mixture(17, 20, 3, dtype)
    points[5] = np.inf
    results = native_gradient(points, centers, 0.9, upstream, level=level)
    assert all(np.isfinite(result).all() for result in results)


@BOTH_DTYPES
@pytest.mark.parametrize("which", range(4), ids=NAMES)
def test_gradient_asked_alone_equals_that_asked_with_others(dtype, which):
    points, centers, weights, upstream = mixture(17, 20, 3, dtype)
    log_sum = native(points, centers, 0.9, weights=weights)
    together = native_gradient(points, centers, 0.9, upstream, weights=weights)[which]
    alone = np.empty_like(together)
    _cpu.log_sum_exp_isotropic_gradient(
        points, centers, 0.9, log_sum, upstream, weights=weights, **{f"d_{NAMES[which]}": alone}
    )
    np.testing.assert_array_equal(alone, together)


@BOTH_DTYPES
def test_empty_mixtures_have_empty_gradients(dtype):
    nothing, some = np.empty((0, 3), dtype), np.ones((4, 3), dtype)
    assert not native_gradient(nothing, some, 1.0, np.empty(0))[1].any()
    assert not native_gradient(some, nothing, 1.0, np.ones(4))[0].any()


def test_call_that_wants_no_gradient_does_nothing():
    _cpu.log_sum_exp_isotropic_gradient(np.zeros((5, 2)), np.ones((9, 2)), 1.0, np.zeros(5), np.ones(5))
