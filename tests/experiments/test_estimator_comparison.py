"""The experiment estimator-comparison: claims of the paper on a short run."""

import itertools
import math

import numpy as np
import pytest
from scipy.signal import fftconvolve

from layerbits._base import UsageError
from layerbits.experiments import RunFolder
from layerbits.experiments.entropy.bounds import COVERING, Bound
from layerbits.experiments.entropy.entropy_estimators import BINNING, KDE, NEIGHBOURS, PLUG_IN
from layerbits.experiments.entropy.estimator_comparison.experiment import ESTIMATOR_COMPARISON
from layerbits.experiments.entropy.estimator_comparison.mixture import coordinate_entropy
from layerbits.experiments.entropy.estimator_comparison.rates import Slope, fit_slopes
from layerbits.experiments.entropy.estimator_comparison.settings import Config, EstimateRow
from layerbits.experiments.framework.tables import read_table, write_table
from tests.support import answers as known_answers

SIGMAS = (0.05, 0.2)
SAMPLES = (10, 32, 100, 316, 1000, 3162, 10_000)
REPEATS = 3


@pytest.fixture(scope="module")
def path(quick_run):
    return quick_run(
        "estimator-comparison",
        sigmas=SIGMAS, dims=(5, 8), samples=SAMPLES, max_kde_samples=1000, repeats=REPEATS, tolerance=0.02,
    )  # fmt: skip


@pytest.fixture(scope="module")
def errors(path):
    """Return estimate minus true value, shape (repeats,), by estimator, dimension, sigma and number of samples."""
    differences = {}
    for row in read_table(path / "estimates.csv", EstimateRow):
        cell = row.estimator, row.dim, row.sigma, row.samples
        differences.setdefault(cell, []).append(row.value - row.truth)
    return {cell: np.array(repeats) for cell, repeats in differences.items()}


@pytest.mark.parametrize(("sigma", "published"), [(0.05, -0.855), (0.1, -0.183), (0.2, 0.505)])
def test_truth_equals_the_published_entropy_and_that_of_a_convolution(sigma, published):
    truth = coordinate_entropy(sigma, 0.02)
    assert truth == pytest.approx(published, abs=0.6e-3)  # published with three digits
    axis = np.linspace(-4, 4, 2**16 + 1)  # contains the faces of the cube
    step = axis[1] - axis[0]
    density_of_coordinate = np.where(np.abs(axis) <= 1, known_answers.normal(1 - np.abs(axis), 0.02), 0)
    density_of_coordinate[np.abs(axis) == 1] /= 2  # the trapezoidal rule at a jump
    density = fftconvolve(density_of_coordinate, known_answers.normal(axis, sigma), mode="same") * step
    # The trapezoidal rule with steps of 2^-13 has an error of about (2^-13 / .02)^2 / 12 = 3e-6 at this spread of .02.
    assert truth == pytest.approx(known_answers.entropy(density.clip(0), axis), abs=1e-5)


def test_run_writes_all_its_files(path):
    assert {file.name for file in path.glob("[!.]*")} == {
        "run.json", "estimates.csv", "bounds.csv", "slopes.csv",
        "estimator-comparison.png", "estimator-comparison-errors.png",
    }  # fmt: skip


@pytest.mark.parametrize("sigma", SIGMAS)
def test_plug_in_rises_to_the_truth_within_about_thirty_samples_a_corner(errors, sigma):
    # The bias is at most log(1 + (A - 1) / n) with the chi-squared information A - 1. Separated corners have A = 2^d;
    # the variance v = (1 - 2 / pi) .02^2 within a corner multiplies A by at most (1 + v / sigma^2)^d. A is at most 42
    # at d = 5 and 402 at d = 8, so that the bias is at most .042 at 1000 and .040 at 10,000 samples. The fluctuation is
    # sqrt(2 A) / 2n = .005 and .001, the standard error of the integration .01. Their sum stays below .1.
    for dim, sufficient_samples in {5: 1000, 8: 10_000}.items():
        curve = {n: errors[PLUG_IN, dim, sigma, n] for n in SAMPLES}
        assert all(abs(curve[n]).max() < 0.1 for n in curve if n >= sufficient_samples)
        # The plug-in is at most log n above the entropy of the noise, and with few samples it rises like log n.
        assert curve[10].max() < -1
        means = [curve[n].mean() for n in (10, 32, 100, 316, 1000)]
        assert all(mean < next_mean for mean, next_mean in itertools.pairwise(means))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_other_estimators_start_far_above_the_truth_and_converge_later(errors, sigma):
    # 100 samples are three a corner: the third neighbour is at another corner, at a distance of 2 instead of a few
    # sigma. This adds 5 log(2 / .7) = 5 nats at sigma = .2, and more at smaller sigma. The KDE has a similar error.
    assert min(errors[NEIGHBOURS, 5, sigma, 100].min(), errors[KDE, 5, sigma, 100].min()) > 1
    # The plug-in is within .1 at 30 samples a corner. Errors are at least .2 for the KDE at 30 samples a corner in 5
    # dimensions and at 4 in 8 dimensions, and for nearest neighbours at 12 in 8 dimensions.
    assert errors[KDE, 5, sigma, 1000].min() > 0.2
    assert errors[NEIGHBOURS, 8, sigma, 3162].min() > 0.2
    assert errors[KDE, 8, sigma, 1000].min() > 0.2


