"""Reports that compare several runs, and runs over seeds."""

import json

import numpy as np
import pytest
import torch

import layerbits as lb
from layerbits._base import InformationRow, InformationTable, UsageError, write_csv
from layerbits.cli import main
from layerbits.report import write_report
from layerbits.training.history import write_information
from tests.support.html_page import HtmlPage
from tests.support.networks import tanh_mlp
from tests.support.run_files import file_contents


@pytest.fixture
def write_run(tmp_path):
    """Return a function that writes an information.csv, with values by epoch, and settings into a folder."""

    def write(name, values, **settings):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        tables = {}
        for epoch, value in values.items():
            fields = (value, 0.1, value - 0.5, value + 0.25, "nats", 32, 0.1)
            tables[epoch] = InformationTable((InformationRow("fc", "I(X;T)", "draws", *fields),))
        write_information(folder / "information.csv", tables)
        (folder / "information.json").write_text(json.dumps({"confidence": 0.95, **settings}))
        return folder

    return write


def names(page):
    return [content["name"] for content in page.data["information"]]


def test_runs_stand_side_by_side_and_no_file_of_a_run_changes(write_run, tmp_path, capsys):
    folders = [write_run("a/mine", {1: 1.0}, seed=0), write_run("b/mine", {1: 2.0, 3: 1.0}, seed=1)]
    before = file_contents(tmp_path)
    assert main(["report", *map(str, folders), f"--out={tmp_path / 'both.html'}"]) == 0
    assert capsys.readouterr().out == f"report is in {tmp_path / 'both.html'}\n"
    assert file_contents(tmp_path).keys() - before.keys() == {(tmp_path / "both.html").relative_to(tmp_path)}
    page = HtmlPage(tmp_path / "both.html")
    assert names(page) == ["a/mine", "b/mine"]
    assert [content["epochs"] for content in page.data["information"]] == [[1], [1, 3]]
    assert "2 runs" in page.text
    assert page.images == {}


def test_folders_with_numbers_are_in_their_order(write_run, tmp_path):
    for number in (10, 2, 1):
        write_run(f"net{number}-a", {1: 1.0})
    assert names(HtmlPage(write_report([tmp_path]).page)) == ["net1-a", "net2-a", "net10-a"]


def test_page_of_several_folders_is_in_the_working_directory(write_run, tmp_path, monkeypatch):
    folders = [write_run(name, {1: 1.0}) for name in ("a", "b")]
    monkeypatch.chdir(tmp_path)
    assert write_report(folders).page.resolve() == tmp_path / "report.html"
    assert (tmp_path / "report.html").exists()


def test_folder_of_runs_stands_for_its_runs(write_run, tmp_path):
    for name in ("b", "a"):
        write_run(name, {1: 1.0})
    (tmp_path / "other").mkdir()
    report = write_report(tmp_path)
    assert report.page == tmp_path / "report.html"
    assert names(HtmlPage(report.page)) == ["a", "b"]
    assert names(HtmlPage(write_report([tmp_path, tmp_path / "a"], out=report.page).page)) == ["a", "b"]


def test_page_says_that_a_run_without_a_quantity_has_no_panel(write_run, tmp_path):
    sentence = "A run without a quantity or measure has no panel for it."
    folders = [write_run(name, {1: 1.0}) for name in ("a", "b")]
    assert sentence not in HtmlPage(write_report(folders, out=tmp_path / "two.html").page).text
    write_csv(folders[0] / "measures.csv", ["epoch", "layer", "measure", "value"], [[1, "fc", "rank", 2]])
    assert sentence in HtmlPage(write_report(folders, out=tmp_path / "two.html").page).text


def test_band_over_seeds_spans_all_intervals_and_values(write_run, tmp_path):
    values = {0: [1.0, 4.0, 2.0], 1: [3.0, 1.0, 2.0], 2: [2.0, 1.0, 2.0]}
    for seed, run in values.items():
        write_run(f"mine-seed{seed}", dict(zip((1, 2, 5), run, strict=True)), seed=seed)
    page = HtmlPage(write_report(tmp_path).page)
    assert names(page) == ["mine, 3 seeds"]
    curve = page.curves()["fc"]
    runs = np.array(list(values.values()))
    for column, expected in {
        "v": runs.mean(0), "a": runs.min(0), "b": runs.max(0), "l": runs.min(0) - 0.5, "u": runs.max(0) + 0.25,
    }.items():  # fmt: skip
        np.testing.assert_allclose(curve[column], expected, rtol=1e-7)  # the page has 8 digits
    assert page.text.count("mine-seed") >= 6  # the runs are in the table of runs, and have sections


