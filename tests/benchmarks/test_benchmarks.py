"""The comparison with the rivals: that it runs, checks what it times, and reports what it measured."""

import dataclasses
import json
import math
import time

import numpy as np
import pytest
import torch

from benchmarks import compare, distances, guard, peers, roofline
from benchmarks.accuracy import ResultError, accuracy, check_gradients, true_gradients
from benchmarks.dense import LEAST, DenseRow
from benchmarks.layers import trained_layers
from benchmarks.problems import groups, mixture, truth
from benchmarks.pruned import truth_of_all_rows
from benchmarks.targets import Target
from benchmarks.timing import Rounds, Spread, measure, ratio
from layerbits.kernels import reference
from layerbits.kernels.back_ends import cpu

TINY = compare.Plan(
    Rounds(2, least_seconds=0),
    dims=(5,),
    wide=((300, 20),),
    szt_layers=(0,),
    peers=(),
    centers=64,
    points=80,
    groups=5,
    epochs=(1, 2),
    layers=(1, 5),
    layer_draws=1,
    sizes=(64, 128),
    inputs=32,
    draws=4,
    queries=2,
    memory_rows=500,
)


@pytest.fixture(scope="module")
def report():
    return compare.compare(TINY)


def test_every_problem_is_measured_in_both_dtypes(report):
    found = [(row.problem, row.dtype) for row in report.dense]

    names = ["mixture, d = 5", "mixture, d = 300", "SZT layer, d = 10"]
    assert found == [(name, dtype) for name in names for dtype in ("float32", "float64")]


def test_every_layer_is_measured_at_every_epoch(report):
    assert [(row.epoch, row.layer, row.dim) for row in report.pruned] == [(1, 1, 10), (1, 5, 3), (2, 1, 10), (2, 5, 3)]


def test_every_promise_is_among_the_targets(report):
    spread = Spread(100.0, 100.0, 100.0, 1)
    rows = tuple(
        DenseRow(f"mixture, d = {dim}", dtype, dim, 1, {}, {rival: spread}, {}, {}, 0)
        for (dtype, rival), least in LEAST.items()
        for dim in least
    )

    whats = [target.what for target in dataclasses.replace(report, dense=rows).targets]

    assert whats[:10] == [
        *(f"mixture, d = {dim}, float32, over torch" for dim in (2, 5, 10, 16, 128)),
        *(f"mixture, d = {dim}, float32, over KeOps" for dim in (2, 5, 10, 16)),
        "mixture, d = 10, float64, over torch",
    ]
    assert sum("of the dense rate" in what for what in whats) == 2
    assert sum("forward and gradients over forward" in what for what in whats) == 2
    assert sum("of the roof" in what for what in whats) == 2
    assert sum("pruned over dense" in what for what in whats) == 2  # none is promised for layer 1
    assert sum("auto over dense" in what for what in whats) == 4
    assert whats[-1] == "pruned, exponent of n = m"


def test_report_survives_json(report):
    read = json.loads(json.dumps(compare.to_json(report)))

    assert read["dense"][0]["over"]["torch"]["median"] == report.dense[0].over["torch"].median
    assert read["machine"]["isa"] == report.machine["isa"]
    assert [target["met"] for target in read["targets"]] == [target.met for target in report.targets]


def test_tables_name_every_problem_and_layer(report):
    text = "\n".join(compare.lines(report))

    names = [row.problem for row in report.dense] + list(report.estimator.information)
    names += [f"layer {row.layer}, epoch {row.epoch}" for row in report.pruned]
    assert [name for name in names if name not in text] == []


def test_missing_rival_is_named_and_left_out(monkeypatch, report):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    text = "\n".join(compare.lines(dataclasses.replace(report, missing=("KeOps", "mlpack"))))

    assert "Not installed, so left out: KeOps, mlpack" in text
    assert peers.installed() == ()
    assert peers.tree_calls(mixture(4, 4, 2), peers.NAMES) == {}


@pytest.mark.parametrize(("load", "warned"), [(0.0, False), (1.5, True)])
def test_busy_machine_is_named(report, load, warned):
    seen = dataclasses.replace(report, machine=report.machine | {"load": load, "cores": 2})

    assert ("The machine was busy" in "\n".join(compare.lines(seen))) == warned


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_main_writes_what_it_measured(monkeypatch, tmp_path, capsys, report, suffix):
    monkeypatch.setattr(compare, "compare", {compare.QUICK: report}.__getitem__)
    figure = tmp_path / f"report{suffix}"

    status = compare.main(["--quick", "--json", str(tmp_path / "report.json"), "--figure", str(figure)])

    assert status == 0
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(compare.to_json(report)))
    assert figure.read_bytes().startswith({".svg": b"<?xml", ".png": b"\x89PNG"}[suffix])
    assert capsys.readouterr().out == "\n".join(compare.lines(report)) + "\n"


