"""The experiment monte-carlo-error: mean square errors of a short run against their bounds and their expectation."""

import math

import numpy as np
import pytest

from layerbits._base import UsageError
from layerbits.experiments.entropy.monte_carlo_error import ESTIMATORS, Config, Error
from layerbits.experiments.framework.tables import read_table

DIMS, DRAWS, REPEATS = (2, 4), (128, 1024, 8192), 40


@pytest.fixture(scope="module")
def path(quick_run):
    return quick_run("monte-carlo-error", dims=DIMS, draws=DRAWS, repeats=REPEATS)


@pytest.fixture(scope="module")
def errors(path):
    return read_table(path / "errors.csv", Error)


def test_run_writes_all_its_files(path):
    assert {file.name for file in path.glob("[!.]*")} == {"run.json", "errors.csv", "monte-carlo-error.png"}


def test_mean_square_errors_are_below_their_bounds(errors):
    assert len(errors) == 3 * 3 * 2 * 3
    for row in errors:
        # Five standard errors for each of the 54 values.
        assert row.mean_square_error - 5 * row.standard_error <= row.bound <= row.paper_bound, row


@pytest.mark.parametrize("dim", DIMS)
def test_error_of_the_paper_at_separated_centers_is_the_variance_of_the_noise_term(errors, dim):
    # At separated centers -log g(T) is |Z|^2 / 2 sigma^2 plus a constant, with variance d / 2. Confusions have the
    # probability Q(5).
    ratios = [
        row.mean_square_error / (dim / 2 / row.draws)
        for row in errors
        if (row.estimator, row.sigma, row.dim) == ("paper", 0.2, dim)
    ]
    # A mean of squares of normal errors has the relative variance 2 / repeats.
    assert np.mean(ratios) == pytest.approx(1, abs=5 * math.sqrt(2 / REPEATS / len(DRAWS)))


def test_control_variate_removes_the_error_at_separated_centers(errors):
    for row in errors:
        if row.sigma == 0.2 and row.estimator != "paper":
            assert row.mean_square_error < 1e-3 * row.bound, row


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_mean_square_error_falls_like_one_over_the_number_of_draws(errors, estimator):
    variance = 2 / REPEATS  # of the logarithm of a mean square error
    x = np.log(DRAWS)
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    slopes = []
    for sigma in (0.5, 2.0):
        for dim in DIMS:
            curve = [row for row in errors if (row.estimator, row.sigma, row.dim) == (estimator, sigma, dim)]
            slopes.append(weights @ np.log([row.mean_square_error for row in curve]))
    assert abs(np.mean(slopes) + 1) < 5 * math.sqrt(variance * (weights**2).sum() / len(slopes))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"sigmas": (0.0,)}, {"dims": (13,)}, {"draws": (100,)}, {"draws": ()}, {"repeats": 1},
        {"sigmas": (0.5, 0.5)}, {"dims": (2, 2)}, {"draws": (512, 512)}, {"draws": (2**23,)}, {"repeats": 2**24},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        Config(**change)