def test_monitors_of_trainings_with_different_seeds_have_a_band(tmp_path):
    for seed in range(2):
        torch.manual_seed(seed)
        model, settings = tanh_mlp(4, 3, 2), lb.MeasurementSettings(queries=4, seed=seed)
        folder = tmp_path / f"mine-seed{seed}"
        options = {"sigma": 0.5, "settings": settings, "measures": ["binned_entropy"]}
        lb.Monitor(model, torch.randn(9, 4), at=[1], directory=folder, **options).step(1)
    page = HtmlPage(write_report(tmp_path).page)
    assert names(page) == ["mine, 2 seeds"]
    assert "measure_rows" not in page.text


def test_points_of_runs_with_a_band_have_its_name_and_say_whose_they_are(write_run, tmp_path):
    for seed in range(2):
        folder = write_run(f"mine-seed{seed}", {1: 1.0}, seed=seed)
        (folder / "scatter.csv").write_text("epoch,label,t1,t2\n1,0,0.5,0.5\n")
    page = HtmlPage(write_report(tmp_path).page)
    (points,) = page.data["points"]
    assert (points["name"], points["remark"]) == (*names(page), "Points of mine-seed0.")


def test_settings_in_the_table_of_runs_are_short(write_run, tmp_path):
    for name, digit in (("a", "0"), ("b", "1")):
        write_run(name, {1: 1.0}, inputs=digit * 64, limits={"I(X;T)": 1 + float(digit) / 3})
    page = write_report(tmp_path).page.read_text()
    assert "<td>I(X;T): 1.33333</td>" in page
    assert f'<td title="{"0" * 64}">{"0" * 12}…</td>' in page


def test_band_has_the_epochs_of_all_seeds_and_says_so(write_run, tmp_path):
    write_run("seed=0", {1: 1.0, 2: 1.0, 5: 1.0})
    write_run("seed=1", {1: 1.0, 5: 1.0, 9: 1.0})
    (content,) = HtmlPage(write_report(tmp_path).page).data["information"]
    assert content["epochs"] == [1, 5]
    assert "Left out: 2 epochs" in content["remark"]


def test_missing_value_of_a_seed_leaves_a_gap(write_run, tmp_path):
    write_run("seed0", {1: 1.0, 2: float("nan")})
    write_run("seed1", {1: 1.0, 2: 1.0})
    assert HtmlPage(write_report(tmp_path).page).curves()["fc"]["u"] == [1.25, None]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("mine", {}), ("yours", {})),  # nothing says that these are one training
        (("wide-seed0", {}), ("deep-seed1", {})),
        (("mine-seed0", {"draws": 3}), ("mine-seed1", {"draws": 4})),
    ],
)
def test_other_runs_are_no_seeds_of_one_training(first, second, write_run, tmp_path):
    for name, settings in (first, second):
        write_run(name, {1: 1.0}, **settings)
    assert len(names(HtmlPage(write_report(tmp_path).page))) == 2


def test_runs_of_an_experiment_with_equal_settings_are_seeds(start_run, write_information, tmp_path):
    for name, settings in {"a": {"seed": 0}, "b": {"seed": 1}, "c": {"seed": 1}, "d": {"draws": 7, "seed": 2}}.items():
        write_information(start_run(name, **settings).path / "information.csv")
    page = HtmlPage(write_report(tmp_path).page)
    assert names(page) == ["a, 2 seeds", "c", "d"]  # c is a copy of b, and d has another number of draws
    assert [attributes for attributes in page.attributes("details")] == [{}] * 4
    for text in ("seed", "draws"):  # settings that differ
        assert text in page.text


def test_cells_of_a_sweep_are_seeds_by_the_other_settings(start_run, write_information, tmp_path):
    for seed in (0, 1):
        for draws in (3, 4):
            cell = start_run(f"seed={seed},draws={draws}", seed=seed, draws=draws)
            write_information(cell.path / "information.csv")
    assert names(HtmlPage(write_report(tmp_path).page)) == ["draws=3, 2 seeds", "draws=4, 2 seeds"]


def test_cells_of_a_sweep_have_the_settings_that_differ_as_names(start_run, write_information, tmp_path):
    record = {"experiment": "curve", "cells": 4, "failures": {}, "settings": ["label", "widths", "draws", "seed"]}
    (tmp_path / "sweep.json").write_text(json.dumps(record))
    for draws in ("20", "+5"):  # 5 comes before 20, as numbers do
        for seed in (0, 1):
            name, values = f"label=x,widths=4,2,draws={draws},seed={seed}", {"draws": int(draws), "seed": seed}
            with (cell := start_run(name, label="x", widths=(4, 2), **values)).running():
                write_information(cell.path / "information.csv")
    page = HtmlPage(write_report(tmp_path).page)
    assert names(page) == ["draws=5, 2 seeds", "draws=20, 2 seeds"]
    assert "All runs have label=x, widths=4,2." in page.text
    assert "draws=20, seed=1" in page.text


