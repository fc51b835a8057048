"""Pruning on a device, from the public function down."""

import pytest
import torch

import layerbits
from layerbits.kernels import operations as kernels


def problem(device):
    generator = torch.Generator().manual_seed(0)
    centers = torch.randint(-20, 20, (3000, 3), generator=generator).double()
    points = centers[:200] + 0.1 * torch.randn(200, 3, dtype=torch.float64, generator=generator)
    return points.to(device), centers.to(device)


def calls(monkeypatch):
    """Note which calls of the core prune."""
    noted = []
    native = kernels.cuda()
    verb = native.log_sum_exp_isotropic

    def note(*arguments, **options):
        noted.append((len(arguments[0]), "point_order" in options))
        return verb(*arguments, **options)

    monkeypatch.setattr(native, "log_sum_exp_isotropic", note)
    return noted


@pytest.mark.parametrize("method", ["pruned", "dense", "auto"])
def test_density_agrees_with_that_of_the_cpu(method, monkeypatch):
    noted = calls(monkeypatch)
    points, centers = problem("cuda")
    points.requires_grad_()
    density = layerbits.mixture_log_density(points, centers, 0.1, method=method)
    density.sum().backward()
    want = layerbits.mixture_log_density(*problem("cpu"), 0.1, method="dense")
    # Exponents stay below 100.
    torch.testing.assert_close(density.detach().cpu(), want, rtol=0, atol=1000 * 2.0**-52)
    assert points.grad.isfinite().all()
    assert noted == [(200, method == "pruned")]


def test_auto_asks_a_tenth_and_prunes_where_that_pays(monkeypatch):
    monkeypatch.setattr(kernels, "_WORTH_ASKING", 0)
    noted = calls(monkeypatch)
    generator = torch.Generator().manual_seed(0)
    points, centers = (torch.rand(rows, 1, generator=generator).to("cuda") for rows in (2000, 20_000))
    # A tile of 64 of the 200 points that are asked lies within a third of the line, and sigma is a thousandth of it.
    layerbits.mixture_log_density(points, centers, 0.001)
    layerbits.mixture_log_density(points, centers, 100.0)
    assert noted == [(200, True), (2000, True), (200, True), (2000, False)]


def test_many_dimensions_are_summed_densely(monkeypatch):
    noted = calls(monkeypatch)
    rows = torch.zeros(5, kernels.PRUNED_DIMS + 1, device="cuda")
    layerbits.mixture_log_density(rows, rows, 1.0, method="pruned")
    assert noted == [(5, False)]


@pytest.mark.parametrize("m", [1, 64, 200])
def test_rows_of_nan_are_nan_in_tiles_of_nothing_else_too(m):
    centers = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0)).to("cuda")
    points = torch.full((m, 2), torch.nan, device="cuda")
    assert layerbits.mixture_log_density(points, centers, 0.1, method="pruned").isnan().all()
    points[::2] = centers[: len(points[::2])]
    found = layerbits.mixture_log_density(points, centers, 0.1, method="pruned").isnan()
    assert torch.equal(found, points.isnan().any(1))
