"""`layerbits report`: what is on the page, what is left alone, and what is refused."""

import dataclasses
import json
import shutil
import types
from html.parser import HTMLParser
from pathlib import Path

import pytest

from layerbits import plots, report
from layerbits._base import COLUMNS, DRAFT_PREFIX, UsageError, read_csv, write_csv
from layerbits.cli import main
from layerbits.experiments import EXPERIMENTS, RunFolder
from layerbits.experiments.framework.run_folder import save_figure
from layerbits.report import write_report
from layerbits.training import Checkpoints

VOID = {"meta", "img"}
HOSTILE = "</script></title>--><img src=x onerror=alert(1)>'\"&amp;"


class Page(HTMLParser):
    """The elements of a page, by tag, and its text; fails on tags that do not match."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.texts, self.data, self._open = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "script" in self._open:
            self.data.append(data)
        elif "style" not in self._open:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    def count(self, tag):
        return sum(name == tag for name, _ in self.elements)

    @property
    def images(self):
        return {attributes["alt"]: attributes["src"] for tag, attributes in self.elements if tag == "img"}

    @property
    def charts(self):
        types_of_scripts = [attributes.get("type") for tag, attributes in self.elements if tag == "script"]
        return [json.loads(data) for kind, data in zip(types_of_scripts, self.data, strict=True) if kind]


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0
    label: str = "plain"
    widths: tuple[int, ...] = (3, 2)
    draws: int | None = None


def draw(config, path):
    """Draw curve.png; needs a row."""
    (first, *_) = read_csv(path / "curve.csv", ["x"])
    figure = plots.new_figure(width=1, height=1)
    figure.add_subplot().set_title(first[0])
    save_figure(figure, path / "curve.png")


@pytest.fixture(autouse=True)
def study(monkeypatch):
    """An experiment that does next to nothing."""
    module = types.SimpleNamespace(__doc__="A curve.\n\nAnd more.", Config=Config, draw=draw)
    monkeypatch.setitem(EXPERIMENTS, "curve", module)
    return module


@pytest.fixture
def run(tmp_path):
    """Its folder in the middle of a run, with one table."""
    folder = RunFolder(tmp_path / "run", experiment="curve", config=Config(), resume=False)
    write_csv(folder.path / "curve.csv", ["x"], [[1], [2]])
    return folder


SETTINGS = ["epochs=12", "evaluations=5", "measurements=4", "draws=3", "queries=3"]
TINY = ["run", "szt-tanh", *(f"--set={setting}" for setting in SETTINGS)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of szt-tanh that was broken off at epoch 7, before anything was drawn."""
    path = tmp_path_factory.mktemp("runs") / "broken"
    step = Checkpoints.step

    def interrupt(self, epoch):
        step(self, epoch)
        if epoch == 7:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "step", interrupt)
        assert main([*TINY, f"--out={path}"]) == 130
    return path


def contents(path):
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def information_row(**changes):
    row = dict(zip(COLUMNS, ["tanh1", "I(X;T)", "pooled", 1, 0.1, 0.9, 1.1, "nats", 3, 0.1], strict=False))
    row |= {"note": "", "plug_in": 1, "plug_in_error": 0, "decoded": 1, "decoded_error": 0} | changes
    return [1, *(row.get(name, "") for name in COLUMNS)]


