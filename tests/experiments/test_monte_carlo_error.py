"""The experiment monte-carlo-error: its quick run against the bounds, and the estimators against the truth."""

import dataclasses
import math

import numpy as np
import pytest

from layerbits._base import UsageError, read_csv
from layerbits.experiments import RunFolder
from layerbits.experiments.entropy import monte_carlo_error
from layerbits.experiments.entropy.monte_carlo_error import Config, Point

QUICK = dataclasses.replace(Config(), **monte_carlo_error.QUICK)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("run"), experiment="monte-carlo-error", config=QUICK, resume=False)
    with folder.running():
        monte_carlo_error.run(QUICK, folder)
    return folder


@pytest.fixture(scope="module")
def points(finished):
    rows = read_csv(finished.path / "errors.csv", Point._fields)
    return [Point(row[0], float(row[1]), int(row[2]), int(row[3]), *map(float, row[4:])) for row in rows]


def test_run_leaves_all_its_files(finished):
    assert {path.name for path in finished.path.iterdir()} == {"run.json", "errors.csv", "monte-carlo-error.png"}


def test_mean_square_errors_are_below_their_bounds(points):
    assert len(points) == 3 * 3 * 3 * 4
    for point in points:
        # Five standard errors, on 108 values: by chance once in ten thousand runs.
        assert point.mean_square_error - 5 * point.standard_error <= point.bound <= point.paper_bound, point


def test_separated_centers_leave_the_variance_of_the_noise_or_none(points):
    # -log g(T) is |Z|^2 / 2 sigma^2 then, of variance d / 2, up to confusions: of Q(5), too few to be seen.
    for point in (point for point in points if point.sigma == 0.2):
        if point.estimator == "paper":
            expected = point.dim / 2 / point.draws
            # A mean of squares of normal errors has the relative variance 2 / repeats.
            assert point.mean_square_error == pytest.approx(expected, rel=5 * math.sqrt(2 / QUICK.repeats)), point
        else:
            assert point.mean_square_error < 1e-3 * point.bound, point


@pytest.mark.parametrize("estimator", monte_carlo_error.ESTIMATORS)
def test_mean_square_error_falls_like_the_number_of_draws(points, estimator):
    slopes, variance = [], 2 / QUICK.repeats  # of the logarithm of a mean square error
    x = np.log(QUICK.draws)
    lever = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    for sigma in (0.5, 2.0):
        for dim in QUICK.dims:
            curve = [p for p in points if (p.estimator, p.sigma, p.dim) == (estimator, sigma, dim)]
            slopes.append(lever @ np.log([p.mean_square_error for p in curve]))
    assert abs(np.mean(slopes) + 1) < 5 * math.sqrt(variance * (lever**2).sum() / len(slopes))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"sigmas": (0.0,)}, {"dims": (13,)}, {"draws": (100,)}, {"draws": ()}, {"repeats": 1},
        {"sigmas": (0.5, 0.5)}, {"dims": (2, 2)}, {"draws": (512, 512)}, {"draws": (2**23,)}, {"repeats": 2**24},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        Config(**change)
