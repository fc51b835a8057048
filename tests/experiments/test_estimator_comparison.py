"""The experiment estimator-comparison: its quick run against what the paper says of it."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from layerbits.experiments.entropy.risk_bounds import Bound
from scipy.signal import fftconvolve

from layerbits._base import UsageError
from layerbits.experiments import RunFolder
from layerbits.experiments.entropy import estimator_comparison
from layerbits.experiments.entropy.entropy_estimators import BINNING, KDE, NEIGHBOURS, PLUG_IN
from layerbits.experiments.entropy.estimator_comparison import Config, Point, Slope, coordinate_entropy
from layerbits.experiments.framework.tables import read_table, write_table
from tests.support import answers as known_answers

QUICK = dataclasses.replace(Config(), **estimator_comparison.QUICK)


@pytest.fixture(scope="module")
def errors(quick_run):
    """Estimate minus truth, shape (repeats,), by estimator, dimension, sigma and samples."""
    found = {}
    for point in read_table(quick_run("estimator-comparison") / "estimates.csv", Point):
        cell = point.estimator, point.dim, point.sigma, point.samples
        found.setdefault(cell, []).append(point.value - point.truth)
    return {cell: np.array(some) for cell, some in found.items()}


@pytest.mark.parametrize(("sigma", "published"), [(0.05, -0.855), (0.1, -0.183), (0.2, 0.505)])
def test_truth_is_the_published_one_and_that_of_a_convolution(sigma, published):
    truth = coordinate_entropy(sigma, 0.02)
    assert truth == pytest.approx(published, abs=0.6e-3)  # rounded to three digits
    axis = np.linspace(-4, 4, 2**16 + 1)  # with the faces of the cube on it
    step = axis[1] - axis[0]
    inside = np.where(np.abs(axis) <= 1, known_answers.normal(1 - np.abs(axis), 0.02), 0)
    inside[np.abs(axis) == 1] /= 2  # the trapezoidal rule at a jump
    density = fftconvolve(inside, known_answers.normal(axis, sigma), mode="same") * step
    # Steps of 2^-13 against the deviation .02 leave some (2^-13 / .02)^2 / 12 = 3e-6.
    assert truth == pytest.approx(known_answers.entropy(density.clip(0), axis), abs=1e-5)


def test_run_leaves_all_its_files(quick_run):
    assert {path.name for path in quick_run("estimator-comparison").iterdir()} == {
        "run.json", "estimates.csv", "bounds.csv", "slopes.csv",
        "estimator-comparison.png", "estimator-comparison-errors.png",
    }  # fmt: skip


@pytest.mark.parametrize("sigma", QUICK.sigmas)
def test_plug_in_rises_to_the_truth_by_some_dozens_of_samples_a_corner(errors, sigma):
    # The bias is at most log(1 + (A - 1) / n), A - 1 the chi-squared information: for separated corners 2^d, times the
    # d-th power of at most 1 + v / sigma^2, v = (1 - 2 / pi) .02^2 the variance within a corner: 42 at d = 5, 1790 at
    # d = 10, sigma = .05, so that at 31 samples a corner it is .042 and .055. Up to a tenth it may fluctuate: by
    # sqrt(2 A) / 2n = .005 and .001, and the integration by .005.
    for dim, enough in {5: 1000, 10: 31_623}.items():
        curve = {n: errors[PLUG_IN, dim, sigma, n] for n in QUICK.samples}
        assert all(abs(curve[n]).max() < 0.1 for n in curve if n >= enough)
        # With so few samples there is no more in it than log n, and it rises by about that.
        assert curve[10].max() < -1
        means = [curve[n].mean() for n in (10, 32, 100, 316, 1000)]
        assert all(fewer < more for fewer, more in itertools.pairwise(means))


@pytest.mark.parametrize("sigma", QUICK.sigmas)
def test_rivals_come_from_far_and_are_still_off_where_the_plug_in_has_arrived(errors, sigma):
    # 100 samples leave three at a corner: the third neighbour is at another one, at a distance of 2, not of some sigma,
    # which adds 5 log(2 / .7) = 5 nats at sigma = .2 and more below; so it is with a kernel.
    assert min(errors[NEIGHBOURS, 5, sigma, 100].min(), errors[KDE, 5, sigma, 100].min()) > 1
    # The plug-in is within .1 here (above); the others are off by twice that at least.
    assert errors[KDE, 5, sigma, 1000].min() > 0.2
    assert errors[NEIGHBOURS, 10, sigma, 10_000].min() > 0.2
    assert errors[KDE, 10, sigma, 3162].min() > 0.2
    # Bins of .1 in 10 dimensions: no two samples share one, so that it says log n + 10 log .1 whatever the truth.
    told = errors[BINNING, 10, sigma, 1000] + 10 * coordinate_entropy(sigma, 0.02)
    assert told == pytest.approx(np.full(3, math.log(1000) + 10 * math.log(0.1)), abs=0.01)


def test_nearest_neighbours_cross_the_truth_and_stay_below_it_in_five_dimensions(errors):
    for sigma in QUICK.sigmas:
        # .08 to .11 in other seeds; the spread of three means is .01.
        assert -0.2 < errors[NEIGHBOURS, 5, sigma, 10_000].mean() < -0.04


def test_error_of_the_plug_in_is_bias_and_falls_like_the_number_of_samples(quick_run):
    slopes = read_table(quick_run("estimator-comparison") / "slopes.csv", Slope)
    fitted = [slope for slope in slopes if slope.estimator == PLUG_IN]
    assert len(fitted) == 6
    for slope in fitted:
        # log(1 + A / n) has the exponent -.87 at three samples a corner and -1 in the end; seeds move it by .1.
        assert -1.25 < slope.slope < -0.7, slope


def test_ten_dimensions_take_two_to_the_fifth_times_the_samples_of_five(errors):
    for sigma in QUICK.sigmas:
        of_five, of_ten = errors[PLUG_IN, 5, sigma, 1000].mean(), errors[PLUG_IN, 10, sigma, 31_623].mean()
        # (1 + v / sigma^2)^5 <= 1.3 comes from the spread within corners, the rest from fluctuations of .003 in .015.
        assert 0.5 < of_ten / of_five < 2.5


def test_bounds_hold_and_the_one_of_the_paper_is_vacuous(quick_run, errors):
    bounds = read_table(quick_run("estimator-comparison") / "bounds.csv", Bound)
    assert len(bounds) == 2 * 3 * 2 * len(QUICK.samples)
    for bound in bounds:
        assert abs(errors[PLUG_IN, bound.dim, bound.sigma, bound.samples]).mean() <= bound.value
        assert bound.vacuous or bound.bound == "covering"


def test_table_that_was_broken_off_is_gone_on_with_to_the_same_numbers(tmp_path):
    config = Config(sigmas=(0.2,), dims=(2,), samples=(10, 20), most_kde=1, repeats=2, tolerance=0.1)
    folder = RunFolder(tmp_path, experiment="estimator-comparison", config=config, resume=False)
    estimator_comparison.measure(config, folder)
    whole = (tmp_path / "estimates.csv").read_text()
    write_table(tmp_path / "estimates.csv", Point, read_table(tmp_path / "estimates.csv", Point)[:5])
    estimator_comparison.measure(config, folder)
    assert (tmp_path / "estimates.csv").read_text() == whole


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"sigmas": ()}, {"sigmas": (0.001,)}, {"dims": (17,)}, {"spread": 0.4}, {"estimators": ()},
        {"estimators": ("kde",)}, {"samples": (10, 10)}, {"samples": (4, 10)}, {"most_kde": 0}, {"repeats": 1},
        {"tolerance": 0.0}, {"neighbours": 0}, {"folds": 1}, {"bin_size": math.inf},
        {"bin_size": 1e-16}, {"bin_size": 1e7}, {"tolerance": 1e-7}, {"sigmas": (0.1, 0.1)}, {"dims": (5, 5)},
        {"estimators": (PLUG_IN, PLUG_IN)}, {"samples": (10, 2**25)}, {"repeats": 10_001},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        Config(**change)
