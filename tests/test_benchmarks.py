"""The comparison with the rivals: that it runs, checks what it times, and reports what it measured."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from benchmarks import compare
from benchmarks.accuracy import ResultError, check_gradients, largest_error, true_gradients
from benchmarks.problems import mixture, ragged, truth
from benchmarks.timing import Rounds, measure, ratio
from layerbits import reference

TINY = compare.Plan(
    Rounds(2, least_seconds=0), dims=(5,), centers=64, points=80, groups=5, inputs=32, draws=4, memory_rows=500
)


@pytest.fixture(scope="module")
def report():
    return compare.compare(TINY)


def test_quick_differs_from_full_in_size_only():
    changed = {name for name, value in vars(compare.QUICK).items() if value != getattr(compare.FULL, name)}

    assert changed == {"points", "groups", "inputs", "rounds"}


def test_every_problem_is_measured_in_both_dtypes(report):
    found = [(row.problem, row.dtype) for row in report.kernels]

    names = ["mixture, d = 5", "SZT layer, d = 5", "SZT layer, d = 10", "ragged groups, d = 5"]
    assert found == [(name, dtype) for name in names for dtype in ("float32", "float64")]


def test_only_the_promised_ratios_have_a_target(report):
    targets = {(row.problem, row.dtype): row.target for row in report.kernels if row.target is not None}

    assert targets == {
        ("mixture, d = 5", "float32"): 40,
        ("SZT layer, d = 5", "float32"): 40,
        ("SZT layer, d = 10", "float32"): 40,
        ("SZT layer, d = 10", "float64"): 20,
    }


def test_report_survives_json(report):
    read = json.loads(compare.to_json(report))

    assert read["kernels"][0]["over_torch"]["median"] == report.kernels[0].over_torch.median
    assert read["machine"]["isa"] == report.machine["isa"]


def test_tables_name_every_problem_and_layer(report):
    text = "\n".join(compare.lines(report))

    names = [row.problem for row in report.kernels] + list(report.estimator.information)
    assert [name for name in names if name not in text] == []


def test_target_is_reported_and_not_enforced(report):
    missed = dataclasses.replace(report.kernels[0], target=1e9, target_met=False)

    text = "\n".join(compare.lines(dataclasses.replace(report, kernels=(missed,))))

    assert "1e+09 missed" in text


@pytest.mark.parametrize(("load", "warned"), [(0.0, False), (1.5, True)])
def test_busy_machine_is_named(report, load, warned):
    seen = dataclasses.replace(report, machine=report.machine | {"load": load, "cores": 2})

    assert ("The machine was busy" in "\n".join(compare.lines(seen))) == warned


def test_main_writes_what_it_measured(monkeypatch, tmp_path, capsys, report):
    monkeypatch.setattr(compare, "compare", {compare.QUICK: report}.__getitem__)

    status = compare.main(["--quick", "--json", str(tmp_path / "report.json")])

    assert status == 0
    assert (tmp_path / "report.json").read_text() == compare.to_json(report)
    assert capsys.readouterr().out == "\n".join(compare.lines(report)) + "\n"


def test_truth_agrees_with_the_slow_twin():
    problem = ragged(7)
    exact = truth(problem)

    offsets = {"point_offsets": problem.point_offsets.numpy(), "center_offsets": problem.center_offsets.numpy()}
    twin = reference.log_sum_exp(problem.points.numpy(), problem.centers.numpy(), problem.sigma, **offsets)

    # The exponents are below 100, so that float64 rounds them by less than 100 * 2^-53 * (d + 3).
    np.testing.assert_allclose(exact.log_sums.astype(float), twin[exact.rows], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["layerbits", "numpy"])
def test_value_off_by_more_than_its_bound_is_refused(name):
    problem = mixture(16, 8, 3)
    values = reference.mixture_log_density(problem.points.numpy(), problem.centers.numpy(), problem.sigma)
    largest_error(name, values, problem, truth(problem), torch.float64)
    values[5] += 1e-11

    with pytest.raises(ResultError, match="row 5 is off"):
        largest_error(name, values, problem, truth(problem), torch.float64)


def test_nan_is_refused():
    problem = mixture(16, 8, 3)
    values = np.full(8, np.nan)

    with pytest.raises(ResultError):
        largest_error("torch", values, problem, truth(problem), torch.float32)


def test_wrong_gradient_is_refused():
    problem = mixture(16, 8, 3).to(torch.float64)
    d_points, d_centers = true_gradients(problem)

    with pytest.raises(ResultError, match="gradients of centers"):
        check_gradients("faulty", (d_points, 1.001 * d_centers), (d_points, d_centers), problem)


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

    assert (spread.median, spread.low, spread.high) == (3.0, 2.0, 4.0)


def test_memory_beyond_the_inputs_is_measured(report):
    assert report.memory.grown >= 0
    assert report.memory.all_pairs == 4 * TINY.memory_rows**2