@pytest.mark.parametrize("options", [["--json", "nowhere/report.json"], ["--json", "."], ["--figure", "report.jpg"]])
def test_path_that_cannot_be_written_is_refused_before_measuring(monkeypatch, options):
    monkeypatch.setattr(compare, "compare", pytest.fail)

    with pytest.raises(SystemExit):
        compare.main(options)


@pytest.mark.parametrize(("at_most", "met"), [(False, [False, True, True]), (True, [True, True, False])])
def test_target_is_met_on_its_own_side(at_most, met):
    assert [Target("it", found, 2.0, at_most).met for found in (1.0, 2.0, 3.0)] == met


def test_truth_agrees_with_the_slow_twin():
    problem = groups(7)
    exact = truth(problem)

    offsets = {"point_offsets": problem.point_offsets.numpy(), "center_offsets": problem.center_offsets.numpy()}
    twin = reference.log_sum_exp_isotropic(problem.points.numpy(), problem.centers.numpy(), problem.sigma, **offsets)

    # The exponents are below 100, so that float64 rounds them by less than 100 * 2^-53 * (d + 3).
    np.testing.assert_allclose(exact.log_sums.astype(float), twin[exact.rows], rtol=0, atol=1e-12)


def test_truth_of_all_rows_agrees_with_that_of_some():
    problem = mixture(64, 300, 3)
    some, everywhere = truth(problem), truth_of_all_rows(problem)

    assert len(everywhere.rows) == 300
    # Exponents are below 100, so that float64 rounds them by less than 100 * 2^-53 * (d + 3).
    np.testing.assert_allclose(everywhere.log_sums[some.rows].astype(float), some.log_sums.astype(float), atol=1e-12)
    assert (everywhere.mean_exponent[some.rows] >= some.mean_exponent).all()


@pytest.mark.parametrize("name", ["layerbits", "dense", "pruned", "auto"])
def test_wrong_value_of_ours_is_refused(name):
    problem = mixture(16, 8, 3)
    values = reference.mixture_log_density(problem.points.numpy(), problem.centers.numpy(), problem.sigma)
    assert accuracy(name, values, problem, truth(problem), torch.float64).within
    values[5] += 1e-11

    with pytest.raises(ResultError, match="row 5 is off"):
        accuracy(name, values, problem, truth(problem), torch.float64)


# What they state: rounding of exponents of about 100 in float64, 1e-4 of a density, 5 % of it.
@pytest.mark.parametrize(
    ("name", "within", "beyond"), [("numpy", 1e-14, 1e-11), ("mlpack", 0.5e-4, 2e-4), ("mlpack 5%", 0.025, 0.1)]
)
def test_rival_beyond_what_it_states_is_marked(name, within, beyond):
    problem = mixture(16, 8, 3)
    values = reference.mixture_log_density(problem.points.numpy(), problem.centers.numpy(), problem.sigma)

    found = [
        accuracy(name, values - error, problem, truth(problem), torch.float64) for error in (within, beyond, np.nan)
    ]

    assert [str(each).endswith("!") for each in found] == [False, True, True]


def test_wrong_gradient_is_refused():
    problem = mixture(16, 8, 3).to(torch.float64)
    d_points, d_centers = true_gradients(problem)

    with pytest.raises(ResultError, match="gradients of centers"):
        check_gradients((d_points, 1.001 * d_centers), (d_points, d_centers), problem)


@pytest.mark.parametrize("name", peers.NAMES)
def test_installed_rival_computes_log_densities(name):
    if name not in peers.installed():
        pytest.skip(f"{name} is not installed")
    problem = mixture(64, 32, 3).to(torch.float64)
    given = problem.points.clone(), problem.centers.clone()

    calls = peers.tree_calls(problem, [name]) or {name: lambda: peers.keops_log_density(problem)}
    values = calls[name]()

    assert accuracy(name, values, problem, truth(problem), torch.float64).within
    assert torch.equal(problem.points, given[0])
    assert torch.equal(problem.centers, given[1])


