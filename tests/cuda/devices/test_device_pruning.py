"""Pruning on a device through the public function."""

import pytest
import torch

import layerbits
from layerbits.kernels import as_sigma, log_sum_exp_isotropic
from layerbits.kernels.cuda_pruning import PRUNED_DIMS


def problem(device):
    generator = torch.Generator().manual_seed(0)
    centers = torch.randint(-20, 20, (3000, 3), generator=generator).double()
    points = centers[:200] + 0.1 * torch.randn(200, 3, dtype=torch.float64, generator=generator)
    return points.to(device), centers.to(device)


def log_sums(calls):
    """Return for each log-sum-exp the number of its points, and whether it was pruned."""
    return [
        (len(call.arguments[0]), call.options["point_order"] is not None)
        for call in calls
        if call.operation == "log_sum_exp_isotropic"
    ]


@pytest.mark.parametrize("method", ["pruned", "dense", "auto"])
def test_density_agrees_with_that_of_the_cpu(method, native_calls):
    points, centers = problem("cuda")
    points.requires_grad_()
    density = layerbits.mixture_log_density(points, centers, 0.1, method=method)
    density.sum().backward()
    expected = layerbits.mixture_log_density(*problem("cpu"), 0.1, method="dense")
    # Exponents are below 100: errors are below (4 + d/64) eps (1 + 100) on both sides.
    torch.testing.assert_close(density.detach().cpu(), expected, rtol=0, atol=1000 * 2.0**-52)
    assert points.grad.isfinite().all()
    assert log_sums(native_calls) == [(200, method == "pruned")]


def test_auto_tries_a_tenth_of_the_rows_and_prunes_if_that_omits_many_pairs(trial_for_any_size, native_calls):
    generator = torch.Generator().manual_seed(0)
    points, centers = (torch.rand(rows, 1, generator=generator).to("cuda") for rows in (2000, 6000))
    # A tile has 64 of the 200 points of the trial, so that its box is a third of the line.
    layerbits.mixture_log_density(points, centers, 0.001, tolerance=1e-9)  # too small a tolerance for a grid
    layerbits.mixture_log_density(points, centers, 100.0, tolerance=1e-9)
    assert log_sums(native_calls) == [(200, True), (2000, True), (200, True), (2000, False)]


def test_mixture_of_more_than_32_dimensions_is_not_pruned(native_calls):
    rows = torch.zeros(5, PRUNED_DIMS + 1, device="cuda")
    layerbits.mixture_log_density(rows, rows, 1.0, method="pruned")
    assert log_sums(native_calls) == [(5, False)]


@pytest.mark.parametrize("m", [1, 64, 200])
def test_rows_of_nan_give_nan_in_tiles_with_and_without_other_rows(m):
    centers = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0)).to("cuda")
    points = torch.full((m, 2), torch.nan, device="cuda")
    assert layerbits.mixture_log_density(points, centers, 0.1, method="pruned").isnan().all()
    points[::2] = centers[: len(points[::2])]
    is_nan = layerbits.mixture_log_density(points, centers, 0.1, method="pruned").isnan()
    assert torch.equal(is_nan, points.isnan().any(1))


@pytest.mark.parametrize("dim", [1, 2])
def test_grid_serves_all_points_with_a_certain_sum(dim, native_calls):
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(3000, dim, generator=generator)
    points = torch.cat([centers[:200] + 0.1, torch.full((1, dim), 40.0), torch.full((1, dim), torch.nan)])
    arguments = points.to("cuda"), centers.to("cuda"), as_sigma(1.0)
    log_sum = log_sum_exp_isotropic(*arguments, method="gridded", tolerance=1e-6).cpu()
    expected = log_sum_exp_isotropic(points.double(), centers.double(), as_sigma(1.0), method="dense")
    others = log_sums(native_calls)[1][0]  # the first call checks the arguments
    assert len(native_calls) == 2
    assert 2 <= others <= 20
    # float32 rounds exponents below 40 at most points, and 2000 at the point of 40s, whose pairs are summed.
    assert torch.allclose(log_sum[:200], expected[:200], rtol=0, atol=1e-6 + 5 * 2.0**-23 * 41)
    assert float(log_sum[200]) == pytest.approx(float(expected[200]), rel=1e-5)
    assert log_sum[201].isnan()


def test_auto_uses_a_grid_if_all_pairs_take_long_and_points_share_cells(trial_for_any_size, native_calls):
    rows = torch.rand(5000, 2, generator=torch.Generator().manual_seed(0)).to("cuda")
    log_sum_exp_isotropic(rows, rows, as_sigma(0.3))
    assert all(count <= 1000 for count, _ in log_sums(native_calls))
    native_calls.clear()
    log_sum_exp_isotropic(rows, rows, as_sigma(1e-4))
    assert max(count for count, _ in log_sums(native_calls)) == 5000


@pytest.mark.parametrize(("dim", "tolerance"), [(3, None), (1, 1e-9)])
def test_gridded_computes_every_pair_elsewhere(dim, tolerance, native_calls):
    rows = torch.rand(50, dim, generator=torch.Generator().manual_seed(0)).to("cuda")
    log_sum_exp_isotropic(rows, rows, as_sigma(0.3), method="gridded", tolerance=tolerance)
    assert log_sums(native_calls) == [(50, False)]


def test_gridded_refuses_a_negative_weight():
    rows = torch.rand(50, 1, generator=torch.Generator().manual_seed(0)).to("cuda")
    with pytest.raises(ValueError, match="weights"):
        log_sum_exp_isotropic(rows, rows, as_sigma(0.3), weights=-torch.ones(50, device="cuda"), method="gridded")
