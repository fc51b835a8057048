"""Second and third derivatives of the isotropic log-sum-exp, against plain torch in float64."""

import math

import pytest
import torch

from layerbits.kernels import log_sum_exp_isotropic, second_derivatives
from tests.support import plain_mixture
from tests.support.random_arrays import normal_tensor

BOTH_DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def problem(m, n, d, dtype=torch.float64):
    """Return the arguments (points, centers, sigma, weights), upstream gradients, and a direction of the arguments."""
    sigma = torch.tensor(0.8, dtype=torch.float64)
    weights = (0.5 + normal_tensor(n, seed=2).abs()).to(dtype)
    arguments = normal_tensor(m, d, dtype=dtype), normal_tensor(n, d, seed=1, dtype=dtype), sigma, weights
    direction = [normal_tensor(*argument.shape, seed=4, dtype=argument.dtype) for argument in arguments]
    return arguments, normal_tensor(m, seed=3), direction


def products_with_hessian(function, arguments, upstream, direction):
    """Return the derivatives of the gradient times a direction, by the arguments and by the upstream gradients."""
    variables = [argument.clone().requires_grad_() for argument in (*arguments, upstream)]
    total = (function(*variables[:4]) * variables[4]).sum()
    gradient = torch.autograd.grad(total, variables[:4], create_graph=True)
    return torch.autograd.grad(gradient, variables, direction)


def layerbits_log_sums(points, centers, sigma, weights, **offsets):
    return log_sum_exp_isotropic(points, centers, sigma, weights=weights, **offsets)


def assert_second_derivatives_agree(function, plain, m, n, d, dtype):
    arguments, upstream, direction = problem(m, n, d, dtype)
    actual = products_with_hessian(function, arguments, upstream, direction)
    doubles, changes = ([tensor.double() for tensor in tensors] for tensors in (arguments, direction))
    expected = products_with_hessian(plain, doubles, upstream, changes)
    error = plain_mixture.second_derivative_error(*doubles, upstream, changes)
    for value, truth, argument in zip(actual, expected, (*arguments, upstream), strict=True):
        assert value.dtype == argument.dtype
        rounding = torch.finfo(argument.dtype).eps * truth.abs() if argument.dtype == torch.float32 else 0.0
        assert ((value.double() - truth).abs() <= error + rounding).all()


@BOTH_DTYPES
@pytest.mark.parametrize(("m", "n", "d"), [(1, 1, 1), (4, 6, 3), (7, 5, 12)])
def test_second_derivatives_are_those_of_plain_torch(m, n, d, dtype):
    assert_second_derivatives_agree(layerbits_log_sums, plain_mixture.log_sum_exp, m, n, d, dtype)


@BOTH_DTYPES
def test_second_derivatives_in_groups_are_those_of_each_group(dtype):
    offsets = {"point_offsets": torch.tensor([0, 2, 2, 6]), "center_offsets": torch.tensor([0, 4, 6, 8])}

    def plain(points, centers, sigma, weights):
        first = plain_mixture.log_sum_exp(points[:2], centers[:4], sigma, weights[:4])
        return torch.cat([first, plain_mixture.log_sum_exp(points[2:], centers[6:], sigma, weights[6:])])

    assert_second_derivatives_agree(lambda *a: layerbits_log_sums(*a, **offsets), plain, 6, 8, 2, dtype)


def test_blocks_of_rows_add_up(monkeypatch):
    # 16 rows are five blocks of three rows and a block of one row.
    monkeypatch.setattr(second_derivatives, "_BLOCK_DIFFERENCES", 3 * 5 * 2)
    assert_second_derivatives_agree(layerbits_log_sums, plain_mixture.log_sum_exp, 16, 5, 2, torch.float64)


@pytest.mark.parametrize("wanted", range(4), ids=["points", "centers", "sigma", "weights"])
@pytest.mark.parametrize("changed", range(4), ids=["points", "centers", "sigma", "weights"])
def test_derivative_by_two_arguments_agrees_with_that_by_all(wanted, changed):
    """The two calls sum the same nonzero terms, perhaps in another order."""
    arguments, upstream, direction = problem(4, 6, 3)
    single_change = [change if index == changed else torch.zeros_like(change) for index, change in enumerate(direction)]
    expected = products_with_hessian(layerbits_log_sums, arguments, upstream, single_change)[wanted]
    error = plain_mixture.second_derivative_error(*arguments, upstream, direction)
    variables = [
        argument.clone().requires_grad_(index in (wanted, changed)) for index, argument in enumerate(arguments)
    ]
    total = (layerbits_log_sums(*variables) * upstream).sum()
    (gradient,) = torch.autograd.grad(total, variables[changed], create_graph=True)
    (result,) = torch.autograd.grad(gradient, variables[wanted], direction[changed])
    torch.testing.assert_close(result, expected, rtol=0, atol=error)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # from torch's forward mode