@pytest.mark.parametrize("sigma", SIGMAS)
def test_binning_returns_log_n_and_the_log_volume_of_a_bin_for_every_truth(errors, sigma):
    # Hardly any two of 316 samples in 8 dimensions share a bin of width .1. A shared bin costs (2 log 2) / 316 nats.
    values = errors[BINNING, 8, sigma, 316] + 8 * coordinate_entropy(sigma, 0.02)
    shared_bins = 5
    expected = math.log(316) + 8 * math.log(0.1)
    assert values == pytest.approx(np.full(REPEATS, expected), abs=shared_bins * 2 * math.log(2) / 316)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_nearest_neighbours_are_below_the_truth_with_many_samples_in_five_dimensions(errors, sigma):
    # The mean error is -.07 to -.11 with other seeds; the standard error of three repeats is .01.
    assert -0.2 < errors[NEIGHBOURS, 5, sigma, 10_000].mean() < -0.04


def test_error_of_the_plug_in_falls_like_one_over_the_number_of_samples(path):
    slopes = [slope for slope in read_table(path / "slopes.csv", Slope) if slope.estimator == PLUG_IN]
    assert len(slopes) == 4
    for slope in slopes:
        # log(1 + A / n) has the exponent -.87 at three samples a corner, and -1 for large n; seeds change it by .1.
        assert -1.25 < slope.slope < -0.7, slope


def test_slope_of_an_estimator_without_integration_is_the_exponent_of_its_mean_error():
    config = Config(sigmas=(0.1,), dims=(1,), estimators=(KDE,), samples=(10, 100, 1000))
    unknown = [math.nan] * 3
    rows = [
        EstimateRow(KDE, 0.1, 1, n, repeat, n**-0.5, *unknown, truth=0.0) for n in config.samples for repeat in range(2)
    ]
    (slope,) = fit_slopes(config, rows)
    assert slope.slope == pytest.approx(-0.5, abs=1e-12)  # rounding of three logarithms


@pytest.mark.parametrize("sigma", SIGMAS)
def test_three_more_dimensions_take_eight_times_the_samples(errors, sigma):
    ratio = errors[PLUG_IN, 8, sigma, 10_000].mean() / errors[PLUG_IN, 5, sigma, 1000].mean()
    # 10,000 samples are 1.25 times 8 times 1000, which gives a ratio of .8. The spread within corners multiplies the
    # ratio by (1 + v / sigma^2)^3 <= 1.2, and the means fluctuate by .006 in .03.
    assert 0.5 < ratio < 2.5


def test_bounds_hold_and_the_bound_of_the_paper_is_vacuous(path, errors):
    bounds = read_table(path / "bounds.csv", Bound)
    assert len(bounds) == 2 * 2 * 2 * len(SAMPLES)
    for bound in bounds:
        assert abs(errors[PLUG_IN, bound.dim, bound.sigma, bound.samples]).mean() <= bound.value
        assert bound.vacuous or bound.bound == COVERING


def test_interrupted_table_is_completed_with_the_same_numbers(tmp_path):
    config = Config(sigmas=(0.2,), dims=(2,), samples=(10, 20), max_kde_samples=1, repeats=2, tolerance=0.1)
    folder = RunFolder(tmp_path, experiment="estimator-comparison", config=config, resume=False)
    ESTIMATOR_COMPARISON.measure(config, folder)
    table = tmp_path / "estimates.csv"
    complete = table.read_text()
    write_table(table, EstimateRow, read_table(table, EstimateRow)[:5])
    ESTIMATOR_COMPARISON.measure(config, folder)
    assert table.read_text() == complete


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"sigmas": ()}, {"sigmas": (0.001,)}, {"dims": (17,)}, {"spread": 0.4}, {"estimators": ()},
        {"estimators": ("kde",)}, {"samples": (10, 10)}, {"samples": (4, 10)}, {"max_kde_samples": 0}, {"repeats": 1},
        {"tolerance": 0.0}, {"neighbours": 0}, {"folds": 1}, {"bin_size": math.inf},
        {"bin_size": 1e-16}, {"bin_size": 1e7}, {"tolerance": 1e-7}, {"sigmas": (0.1, 0.1)}, {"dims": (5, 5)},
        {"estimators": (PLUG_IN, PLUG_IN)}, {"samples": (10, 2**25)}, {"repeats": 10_001},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        Config(**change)
