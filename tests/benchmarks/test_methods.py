"""The methods of the benchmarks, and the checks of their results."""

import numpy as np
import pytest
import torch

from benchmarks.methods import (
    PACKAGES,
    ResultError,
    check_gradients,
    installed,
    keops_log_density,
    measure_accuracy,
    tree_calls,
)
from benchmarks.problems import mixture, true_gradients, true_log_sums
from layerbits.kernels import reference


@pytest.fixture(scope="module")
def problem():
    return mixture(16, 8, 3)


@pytest.fixture
def values(problem):
    """Return log densities by the NumPy reference."""
    return reference.mixture_log_density(problem.points.numpy(), problem.centers.numpy(), problem.sigma)


@pytest.mark.parametrize("method", ["layerbits", "dense", "pruned", "auto"])
def test_wrong_value_of_layerbits_is_refused(method, problem, values):
    true = true_log_sums(problem)
    assert measure_accuracy(method, values, problem, true, torch.float64).is_allowed
    values[5] += 1e-11  # the contract allows 2^-52 * 4 * (1 + |exponent|), below 1e-12 for exponents of about 100
    with pytest.raises(ResultError, match="the error of row 5 is"):
        measure_accuracy(method, values, problem, true, torch.float64)


# NumPy rounds exponents of about 100 in float64; the trees promise 1e-4 and 5 % of a density.
@pytest.mark.parametrize(
    ("method", "small_error", "large_error"),
    [("numpy", 1e-14, 1e-11), ("mlpack", 0.5e-4, 2e-4), ("mlpack 5%", 0.025, 0.1)],
)
def test_error_of_a_rival_beyond_its_promise_is_marked(method, small_error, large_error, problem, values):
    accuracies = [
        measure_accuracy(method, values - error, problem, true_log_sums(problem), torch.float64)
        for error in (small_error, large_error, np.nan)
    ]
    assert [str(accuracy).endswith("!") for accuracy in accuracies] == [False, True, True]


def test_wrong_gradient_is_refused(problem):
    doubles = problem.to(torch.float64)
    d_points, d_centers = true_gradients(doubles)
    with pytest.raises(ResultError, match="gradients of centers"):
        check_gradients((d_points, 1.001 * d_centers), (d_points, d_centers), doubles)


@pytest.mark.parametrize("package", PACKAGES)
def test_installed_package_computes_log_densities(package):
    if package not in installed():
        pytest.skip(f"{package} is not installed")
    problem = mixture(64, 32, 3).to(torch.float64)
    points, centers = problem.points.clone(), problem.centers.clone()
    calls = tree_calls(problem, [package]) or {package: lambda: keops_log_density(problem)}
    values = calls[package]()
    assert measure_accuracy(package, values, problem, true_log_sums(problem), torch.float64).is_allowed
    assert torch.equal(problem.points, points)
    assert torch.equal(problem.centers, centers)


def test_missing_package_is_left_out(monkeypatch, problem):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert installed() == ()
    assert tree_calls(problem, PACKAGES) == {}