def test_decimals_in_names_of_folders_are_in_their_order(write_run, tmp_path):
    for sigma in (".2", ".05", "1e-3", "10", "9"):
        write_run(f"sigma={sigma},draws=3", {1: 1.0})
    ordered = ["1e-3", ".05", ".2", "9", "10"]
    assert names(HtmlPage(write_report(tmp_path).page)) == [f"sigma={sigma},draws=3" for sigma in ordered]


def test_numbers_of_seeds_are_summarized(start_run, tmp_path):
    for seed, loss in enumerate((1.0, 2.0, 6.0)):
        folder = start_run(f"seed={seed}", seed=seed)
        folder.summary["test_loss"] = loss
        with folder.running():
            pass
    text = "".join(HtmlPage(write_report(tmp_path).page).text.split())
    # The mean is 3, and the standard deviation the root of 7.
    assert "curve,3seedstestloss332.64575126" in text


def test_run_that_has_not_finished_does_not_end_the_bands_of_those_that_have(start_run, write_information, tmp_path):
    for seed in range(3):
        folder = start_run(f"seed={seed}", seed=seed)
        write_information(folder.path / "information.csv")
        if seed < 2:
            with folder.running():
                pass
    assert names(HtmlPage(write_report(tmp_path).page)) == ["curve, 2 seeds", "seed=2"]


def test_page_of_a_sweep_has_the_cells_that_have_finished(start_run, write_information, tmp_path):
    (tmp_path / "sweep.json").write_text(json.dumps({"experiment": "curve", "cells": 3, "failures": {}}))
    cells = [start_run(f"seed={seed}", seed=seed) for seed in range(3)]
    for cell in cells:
        write_information(cell.path / "information.csv")
    with pytest.raises(UsageError, match="no run of the sweep has finished"):
        write_report(tmp_path)
    for cell in cells[:2]:
        with cell.running():
            pass
    report = write_report(tmp_path)
    assert names(HtmlPage(report.page)) == ["curve, 2 seeds"]
    assert "curve: 2 runs" in HtmlPage(report.page).text
    assert report.notes == ("2 of 3 runs of the sweep have finished; --resume continues it",)


def test_runs_of_a_sweep_that_failed_or_have_not_begun_are_named(start_run, tmp_path):
    with start_run("seed=0").running():
        pass
    record = {"experiment": "curve", "cells": 3, "failures": {"seed=1": "failed: sigma: got 0"}}
    (tmp_path / "sweep.json").write_text(json.dumps(record))
    assert write_report(tmp_path).notes == (
        "1 of 3 runs of the sweep have finished; --resume continues it",
        "seed=1 failed: sigma: got 0",
    )


@pytest.mark.parametrize(
    "text", ["[1]", "{", '{"settings": 3}', '{"settings": [[1]]}', '{"cells": "x", "failures": [1]}', "{}"]
)
def test_damaged_record_of_a_sweep_hides_no_finished_run(text, start_run, write_information, tmp_path):
    with (cell := start_run("seed=0")).running():
        write_information(cell.path / "information.csv")
    (tmp_path / "sweep.json").write_text(text)
    assert names(HtmlPage(write_report(tmp_path).page)) == ["seed=0"]


def test_runs_named_by_seeds_alone_have_the_name_of_the_experiment(start_run, write_information, tmp_path):
    for seed in (0, 1):
        write_information(start_run(f"seed={seed}", seed=seed).path / "information.csv")
    assert names(HtmlPage(write_report(tmp_path).page)) == ["curve, 2 seeds"]


def test_run_without_rows_is_left_out_by_name(write_run, start_run, tmp_path):
    write_run("a", {1: 1.0})
    empty = start_run("b").path
    (empty / "curve.csv").unlink()
    (start_run("c").path / "run.json").write_text("{")
    report = write_report(tmp_path)
    assert names(HtmlPage(report.page)) == ["a"]
    assert [str(folder) in note for folder, note in zip((empty, tmp_path / "c"), report.notes, strict=True)] == [
        True
    ] * 2


def test_damaged_run_is_named_and_the_others_are_shown(write_run, tmp_path):
    write_run("a", {1: 1.0})
    damaged = write_run("b", {1: 1.0}) / "information.csv"
    damaged.write_text(damaged.read_text().replace("0.5", "much"))
    report = write_report(tmp_path)
    assert any(str(damaged) in note for note in report.notes)
    assert names(HtmlPage(report.page)) == ["a"]