def test_layers_are_those_of_the_network_in_training():
    first, last = trained_layers([1, 3], draws=2, queries=3, layers=[5])

    assert (first.problem.centers.shape, first.problem.points.shape) == ((8192, 3), (12_288, 3))
    assert not torch.equal(first.problem.centers, last.problem.centers)
    # The mean of 36,864 squares of standard normals: within 6 standard errors.
    noise = (first.problem.points.view(4096, 3, 3)[:, 0] - first.problem.centers.view(4096, 2, 3)[:, 0]) / 0.005
    assert noise.square().mean().item() == pytest.approx(1, abs=6 * math.sqrt(2 / noise.numel()))


def test_nothing_is_timed_before_the_check_passed():
    calls = []

    def refuse(results):
        raise ResultError(f"refused {results}")

    with pytest.raises(ResultError, match="refused"):
        measure({"one": lambda: calls.append(1)}, refuse, Rounds(3))

    assert len(calls) == 1


def test_rounds_are_interleaved():
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}

    measure(calls, lambda results: order.clear(), Rounds(2, least_seconds=0))

    assert order == ["a", "b", "a", "b"]


def test_no_round_begins_after_the_time_is_up():
    seconds = measure({"a": lambda: None}, lambda results: None, Rounds(3, least_seconds=0, most_seconds=0))

    assert len(seconds["a"]) == 1


def test_ratio_is_taken_round_by_round():
    spread = ratio([2.0, 9.0, 4.0], [1.0, 3.0, 1.0])

    assert (spread.median, spread.lower, spread.upper) == (3.0, 2.0, 4.0)


def test_memory_beyond_the_inputs_is_measured(report):
    assert [memory.method for memory in report.memory] == ["dense", "pruned"]
    for memory in report.memory:
        assert memory.grown >= 0
        assert memory.all_pairs == 4 * TINY.memory_rows**2


def test_roof_is_the_slower_of_products_and_all_operations():
    # d = 10 in float32: 18 multiply-adds, 17.125 others.
    assert roofline.roof(10, "float32", 18.0, 2.0) == 1.0
    assert roofline.roof(10, "float32", 35.125, 1.0) == 1.0


def test_roof_of_every_level_is_measured():
    rows = roofline.measure_roofline(torch.float32, n=64, m=64, rounds=Rounds(1, least_seconds=0))

    assert [row.level for row in rows] == cpu().levels()
    assert all(0 < row.rate < row.roof for row in rows)


# Sleeping overshoots by a fraction of a millisecond, busy machines by some more.
@pytest.mark.parametrize(("least", "kept"), [(1.5, True), (20.0, False)])
def test_guard_fails_when_a_kernel_is_slow(monkeypatch, capsys, least, kept):
    case = guard.Case("kernel", lambda: time.sleep(0.002), lambda: time.sleep(0.01), least)
    monkeypatch.setattr(guard, "cases", lambda level: [case])

    status = guard.main([])

    assert status == (not kept)
    assert capsys.readouterr().out.startswith("kept: kernel" if kept else "TOO SLOW: kernel")


def test_guard_gives_a_second_chance():
    pauses = iter([0.1] * 2 + [0.001] * 2)  # for the check and the one round, of each try
    case = guard.Case("kernel", lambda: time.sleep(next(pauses)), lambda: time.sleep(0.02), 2.0)

    kept, _ = guard.verdict(case, Rounds(1, least_seconds=0))

    assert kept


@pytest.mark.parametrize(("level", "share"), [("avx512", 1.0), ("avx2", 0.5), ("sse2", 0.25)])
def test_guard_asks_of_a_level_what_its_lanes_allow(level, share):
    owed = {case.name.split(", ", 1)[1]: case.least for case in guard.cases(level)}

    halves = {"float32, d = 5": 30, "float32, d = 10": 30, "float32, d = 16": 15, "float64, d = 10": 20}
    assert owed == {name: share * half for name, half in halves.items()}


def test_distances_are_checked_and_compared(monkeypatch, capsys):
    monkeypatch.setattr(distances, "QUICK", 150)

    assert distances.main(["--quick"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0].split(", ")[-1].split()[0] for line in lines] == ["seconds", "over"]


def test_wrong_distances_are_refused(monkeypatch):
    monkeypatch.setattr(distances, "our_histogram", lambda points: distances.scipy_histogram(1.001 * points)[::-1])

    with pytest.raises(AssertionError, match="shares of pairs are off by"):
        next(distances.targets(50, Rounds(1, least_seconds=0)))
