"""Growing until the interval is narrow: what stops it, what is said then, and how the risk is shared out."""

import itertools
import math
import time

import numpy as np
import pytest
import torch
from layerbits.estimators.measurement import measure
from layerbits.estimators.refinement import Goal, refine
from layerbits.estimators.sampling import LayerSample

from layerbits.estimators import refinement

SIGMA, RISK = 0.3, 0.025
INPUTS = np.linspace(-1, 1, 12)


def chain(draws, queries):
    """The second of two tanh layers of one unit, in so many passes."""
    random = np.random.default_rng(draws)
    inner = np.tanh(INPUTS)[:, None, None] + SIGMA * random.normal(size=(12, draws, 1))
    return [LayerSample(torch.from_numpy(np.tanh(2 * inner)), SIGMA, 0.0, 0.0, queries)]


def first(_, queries):
    """The first of them, behind no noise."""
    return [LayerSample(torch.from_numpy(np.tanh(INPUTS))[:, None, None], SIGMA, 0.0, 0.0, queries)]


def goal(tolerance, *, max_draws=4096, max_seconds=60.0):
    return Goal(tolerance, max_draws, max_seconds, time.monotonic() + max_seconds)


def refined(sample, wanted, *, draws=16, queries=4):
    """Return what `refine` does, the efforts of its rounds, and what it reported."""
    efforts, reports, seeds = [(draws, queries)], [], {0}

    def again(seed, more_draws, more_queries):
        assert seed not in seeds  # each round has one of its own
        seeds.add(seed)
        efforts.append((more_draws, more_queries))
        return sample(more_draws, more_queries)

    found = refine(sample(draws, queries), again, None, wanted, RISK, (0, 0), reports.append)
    return *found, efforts, reports


def half_width(brackets):
    return (brackets["I(X;T)"].upper - brackets["I(X;T)"].lower) / 2


def test_without_a_goal_one_round_has_all_of_the_risk():
    last, brackets, shortfall, efforts, reports = refined(chain, None)
    assert brackets == measure(chain(16, 4), None, RISK, (0, 0))
    assert (last.queries, shortfall, efforts, len(reports)) == (4, "", [(16, 4)], 1)


@pytest.mark.parametrize(("sample", "draws"), [(chain, 16), (first, 1)], ids=["behind noise", "exact"])
def test_tolerance_is_met_in_as_many_rounds_as_it_takes(sample, draws):
    last, brackets, shortfall, efforts, reports = refined(sample, goal(0.05), draws=draws)
    assert half_width(brackets) <= 0.05
    assert shortfall == ""
    assert len(reports) == len(efforts) > 1
    assert efforts[-1] == (last.signals.shape[1], last.queries)
    _, before, *_ = refined(sample, None, draws=draws)
    assert half_width(before) > 0.05


def test_interval_that_is_narrow_enough_is_left():
    assert refined(chain, goal(1.5))[3] == [(16, 4)]


def test_rounds_share_the_risk(monkeypatch):
    """Infinitely many rounds spend it all: sum of 6 / (pi k)^2 is 1."""
    risks = []

    def recording(samples, classes, risk, key):
        risks.append(risk)
        return measure(samples, classes, risk, key)

    monkeypatch.setattr(refinement, "measure", recording)
    refined(chain, goal(0.05))
    assert risks == pytest.approx([RISK * 6 / (math.pi * number) ** 2 for number in range(1, len(risks) + 1)])
    assert len(risks) > 2
    assert sum(risks) < RISK


def test_rounds_double_draws_or_queries_and_ask_of_half_of_the_draws_at_most():
    efforts = refined(chain, goal(0.03))[3]
    for (draws, queries), (more_draws, more_queries) in itertools.pairwise(efforts):
        assert (more_draws / draws, more_queries / queries) in ((1, 2), (2, 1), (2, 2))
        assert 2 * more_queries <= more_draws


@pytest.mark.parametrize("max_draws", [16, 100])
def test_most_draws_are_kept_and_named(max_draws):
    last, brackets, shortfall, efforts, _ = refined(chain, goal(1e-4, max_draws=max_draws))
    limit = brackets["I(X;T)"].limited_by
    assert shortfall == f"tolerance 0.0001 not reached within max_draws {max_draws}: held back by {limit}"
    assert max(draws for draws, _ in efforts) <= max_draws < 2 * last.signals.shape[1]


@pytest.mark.parametrize(("sample", "draws"), [(chain, 16), (first, 1)], ids=["behind noise", "exact"])
def test_most_seconds_are_kept_and_named(sample, draws):
    """The forecast goes by what the last round took; one that is twice as slow as that still ends in time."""
    began = time.monotonic()
    _, _, shortfall, efforts, _ = refined(sample, goal(1e-5, max_draws=2**30, max_seconds=0.5), draws=draws)
    assert shortfall.startswith("tolerance 1e-05 not reached within max_seconds 0.5: held back by ")
    assert len(efforts) > 1
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(("limited_by", "more"), [("queries", (16, 8)), ("draws", (32, 4)), ("decoder", (32, 4))])
def test_what_holds_it_back_grows(monkeypatch, limited_by, more):
    """The widths of the first round come from `limited_by`."""

    def measured(samples, classes, risk, key):
        found = measure(samples, classes, risk, key)["I(X;T)"]
        return {"I(X;T)": type(found)(**{**vars(found), "limited_by": limited_by})}

    monkeypatch.setattr(refinement, "measure", measured)
    _, _, shortfall, efforts, _ = refined(chain, goal(1e-4, max_draws=63))
    assert efforts[1] == more
    assert shortfall.endswith(f"held back by {limited_by}")


def test_dimensions_left_out_end_the_rounds(monkeypatch):
    def measured(samples, classes, risk, key):
        found = measure(samples, classes, risk, key)["I(X;T)"]
        return {"I(X;T)": type(found)(**{**vars(found), "limited_by": "dimensions"})}

    monkeypatch.setattr(refinement, "measure", measured)
    _, _, shortfall, efforts, _ = refined(chain, goal(1e-4))
    assert (len(efforts), shortfall) == (
        1,
        "tolerance 0.0001 not reached within any number of draws: held back by dimensions",
    )


def test_more_queries_take_as_many_draws_again():
    """At half of the draws already, queries cannot grow alone."""
    assert refinement._more(chain(16, 8)[0], measure(chain(16, 8), None, RISK, (0, 0))["I(X;T)"], 4096)[0] == 32


def test_queries_without_noise_end_somewhere(monkeypatch):
    monkeypatch.setattr(refinement, "_MOST_QUERIES", 12 * 64)
    _, _, shortfall, efforts, _ = refined(first, goal(1e-5), draws=1)
    assert efforts == [(1, 4), (1, 8), (1, 16), (1, 32), (1, 64)]
    assert shortfall == "tolerance 1e-05 not reached within 64 queries of an input: held back by queries"


def test_reports_show_the_interval():
    _, brackets, _, _, reports = refined(chain, None)
    assert reports == [f"{brackets['I(X;T)'].lower:.3f} to {brackets['I(X;T)'].upper:.3f} nats, 16 draws"]