def test_second_derivatives_agree_with_finite_differences():
    """The tolerances are those of gradgradcheck, for central differences of step 1e-6."""
    arguments = [argument.requires_grad_() for argument in problem(3, 4, 2)[0]]
    assert torch.autograd.gradgradcheck(layerbits_log_sums, arguments, check_fwd_over_rev=True)


def test_third_derivatives_are_those_of_plain_torch():
    def third_derivatives(function):
        variables = [argument.clone().requires_grad_() for argument in problem(4, 6, 3)[0]]
        first = torch.autograd.grad(function(*variables).sum(), variables, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), variables, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in second), variables)

    for value, truth in zip(
        third_derivatives(layerbits_log_sums), third_derivatives(plain_mixture.log_sum_exp), strict=True
    ):
        # Sums of 72 terms of both signs: 1e4 eps of the largest result suffices for terms that are 100 times as large.
        torch.testing.assert_close(value, truth, rtol=0, atol=1e4 * 2.0**-52 * float(truth.abs().max()))


@BOTH_DTYPES
def test_number_of_threads_has_no_effect_on_the_bits(dtype):
    arguments, upstream, direction = problem(300, 200, 8, dtype)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            results.append(products_with_hessian(layerbits_log_sums, arguments, upstream, direction))
    finally:
        torch.set_num_threads(threads)
    assert all(a.equal(b) for result in results[1:] for a, b in zip(results[0], result, strict=True))


def score_products(points, centers, sigma, weights=None, upstream=None):
    """Return the derivatives of sum(score^2) / 2 by points and centers; the score is that of sum_i u_i log_sum_i."""
    points, centers = points.clone().requires_grad_(), centers.clone().requires_grad_()
    log_sum = log_sum_exp_isotropic(points, centers, torch.tensor(sigma).double(), weights=weights)
    total = log_sum.sum() if upstream is None else (upstream * log_sum).sum()
    (score,) = torch.autograd.grad(total, points, create_graph=True)
    return torch.autograd.grad(score.square().sum() / 2, (points, centers))


def test_second_derivatives_at_a_weight_of_zero_are_those_without_the_center():
    (points, centers, _, weights), _, _ = problem(5, 6, 2)
    weights[2] = 0
    remaining = torch.tensor([0, 1, 3, 4, 5])
    d_points, d_centers = score_products(points, centers, 0.8, weights)
    expected, expected_centers = score_products(points, centers[remaining], 0.8, weights[remaining])
    assert not d_centers[2].any()
    # A term of exactly zero changes only the order of the sums, which have 6 terms of at most 1e3.
    torch.testing.assert_close(d_points, expected, rtol=0, atol=6e3 * 2.0**-52)
    torch.testing.assert_close(d_centers[remaining], expected_centers, rtol=0, atol=6e3 * 2.0**-52)


def test_centers_at_infinity_have_no_effect():
    (points, centers, _, _), _, _ = problem(5, 6, 2)
    distant = torch.cat([centers, torch.tensor([[math.inf, 0.0], [1e300, 0.0]]).double()])
    d_points, d_centers = score_products(points, distant, 0.8)
    expected, expected_centers = score_products(points, centers, 0.8)
    assert not d_centers[6:].any()
    torch.testing.assert_close(d_points, expected, rtol=0, atol=8e3 * 2.0**-52)  # 8 terms of at most 1e3
    torch.testing.assert_close(d_centers[:6], expected_centers, rtol=0, atol=8e3 * 2.0**-52)


def test_row_of_nan_with_zero_upstream_adds_nothing():
    (points, centers, _, _), _, _ = problem(5, 6, 2)
    upstream = torch.tensor([1.0, 0, 1, 1, 1]).double()
    expected = score_products(points, centers, 0.8, upstream=upstream)
    points[1] = math.nan
    for value, truth in zip(score_products(points, centers, 0.8, upstream=upstream), expected, strict=True):
        assert value.equal(truth)


def test_nan_in_a_row_makes_its_second_derivatives_and_those_by_centers_nan():
    (points, centers, _, _), _, _ = problem(5, 6, 2)
    points[1, 0] = math.nan
    d_points, d_centers = score_products(points, centers, 0.8)
    assert d_points.isnan().any(1).tolist() == [False, True, False, False, False]
    assert d_centers.isnan().all()


def test_gradient_of_a_squared_score_at_coincident_points_is_zero():
    """All differences are zero, so the score is zero, and so is the gradient of its square."""
    rows = torch.full((3, 2), 0.3).double()
    assert not any(value.any() for value in score_products(rows, rows, 1e-3))


@pytest.mark.parametrize(("m", "n"), [(0, 4), (4, 0)])
def test_second_derivatives_of_empty_mixtures_are_zero(m, n):
    d_points, d_centers = score_products(normal_tensor(m, 2), normal_tensor(n, 2), 0.8)
    assert d_points.shape == (m, 2)
    assert d_centers.shape == (n, 2)
    assert not d_points.any()
    assert not d_centers.any()
