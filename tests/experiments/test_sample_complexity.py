"""The experiment sample-complexity: mean errors of the plug-in in a short run against theory."""

import math

import numpy as np
import pytest

from layerbits import mixture_information, theory
from layerbits._base import UsageError
from layerbits.experiments import RunFolder
from layerbits.experiments.entropy import cube
from layerbits.experiments.entropy.bounds import COVERING, FINITE_SUPPORT, PAPER, Bound
from layerbits.experiments.entropy.sample_complexity.errors import Risk, plug_in_error, sample
from layerbits.experiments.entropy.sample_complexity.experiment import SAMPLE_COMPLEXITY
from layerbits.experiments.entropy.sample_complexity.rates import LOWER_BOUND, SamplesNeeded, Slope, measured_source
from layerbits.experiments.entropy.sample_complexity.settings import Config
from layerbits.experiments.framework.tables import read_table
from layerbits.kernels import stream

SIGMAS, PROBABILITIES = Config().sigmas, Config().probabilities
DIMS, SAMPLES, REPEATS = (1, 2, 4, 6), tuple(4**power for power in range(1, 9)), 32


@pytest.fixture(scope="module")
def path(quick_run):
    return quick_run("sample-complexity", dims=DIMS, samples=SAMPLES, repeats=REPEATS)


@pytest.mark.parametrize(
    ("dim", "sigma", "probability", "n"), [(1, 0.5, 0.75, 7), (3, 0.5, 0.75, 40), (3, 1.0, 0.5, 9)]
)
def test_error_is_that_of_the_entropy_of_the_sample(dim, sigma, probability, n):
    counts = sample(dim, probability, n, stream(0, 0))
    errors = [plug_in_error(counts, probability, sigma, 4096, stream(0, 1, repeat)) for repeat in range(20)]
    sampled = counts > 0
    plug_in = mixture_information(cube.corners(dim)[sampled], sigma, weights=counts[sampled], tolerance=1e-3)
    standard_error = math.hypot(np.std(errors, ddof=1) / math.sqrt(20), plug_in.standard_error)
    expected = plug_in.value - cube.information(dim, probability, sigma)
    # The difference exceeds five standard errors with a probability of 6e-7.
    assert abs(np.mean(errors) - expected) < 5 * standard_error


def test_run_writes_all_its_files(path):
    assert {file.name for file in path.glob("[!.]*")} == {
        "run.json", "risk.csv", "bounds.csv", "slopes.csv", "needed.csv", "sample-complexity.png",
    }  # fmt: skip


def test_risk_is_below_every_bound_that_holds_for_all_n(path):
    risks = {row[:4]: row for row in read_table(path / "risk.csv", Risk)}
    bounds = [bound for bound in read_table(path / "bounds.csv", Bound) if bound.bound != PAPER]
    assert len(bounds) == 2 * 2 * 4 * 8
    for bound in bounds:
        for probability in PROBABILITIES:
            risk = risks[bound.sigma, probability, bound.dim, bound.samples]
            assert risk.risk - 5 * risk.standard_error <= bound.value, (risk, bound)


def test_plug_in_is_too_small_on_average(path):
    for risk in read_table(path / "risk.csv", Risk):
        # Five standard errors of the mean error, each at most sqrt(risk^2 / repeats + standard_error^2).
        assert risk.mean_error <= 5 * math.hypot(risk.risk / math.sqrt(REPEATS), risk.standard_error), risk


@pytest.mark.parametrize(("probability", "exponent"), [(0.75, -0.5), (0.5, -1.0)])
def test_risk_falls_like_one_over_the_root_of_n_and_for_fair_bits_like_one_over_n(path, probability, exponent):
    slopes = [row for row in read_table(path / "slopes.csv", Slope) if row.probability == probability]
    assert len(slopes) == 2 * 3  # d = 1, 2, 4 at both sigmas
    for row in slopes:
        # The bias is at most 2^d / 2n. At n = 16 * 4^d samples it is at most a share b of the standard deviation
        # sqrt(d v / n), where v > .19 is the variance of the surprisal of a bit. The bias adds b^2 / 2 to the logarithm
        # of the risk at the first n and almost nothing at the others. A fit has three n or more, so that the slope
        # changes by at most b^2 / (4 log 4).
        share = 1 / (8 * math.sqrt(0.19 * row.dim))
        assert abs(row.slope - exponent) < 5 * row.standard_error + share**2 / (4 * math.log(4)), row


@pytest.fixture(scope="module")
def log_samples(path):
    """Return the logarithm of the number of samples needed, by sigma, dimension and source."""
    return {row[:3]: row.log_samples for row in read_table(path / "needed.csv", SamplesNeeded)}


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("dim", DIMS)
def test_number_of_samples_needed_is_between_its_bounds(log_samples, sigma, dim):
    measured = log_samples[sigma, dim, measured_source(0.5)]
    # The risk is interpolated between numbers of samples a factor of 4 apart. For fair bits the risk is nearly a power
    # of n, so that .1 is more than the error.
    assert log_samples[sigma, dim, LOWER_BOUND] - 0.1 <= measured <= log_samples[sigma, dim, FINITE_SUPPORT] + 0.1
    assert log_samples[sigma, dim, FINITE_SUPPORT] <= log_samples[sigma, dim, COVERING]


def test_number_of_samples_needed_grows_exponentially_with_the_dimension(log_samples):
    # The bias at separated corners of fair bits is (2^d - 1) / 2n to first order, so that two more bits need about four
    # times as many samples. The error of one repeat has the relative variance 2 / (2^d - 1), about 2 / 2^d.
    growth = log_samples[0.15, 6, measured_source(0.5)] - log_samples[0.15, 4, measured_source(0.5)]
    expected = math.log((2**6 - 1) / (2**4 - 1))
    assert abs(growth - expected) < 5 * math.sqrt(2 * (1 / 2**4 + 1 / 2**6) / REPEATS)


def test_bounds_above_the_ceiling_are_vacuous_as_is_the_bound_of_the_paper_in_six_dimensions(path):
    bounds = read_table(path / "bounds.csv", Bound)
    for bound in bounds:
        ceiling = bound.dim / 2 * math.log(1 + 1 / bound.sigma**2)
        assert bound.vacuous == (bound.value >= ceiling)
    assert all(bound.vacuous for bound in bounds if (bound.bound, bound.dim, bound.sigma) == (PAPER, 6, 0.15))
    assert theory.is_vacuous(theory.plugin_risk_bound(2**20, dim=8, sigma=0.15), dim=8, sigma=0.15)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"sigmas": (0.001,)}, {"probabilities": (1.0,)}, {"dims": (17,)}, {"samples": (4, 4)},
        {"samples": (1, 4)}, {"repeats": 7}, {"draws": 1}, {"error": 0.0}, {"sigmas": (0.5, 0.5)},
        {"probabilities": (0.75, 0.7500000001)}, {"probabilities": (1e-7,)}, {"probabilities": (1 - 1e-7,)},
        {"dims": (1, 1)}, {"repeats": 2**24}, {"draws": 2**21},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        Config(**change)


def test_seed_determines_the_result(tmp_path):
    tables = []
    for number, seed in enumerate((0, 0, 1)):
        config = Config(seed=seed, sigmas=(0.5,), dims=(2,), samples=(4, 16), repeats=8, draws=64)
        folder = RunFolder(tmp_path / str(number), experiment="sample-complexity", config=config, resume=False)
        SAMPLE_COMPLEXITY.measure(config, folder)
        tables.append((folder.path / "risk.csv").read_text())
    assert tables[0] == tables[1] != tables[2]
