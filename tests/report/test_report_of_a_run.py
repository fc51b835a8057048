"""Reports of running, interrupted and finished runs: written files, unchanged files, and notes."""

import shutil
import signal
from pathlib import Path

import pytest

from layerbits._base import write_csv
from layerbits.cli import main
from layerbits.report import write_report
from tests.support.html_page import HtmlPage
from tests.support.run_files import file_contents
from tests.support.tiny_run import TINY_RUN, call_after_epoch


@pytest.fixture(scope="module")
def interrupted_run(tmp_path_factory):
    """Interrupt a run of szt-tanh at epoch 7, before any figure is plotted; return its folder."""
    path = tmp_path_factory.mktemp("runs") / "interrupted"
    with call_after_epoch(7, lambda: signal.raise_signal(signal.SIGINT)):
        assert main([*TINY_RUN, f"--out={path}"]) == 130
    return path


@pytest.fixture
def szt_run(interrupted_run, tmp_path):
    """Return a copy of the interrupted run."""
    return Path(shutil.copytree(interrupted_run, tmp_path / "szt"))


def test_command_prints_the_path_of_the_page(run, capsys):
    assert main(["report", str(run.path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"report is in {run.path / 'report.html'}\n"
    assert captured.err == ""


def test_report_of_an_interrupted_run_plots_its_tables_and_changes_no_other_file(szt_run):
    before = file_contents(szt_run)
    assert write_report(szt_run).notes == ()
    after = file_contents(szt_run)
    assert after.keys() - before.keys() == {Path("szt-tanh.png"), Path("szt-tanh-plane.png"), Path("report.html")}
    assert before.items() <= after.items()
    page = HtmlPage(szt_run / "report.html")
    assert page.images.keys() == {"szt-tanh.png", "szt-tanh-plane.png"}
    assert "Status: interrupted" in page.text
    ((information,), (training,)) = page.data["information"], page.data["training"]
    quantities = ("I(X;T)", "I(T;Y)", "I(X;T|Y)", "h(T)", "h(T|X)")
    assert information["curves"].keys() == {f"{quantity} in nats" for quantity in quantities}
    assert training["curves"].keys() == {"loss", "accuracy"}
    assert list(page.curves()) == ["tanh1", "tanh2"]
    assert information["epochs"] == [1, 2, 5]


def test_run_can_be_resumed_after_a_report(szt_run):
    write_report(szt_run)
    assert main([*TINY_RUN, f"--out={szt_run}", "--resume"]) == 0
    write_report(szt_run)
    page = HtmlPage(szt_run / "report.html")
    assert "Status: finished" in page.text
    assert page.curves()["tanh1"]["epochs"] == [1, 2, 5, 12]
    (points,) = page.data["points"]
    assert len(points["points"][0][0]) == 3


def test_report_of_a_running_run_changes_no_file_of_the_run(run):
    before = file_contents(run.path)
    assert "Status: running" in HtmlPage(write_report(run.path).page).text
    assert file_contents(run.path).items() >= before.items()
    with run.running():
        pass
    assert "Status: finished" in HtmlPage(write_report(run.path).page).text


@pytest.mark.parametrize("earlier", [None, b"earlier figure"])
def test_figure_that_the_run_plots_in_the_meantime_stays(run, experiment, monkeypatch, earlier):
    plot = type(experiment).plot

    def plot_while_the_run_does(self, config, path):
        plot(self, config, path)
        (run.path / "curve.png").write_bytes(b"figure of the run")

    if earlier is not None:
        (run.path / "curve.png").write_bytes(earlier)
    monkeypatch.setattr(type(experiment), "plot", plot_while_the_run_does)
    page = HtmlPage(write_report(run.path).page)
    assert (run.path / "curve.png").read_bytes() == b"figure of the run"
    assert page.images["curve.png"].endswith("ZmlndXJlIG9mIHRoZSBydW4=")


def test_earlier_figures_and_page_are_replaced(run):
    (run.path / "curve.png").write_bytes(b"earlier figure")
    (run.path / "report.html").write_text("earlier page")
    write_report(run.path)
    assert (run.path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "earlier page" not in (run.path / "report.html").read_text()


def test_links_are_not_followed(run, tmp_path):
    for name in ("table.csv", "variant/table.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_csv(tmp_path / name, ["secret"], [[1]])
    (tmp_path / "other.png").write_bytes(b"secret")
    links = {"more.csv": "table.csv", "variant": "variant", "more.png": "other.png", "curve.png": "other.png"}
    for name, target in links.items():
        (run.path / name).symlink_to(tmp_path / target)
    (run.path / "loop.png").symlink_to(run.path / "loop.png")
    page = HtmlPage(write_report(run.path).page)
    assert "secret" not in page.text
    assert page.images.keys() == {"curve.png"}
    assert not (run.path / "curve.png").is_symlink()
    assert (tmp_path / "other.png").read_bytes() == b"secret"


def test_no_draft_is_left(run):
    before = set(run.path.iterdir())
    write_report(run.path)
    assert {file.name for file in set(run.path.iterdir()) - before} == {"curve.png", "report.html"}


def test_note_names_the_table_that_cannot_be_plotted_and_the_earlier_figure_stays(run, capsys):
    (run.path / "curve.png").write_bytes(b"earlier figure")
    write_csv(run.path / "curve.csv", ["y"], [[1]])
    assert main(["report", str(run.path)]) == 0
    note = f"not all figures could be plotted: {run.path / 'curve.csv'}: "
    assert note in capsys.readouterr().out
    page = HtmlPage(run.path / "report.html")
    assert note[1:] in page.text
    assert page.images.keys() == {"curve.png"}
    assert (run.path / "curve.png").read_bytes() == b"earlier figure"


def test_notes_name_damaged_tables(run):
    (run.path / "training.csv").write_text("epoch,split\n1,train\n")
    (run.path / "information.csv").write_text("")
    information_note, training_note, unverified_note = write_report(run.path).notes
    assert str(run.path / "information.csv") in information_note
    assert str(run.path / "training.csv") in training_note
    assert unverified_note.endswith("unverified, because they have no checksum: information.csv, training.csv")


def test_table_without_checksum_is_noted_and_shown(run):
    (run.path / ".curve.csv.sha256").unlink()
    report = write_report(run.path)
    assert report.notes == (f"{run.path}: unverified, because it has no checksum: curve.csv",)
    assert HtmlPage(report.page).images.keys() == {"curve.png"}
