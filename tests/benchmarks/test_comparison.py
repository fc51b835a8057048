"""The comparison with the rivals: its report, tables, files and options."""

import dataclasses
import json

import pytest

from benchmarks.harness import Rounds, Spread
from benchmarks.suites import comparison
from benchmarks.suites.report import QUICK, Plan, to_json, to_lines
from benchmarks.topics import roofline
from benchmarks.topics.dense import WANTED_RATIOS, DenseRow

TINY = Plan(
    Rounds(2, min_seconds=0),
    dims=(5,),
    large_dims=((300, 20),),
    szt_layers=(1,),
    packages=(),
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
    memory_methods=("pruned",),
)


@pytest.fixture(scope="module")
def report():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roofline, "_PIECES", 64)
        return comparison.compare(TINY)


def test_every_problem_is_measured_in_both_dtypes(report):
    names = ["mixture, d = 5", "mixture, d = 300", "SZT layer, d = 10"]
    expected = [(name, dtype) for name in names for dtype in ("float32", "float64")]
    assert [(row.problem, row.dtype) for row in report.dense] == expected


def test_every_layer_is_measured_at_every_epoch(report):
    assert [(row.epoch, row.layer, row.dim) for row in report.pruned] == [(1, 1, 10), (1, 5, 3), (2, 1, 10), (2, 5, 3)]


def test_memory_is_reported_with_the_bytes_of_the_inputs_and_of_all_pairs(report):
    (peak,) = report.memory
    assert peak.method == "pruned"
    assert peak.inputs == 4 * 2 * TINY.memory_rows * 10
    assert peak.all_pairs == 4 * TINY.memory_rows**2


def test_every_wanted_ratio_is_a_target(report):
    spread = Spread(100.0, 100.0, 100.0, 1)
    rows = tuple(
        DenseRow(f"mixture, d = {dim}", dtype, dim, 1, {}, {rival: spread}, {}, {}, 0)
        for (dtype, rival), wanted in WANTED_RATIOS.items()
        for dim in wanted
    )
    names = [target.name for target in dataclasses.replace(report, dense=rows).targets]
    assert names[:10] == [
        *(f"mixture, d = {dim}, float32, over torch" for dim in (2, 5, 10, 16, 128)),
        *(f"mixture, d = {dim}, float32, over KeOps" for dim in (2, 5, 10, 16)),
        "mixture, d = 10, float64, over torch",
    ]
    assert sum("of the dense rate" in name for name in names) == 2
    assert sum("forward and gradients over forward" in name for name in names) == 2
    assert sum("of the roof" in name for name in names) == 2
    assert sum("pruned over dense" in name for name in names) == 2  # layer 1 has no target
    assert sum("auto over dense" in name for name in names) == 4
    assert names[-1] == "pruned, exponent of n = m"


def test_json_has_ratios_machine_and_targets(report):
    content = json.loads(json.dumps(to_json(report)))
    assert content["dense"][0]["speedups"]["torch"]["median"] == report.dense[0].speedups["torch"].median
    assert content["machine"]["isa"] == report.machine["isa"]
    assert [target["met"] for target in content["targets"]] == [target.met for target in report.targets]


def test_tables_have_a_row_for_every_problem_and_layer(report):
    text = "\n".join(to_lines(report))
    names = [row.problem for row in report.dense] + list(report.information_time.information)
    names += [f"layer {row.layer}, epoch {row.epoch}" for row in report.pruned]
    assert [name for name in names if name not in text] == []


def test_missing_package_is_named(report):
    text = "\n".join(to_lines(dataclasses.replace(report, missing=("KeOps", "mlpack"))))
    assert "Not installed, so left out: KeOps, mlpack" in text


@pytest.mark.parametrize(("load", "warned"), [(0.0, False), (1.5, True)])
def test_report_has_a_warning_if_the_machine_was_busy(report, load, warned):
    busy_report = dataclasses.replace(report, machine=report.machine | {"load": load, "cores": 2})
    assert ("The machine was busy" in "\n".join(to_lines(busy_report))) == warned


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_main_writes_tables_json_and_figure(monkeypatch, tmp_path, capsys, report, suffix):
    monkeypatch.setattr(comparison, "compare", {QUICK: report}.__getitem__)
    figure = tmp_path / f"report{suffix}"
    assert comparison.main(["--quick", "--json", str(tmp_path / "report.json"), "--figure", str(figure)]) == 0
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(to_json(report)))
    assert figure.read_bytes().startswith({".svg": b"<?xml", ".png": b"\x89PNG"}[suffix])
    assert capsys.readouterr().out == "\n".join(to_lines(report)) + "\n"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--json", "nowhere/report.json"], "a file in a folder that exists"),
        (["--json", "."], "the name of a file"),
        (["--figure", "report.jpg"], "a name that ends in .svg or .png"),
    ],
)
def test_path_that_cannot_be_written_is_refused_before_measuring(monkeypatch, capsys, options, wanted):
    monkeypatch.setattr(comparison, "compare", pytest.fail)
    with pytest.raises(SystemExit):
        comparison.main(options)
    message = capsys.readouterr().err
    assert f"{options[0]}: got " in message
    assert f"wanted {wanted}" in message
