"""Reports that are refused: one line on stderr, exit status 2, and no changed file."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from layerbits._base import DRAFT_PREFIX, UsageError
from layerbits.cli import main
from layerbits.report import write_report
from tests.support.run_files import file_contents


@pytest.fixture
def assert_refused(run, capsys):
    """Return a function that asserts that the report of `run` is refused with the given texts in its one line."""

    def check(*texts):
        before = file_contents(run.path)
        assert main(["report", str(run.path)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        for text in texts:
            assert text in captured.err
        assert file_contents(run.path) == before

    return check


def read_record(run):
    return json.loads((run.path / "run.json").read_text())


def write_record(run, record):
    (run.path / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("name", "problem"),
    [("nonesuch", "no such folder"), ("file", "not a folder"), (".", "no run.json and no information.csv")],
)
def test_folder_without_a_run_is_refused(name, problem, tmp_path, capsys):
    (tmp_path / "file").write_text("text")
    assert main(["report", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert problem in captured.err
    assert file_contents(tmp_path).keys() == {Path("file")}


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff\xfe", b"[]", b"{}", b'{"experiment": []}'])
def test_damaged_record_is_refused(content, run, assert_refused):
    (run.path / "run.json").write_bytes(content)
    assert_refused("run.json")


@pytest.mark.parametrize("name", ["experiment", "status", "configuration", "versions", "machine", "timings", "summary"])
def test_record_without_a_field_is_refused(name, run, assert_refused):
    record = read_record(run)
    del record[name]
    write_record(run, record)
    assert_refused(f"{name}: got None")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"beta": 1}, "beta: no such setting"),
        ({"seed": "many"}, "seed: got 'many'"),
        ({"seed": True}, "seed: got 'True'"),
        ({"widths": [3, None]}, "widths: got 'None'"),
        ({"widths": {"3": 2}}, "widths: "),
        ({"label": 7}, "label: got 7"),
        ({"draws": ...}, "draws: missing"),
    ],
)
def test_settings_of_another_version_are_named(settings, text, run, assert_refused):
    record = read_record(run)
    configuration = record["configuration"] | settings
    record["configuration"] = {key: value for key, value in configuration.items() if value is not ...}
    record["versions"]["layerbits"] = "0.0.7"
    write_record(run, record)
    assert_refused(text, "0.0.7")


def test_run_json_of_another_run_is_refused(run, start_run, assert_refused):
    other = start_run("other", seed=1)
    shutil.copyfile(other.path / "run.json", run.path / "run.json")
    assert_refused("curve.csv: cannot be read: it is of another run than run.json", "delete .curve.csv.sha256")


def test_run_of_an_unknown_experiment_is_refused(run, assert_refused):
    write_record(run, read_record(run) | {"experiment": "nonesuch"})
    assert_refused("experiment: got 'nonesuch'", "szt-tanh")


@pytest.mark.parametrize("content", [None, "x\n"])
def test_run_without_rows_is_refused(content, run, assert_refused):
    (run.path / "curve.png").write_bytes(b"earlier figure")
    (run.path / "curve.csv").unlink()
    if content:
        (run.path / "curve.csv").write_text(content)
    assert_refused("nothing to show yet")


def test_run_whose_only_table_is_no_text_is_refused_by_its_name(run, assert_refused):
    (run.path / "curve.csv").write_bytes(b"\xff\xfe\x9c")
    assert_refused("curve.csv: cannot be read")


def test_page_that_cannot_be_written_is_refused(run, capsys):
    (run.path / "report.html").mkdir()
    assert main(["report", str(run.path)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert "report.html" in captured.err
    assert not list(run.path.glob(f"{DRAFT_PREFIX}*"))


@pytest.mark.parametrize("out", ["", ".", "nonesuch/report.html"])
def test_page_that_is_no_file_in_a_folder_is_refused(out, run, monkeypatch, capsys):
    monkeypatch.chdir(run.path)
    assert main(["report", ".", "--out", out]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert "wanted a file in a folder that exists" in captured.err


def test_report_on_no_folder_is_refused():
    with pytest.raises(UsageError, match="got none"):
        write_report([])


def test_report_without_matplotlib_is_refused_with_the_remedy(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^matplotlib: not installed.* pip install"):
        write_report(run.path)


@pytest.mark.parametrize("name", ["information.csv", "thesis.tex", "notes"])
def test_page_does_not_replace_a_file_that_is_no_page(name, run, tmp_path):
    out = tmp_path / name
    out.write_text("content")
    with pytest.raises(UsageError, match=r"^out: got .*, which exists and is no page, wanted another name"):
        write_report(run.path, out=out)
    assert out.read_text() == "content"
    page = write_report(run.path, out=tmp_path / "page.HTML").page
    assert write_report(run.path, out=page).page == page
