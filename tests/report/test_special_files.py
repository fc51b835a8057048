"""Links, FIFOs and devices in place of the files of a run."""

import os
import socket
from pathlib import Path

import pytest

from layerbits._base import write_csv
from layerbits.cli import main
from layerbits.report import write_report
from tests.support.html_page import HtmlPage


def make_special(path, kind, target):
    if kind == "a link":
        path.symlink_to(target)
    elif kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["a link", "a FIFO", "a socket", "a folder"])
@pytest.mark.parametrize("name", ["run.json", "information.csv", "information.json"])
def test_special_file_of_a_run_is_refused_by_name(name, kind, tmp_path_factory, write_information, capsys, monkeypatch):
    folder = tmp_path_factory.mktemp("r")
    monkeypatch.chdir(folder)  # the path of a socket is short
    write_information(folder / "information.csv")
    (folder / name).unlink(missing_ok=True)
    make_special(Path(name), kind, "/dev/zero")
    assert main(["report", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert f"{folder / name}: got {kind}" in captured.err
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("name", ["more.csv", "b/information.csv", "more.png"])
@pytest.mark.parametrize("kind", ["a link", "a FIFO"])
def test_other_special_files_are_left_out_by_name(name, kind, run):
    write_csv(run.path.parent / "table.csv", ["secret"], [[1]])
    (run.path / "b").mkdir()
    make_special(run.path / name, kind, run.path.parent / "table.csv")
    report = write_report(run.path)
    assert report.notes == (f"{run.path / name}: {kind} in place of a file, left out",)
    assert "secret" not in HtmlPage(report.page).text


@pytest.mark.parametrize("path", ["/dev/null", "fifo", "file"])
def test_path_that_is_no_folder_is_refused(path, tmp_path, capsys):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("")
    assert main(["report", str(tmp_path / path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "not a folder; name the folder of a run" in captured.err


def test_link_to_the_folder_of_a_run_is_followed(run, tmp_path):
    (tmp_path / "latest").symlink_to(run.path)
    assert write_report(tmp_path / "latest").page == tmp_path / "latest" / "report.html"


def test_too_many_runs_are_refused(tmp_path, capsys):
    for number in range(257):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "information.csv").write_text("")
    assert main(["report", str(tmp_path)]) == 2
    assert "got 257 runs, wanted at most 256" in capsys.readouterr().err