def test_command_says_where_the_page_is(run, capsys):
    assert main(["report", str(run.path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"report is in {run.path / 'report.html'}\n"
    assert captured.err == ""


def test_page_has_what_run_json_says(run):
    run.summary["test_accuracy"] = 0.97
    with run.running(), run.phase("training"):
        pass
    text = Page(write_report(run.path).page).text
    assert "A curve." in text
    assert "And more" not in text
    for part in (
        "test accuracy",
        "0.97",
        "widths",
        "3, 2",
        "training, seconds",
        "Status: finished",
        "processor",
        "torch",
    ):
        assert part in text


def test_page_has_the_tables_with_their_numbers_of_rows(run):
    (run.path / "variant").mkdir()
    write_csv(run.path / "variant" / "more.csv", ["a", "b"], [["two\nlines", 1]])
    (run.path / "broken.csv").write_bytes(b"\xff\xfe")
    (run.path / f"{DRAFT_PREFIX}x.csv").write_text("a\n1\n")
    page = Page(write_report(run.path).page)
    cells = [text.strip() for text in page.texts if text.strip()]
    for row in (["curve.csv", "2", "x"], ["variant/more.csv", "1", "a, b"], ["broken.csv", "cannot be read"]):
        assert any(cells[place : place + len(row)] == row for place in range(len(cells)))
    assert DRAFT_PREFIX not in page.text


def test_page_needs_nothing_else(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    page = Page(write_report(tmp_path / "run").page)
    assert page.count("link") == 0
    assert all("src" not in attributes for tag, attributes in page.elements if tag == "script")
    assert all(source.startswith("data:image/png;base64,") for source in page.images.values())
    assert any("default-src 'none'" in attributes.get("content", "") for _, attributes in page.elements)


def test_figures_are_drawn_from_what_an_interrupted_run_has_written(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    before = contents(tmp_path / "run")
    assert write_report(tmp_path / "run").notes == ()
    after = contents(tmp_path / "run")
    assert after.keys() - before.keys() == {Path("szt-tanh.png"), Path("report.html")}
    assert before.items() <= after.items()
    page = Page(tmp_path / "run" / "report.html")
    assert page.images.keys() == {"szt-tanh.png"}
    assert "Status: interrupted" in page.text
    information, training = page.charts
    assert information.keys() == {"I(X;T)", "I(T;Y)", "I(X;T|Y)", "h(T)", "h(T|X)"}
    assert training.keys() == {"loss", "accuracy"}
    curves = [trace for trace in information["I(X;T)"]["data"] if trace.get("hoverinfo") == "text"]
    assert [curve["name"] for curve in curves] == [f"tanh{place}" for place in range(1, 6)]
    assert {tuple(curve["x"]) for curve in curves} == {(1, 2, 5)}


def test_reported_run_goes_on_to_its_end(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    write_report(tmp_path / "run")
    assert main([*TINY, f"--out={tmp_path / 'run'}", "--resume"]) == 0
    write_report(tmp_path / "run")
    page = Page(tmp_path / "run" / "report.html")
    assert "Status: finished" in page.text
    assert page.charts[0]["I(X;T)"]["data"][1]["x"] == [1, 2, 5, 12]


def test_tables_of_variants_have_charts_under_their_names(run):
    for name in ("information.csv", "b/information.csv", "a/information.csv"):
        (run.path / name).parent.mkdir(exist_ok=True)
        write_csv(run.path / name, ["epoch", *COLUMNS], [information_row()])
    page = Page(write_report(run.path).page)
    sections = [attributes for tag, attributes in page.elements if tag == "details"]
    assert ["open" in attributes for attributes in sections] == [True, False, False]
    shown = [text for text in page.texts if text.endswith("information.csv")]
    assert shown[:3] == ["information.csv", "a/information.csv", "b/information.csv"]
    assert len(page.charts) == 3


def test_report_leaves_a_running_run_undisturbed(run):
    before = contents(run.path)
    assert "Status: running" in Page(write_report(run.path).page).text
    assert contents(run.path).items() >= before.items()
    with run.running():
        pass
    assert "Status: finished" in Page(write_report(run.path).page).text


@pytest.mark.parametrize("earlier", [None, b"of before"])
def test_figure_that_the_run_draws_meanwhile_stays(run, study, earlier):
    def outrun(config, path):
        draw(config, path)
        (run.path / "curve.png").write_bytes(b"of the run itself")

    if earlier is not None:
        (run.path / "curve.png").write_bytes(earlier)
    study.draw = outrun
    page = Page(write_report(run.path).page)
    assert (run.path / "curve.png").read_bytes() == b"of the run itself"
    assert page.images["curve.png"].endswith("b2YgdGhlIHJ1biBpdHNlbGY=")


def test_figures_and_page_of_before_are_replaced(run):
    (run.path / "curve.png").write_bytes(b"of before")
    (run.path / "report.html").write_text("of before")
    write_report(run.path)
    assert (run.path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "of before" not in (run.path / "report.html").read_text()


def test_links_are_not_followed(run, tmp_path):
    for name, columns in (("table.csv", ["secret"]), ("variant/table.csv", ["secret"])):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_csv(tmp_path / name, columns, [[1]])
    (tmp_path / "other.png").write_bytes(b"secret")
    links = {"more.csv": "table.csv", "variant": "variant", "more.png": "other.png", "curve.png": "other.png"}
    for name, target in links.items():
        (run.path / name).symlink_to(tmp_path / target)
    (run.path / "loop.png").symlink_to(run.path / "loop.png")
    page = Page(write_report(run.path).page)
    assert "secret" not in page.text
    assert page.images.keys() == {"curve.png"}
    assert not (run.path / "curve.png").is_symlink()
    assert (tmp_path / "other.png").read_bytes() == b"secret"


def test_no_draft_is_left(run):
    write_report(run.path)
    assert {file.name for file in run.path.iterdir()} == {"run.json", "curve.csv", "curve.png", "report.html"}


def test_figure_that_cannot_be_drawn_is_told_and_the_earlier_one_shown(run, capsys):
    (run.path / "curve.png").write_bytes(b"of before")
    write_csv(run.path / "curve.csv", ["y"], [[1]])
    assert main(["report", str(run.path)]) == 0
    note = f"not all figures could be drawn: {run.path / 'curve.csv'}: "
    assert note in capsys.readouterr().out
    page = Page(run.path / "report.html")
    assert note[1:] in page.text
    assert page.images.keys() == {"curve.png"}
    assert (run.path / "curve.png").read_bytes() == b"of before"


def test_damaged_tables_are_told(run):
    (run.path / "training.csv").write_text("epoch,split\n1,train\n")
    (run.path / "information.csv").write_text("")
    told = write_report(run.path).notes
    assert [str(run.path / name) in note for name, note in zip(["information.csv", "training.csv"], told, strict=True)]


def test_page_without_plotly_says_what_to_install(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "run")
    find_spec = report.importlib.util.find_spec
    monkeypatch.setattr(report.importlib.util, "find_spec", lambda name: None if name == "plotly" else find_spec(name))
    (note,) = write_report(tmp_path / "run").notes
    assert "pip install 'layerbits[report]'" in note
    page = Page(tmp_path / "run" / "report.html")
    assert page.images.keys() == {"szt-tanh.png"}
    assert page.count("script") == 0
    assert "plotly is not installed" in page.text


def test_page_without_curves_of_training_carries_no_plotly(run):
    assert Page(write_report(run.path).page).count("script") == 0


def test_texts_of_others_stay_texts(tmp_path):
    hostile = HOSTILE.replace("/", "\\")  # a name of a file has no slash
    folder = RunFolder(tmp_path / hostile, experiment="curve", config=Config(label=HOSTILE), resume=False)
    folder.summary[HOSTILE] = 1.0
    with folder.running():
        pass
    write_csv(folder.path / "curve.csv", ["x"], [[HOSTILE]])
    write_csv(folder.path / f"{hostile}.csv", [HOSTILE], [[HOSTILE]])
    (folder.path / f"{hostile}.png").write_bytes(b"")
    write_csv(
        folder.path / "information.csv",
        ["epoch", *COLUMNS],
        [information_row(layer=HOSTILE, quantity=HOSTILE, unit=HOSTILE, note=HOSTILE)],
    )
    page = Page(write_report(folder.path).page)
    assert page.count("img") == 2
    assert page.count("script") == 3
    assert page.text.count(HOSTILE) >= 4
    assert page.text.count(hostile) >= 3
    ((quantity, view),) = page.charts[0].items()
    assert quantity == HOSTILE
    assert not any("<img" in str(part) for trace in view["data"] for part in (trace["name"], trace.get("text")))
    assert "<img" not in view["layout"]["yaxis"]["title"]["text"]


@pytest.mark.parametrize("name", ["nonesuch", "file", "."])
def test_place_without_a_run_is_one_line_and_exit_status_2(name, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["report", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "no run.json" in captured.err
    assert contents(tmp_path).keys() == {Path("file")}


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff\xfe", b"[]", b"{}", b'{"experiment": []}'])
def test_damaged_record_is_one_line_and_exit_status_2(content, run, capsys):
    (run.path / "run.json").write_bytes(content)
    refused(run, capsys, "run.json")


@pytest.mark.parametrize("name", ["experiment", "status", "configuration", "versions", "machine", "timings", "summary"])
def test_record_that_lacks_a_part_is_refused(name, run, capsys):
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({key: value for key, value in record.items() if key != name}))
    refused(run, capsys, f"{name}: got None")


@pytest.mark.parametrize(
    ("settings", "told"),
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
def test_settings_of_another_version_are_named(settings, told, run, capsys):
    record = json.loads((run.path / "run.json").read_text())
    changed = record["configuration"] | settings
    record["configuration"] = {key: value for key, value in changed.items() if value is not ...}
    record["versions"]["layerbits"] = "0.0.7"
    (run.path / "run.json").write_text(json.dumps(record))
    refused(run, capsys, told, "0.0.7")


def test_run_of_an_unknown_experiment_is_refused(run, capsys):
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(record | {"experiment": "nonesuch"}))
    refused(run, capsys, "experiment: got 'nonesuch'", "szt-tanh")


@pytest.mark.parametrize("content", [None, "x\n"])
def test_run_that_has_no_row_yet_is_refused(content, run, capsys):
    (run.path / "curve.png").write_bytes(b"of before")
    (run.path / "curve.csv").unlink()
    if content:
        (run.path / "curve.csv").write_text(content)
    refused(run, capsys, "nothing to show yet")


def test_page_that_cannot_be_written_is_one_line_and_exit_status_2(run, capsys):
    (run.path / "report.html").mkdir()
    assert main(["report", str(run.path)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert "report.html" in captured.err
    assert not list(run.path.glob(f"{DRAFT_PREFIX}*"))


def test_missing_matplotlib_is_named_with_its_remedy(run, monkeypatch):
    monkeypatch.setattr(plots.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install"):
        write_report(run.path)


def refused(run, capsys, *told):
    """Assert that the report on `run` is refused in one line that has the texts `told`, and that no file changes."""
    before = contents(run.path)
    assert main(["report", str(run.path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for text in told:
        assert text in captured.err
    assert contents(run.path) == before
