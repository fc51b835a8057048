"""The experiment sample-complexity: its quick run against what theory says of it."""

import dataclasses
import math

import numpy as np
import pytest
from layerbits.experiments.entropy.risk_bounds import Bound

from layerbits import mixture_information, theory
from layerbits._base import UsageError
from layerbits.experiments import RunFolder
from layerbits.experiments.entropy import cube, sample_complexity
from layerbits.experiments.entropy.sample_complexity import Config, Needed, Risk, plugin_error
from layerbits.experiments.framework.tables import read_table
from layerbits.kernels import stream

QUICK = dataclasses.replace(Config(), **sample_complexity.QUICK)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("run"), experiment="sample-complexity", config=QUICK, resume=False)
    with folder.running():
        sample_complexity.run(QUICK, folder)
    return folder


def read(folder, name, kind):
    return read_table(folder.path / name, kind)


@pytest.mark.parametrize(
    ("dim", "sigma", "probability", "n"), [(1, 0.5, 0.75, 7), (3, 0.5, 0.75, 40), (3, 1.0, 0.5, 9)]
)
def test_error_is_that_of_the_entropy_of_the_sample(dim, sigma, probability, n):
    counts = sample_complexity.sample(dim, probability, n, stream(0, 0))
    errors = [plugin_error(counts, probability, sigma, 4096, stream(0, 1, repeat)) for repeat in range(20)]
    seen = counts > 0
    plugin = mixture_information(cube.corners(dim)[seen], sigma, weights=counts[seen], tolerance=1e-3)
    spread = math.hypot(np.std(errors, ddof=1) / math.sqrt(20), plugin.standard_error)
    # Five standard errors: by chance once in a million.
    assert abs(np.mean(errors) - (plugin.value - cube.information(dim, probability, sigma))) < 5 * spread


def test_run_leaves_all_its_files(finished):
    assert {path.name for path in finished.path.iterdir()} == {
        "run.json", "risk.csv", "bounds.csv", "slopes.csv", "needed.csv", "sample-complexity.png",
    }  # fmt: skip


def test_risk_is_below_every_bound_that_holds_for_all_n(finished):
    risks = {(risk.sigma, risk.probability, risk.dim, risk.samples): risk for risk in read(finished, "risk.csv", Risk)}
    bounds = [bound for bound in read(finished, "bounds.csv", Bound) if bound.bound != "paper"]
    assert len(bounds) == 2 * 2 * 5 * 10
    for bound in bounds:
        for probability in QUICK.probabilities:
            risk = risks[bound.sigma, probability, bound.dim, bound.samples]
            assert risk.risk - 5 * risk.standard_error <= bound.value, (risk, bound)


def test_plugin_is_too_small_on_average(finished):
    # Five standard errors; that of the mean is at most sqrt(risk^2 / repeats + that of the risk squared).
    for risk in read(finished, "risk.csv", Risk):
        assert risk.mean_error <= 5 * math.hypot(risk.risk / math.sqrt(QUICK.repeats), risk.standard_error), risk


@pytest.mark.parametrize(("probability", "exponent"), [(0.75, -0.5), (0.5, -1.0)])
def test_risk_falls_like_the_root_of_n_and_faster_only_where_no_corner_is_likelier(finished, probability, exponent):
    rows = [row.split(",") for row in (finished.path / "slopes.csv").read_text().splitlines()[1:]]
    fitted = [tuple(map(float, row)) for row in rows if float(row[1]) == probability]
    assert len(fitted) == 2 * 4  # d = 1, 2, 4, 6 at both sigmas
    for sigma, _, dim, slope, standard_error in fitted:
        # At 16 4^d samples the bias, at most 2^d / 2n, is a part b of the deviation sqrt(d v / n), where v > .19 is the
        # variance of a bit's surprise. It adds b^2 / 2 to the logarithm of the risk at that first point and next to
        # nothing at the others; that tilts a line through three points (the fewest) by b^2 / 4 log 4.
        part = 1 / (8 * math.sqrt(0.19 * dim))
        assert abs(slope - exponent) < 5 * standard_error + part**2 / (4 * math.log(4)), (sigma, dim)


def test_samples_needed_lie_between_the_bounds_and_grow_exponentially(finished):
    needed = {(each.sigma, each.dim, each.source): each.log_samples for each in read(finished, "needed.csv", Needed)}
    for sigma in QUICK.sigmas:
        for dim in QUICK.dims:
            measured = needed[sigma, dim, "measured at 0.5"]
            # The grid of n has steps of 4, along which the risk of fair bits is nearly straight: a tenth is ample.
            assert needed[sigma, dim, "least"] - 0.1 <= measured <= needed[sigma, dim, "finite support"] + 0.1
            assert needed[sigma, dim, "finite support"] <= needed[sigma, dim, "covering"]
    # The bias at separated fair corners is (2^d - 1) / 2n but for second orders, so two bits more take four times the
    # samples and a little; the divergence of one sample has the relative variance 2 / (2^d - 1).
    for dim in (4, 6):
        growth = needed[0.15, dim + 2, "measured at 0.5"] - needed[0.15, dim, "measured at 0.5"]
        expected = math.log((2 ** (dim + 2) - 1) / (2**dim - 1))
        assert abs(growth - expected) < 5 * math.sqrt(2 * (1 / 2**dim + 1 / 2 ** (dim + 2)) / QUICK.repeats)


def test_paper_bound_is_vacuous_where_the_table_says_so(finished):
    for bound in read(finished, "bounds.csv", Bound):
        ceiling = bound.dim / 2 * math.log(1 + 1 / bound.sigma**2)
        assert bound.vacuous == (bound.value >= ceiling)
    paper = [bound for bound in read(finished, "bounds.csv", Bound) if bound.bound == "paper" and bound.dim == 8]
    assert all(bound.vacuous for bound in paper if bound.sigma == 0.15)
    assert theory.is_vacuous(theory.plugin_risk_bound(2**20, dim=8, sigma=0.15), dim=8, sigma=0.15)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"sigmas": (0.001,)},
        {"probabilities": (1.0,)},
        {"dims": (17,)},
        {"samples": (4, 4)},
        {"samples": (1, 4)},
        {"repeats": 7},
        {"draws": 1},
        {"error": 0.0},
        {"sigmas": (0.5, 0.5)},
        {"probabilities": (0.75, 0.7500000001)},
        {"probabilities": (1e-7,)},
        {"probabilities": (1 - 1e-7,)},
        {"dims": (1, 1)},
        {"repeats": 2**24},
        {"draws": 2**21},
    ],
)
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        Config(**change)


def test_seed_decides_the_result(tmp_path):
    tables = []
    for seed in (0, 0, 1):
        config = Config(seed=seed, sigmas=(0.5,), dims=(2,), samples=(4, 16), repeats=8, draws=64)
        folder = RunFolder(tmp_path / str(len(tables)), experiment="sample-complexity", config=config, resume=False)
        sample_complexity.measure(config, folder)
        tables.append((folder.path / "risk.csv").read_text())
    assert tables[0] == tables[1] != tables[2]
