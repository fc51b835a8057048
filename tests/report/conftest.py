"""A small experiment and its run, for tests of reports."""

import dataclasses

import pytest

from layerbits import plots
from layerbits._base import COLUMNS, read_csv, write_csv
from layerbits.experiments import EXPERIMENTS, Configuration, Experiment, RunFolder
from layerbits.experiments.framework.run_folder import save_figure
from tests.support.short_runs import few_pixels, no_layout, one_probe  # noqa: F401


@dataclasses.dataclass(frozen=True)
class Config(Configuration):
    label: str = "plain"
    widths: tuple[int, ...] = (3, 2)
    draws: int | None = None


class Curve(Experiment[Config]):
    def expected_seconds(self, config):
        return 1

    def measure(self, config, folder):
        write_csv(folder.path / "curve.csv", ["x"], [[1], [2]])

    def plot(self, config, path):
        """Plot a figure that has the first value of the table as its title."""
        (row, *_) = read_csv(path / "curve.csv", ["x"])
        figure = plots.new_figure(width=1, height=1)
        figure.add_subplot().set_title(row[0])
        save_figure(figure, path / "curve.png")


@pytest.fixture(autouse=True)
def experiment(monkeypatch):
    """Register the experiment `curve` and return it."""
    curve = Curve(name="curve", description="Plot a curve.", config_type=Config, quick={})
    monkeypatch.setitem(EXPERIMENTS, "curve", curve)
    return curve


@pytest.fixture
def start_run(tmp_path):
    """Return a function that starts a run of `curve` in a folder and writes its first table."""

    def start(name="run", *, x=1, **settings):
        folder = RunFolder(tmp_path / name, experiment="curve", config=Config(**settings), resume=False)
        write_csv(folder.path / "curve.csv", ["x"], [[x], [2]])
        return folder

    return start


@pytest.fixture
def run(start_run):
    return start_run()


@pytest.fixture
def write_information():
    """Return a function that writes an information.csv of one row."""

    def write(path, **changes):
        row = dict(zip(COLUMNS, ["tanh1", "I(X;T)", "draws", 1, 0.1, 0.9, 1.1, "nats", 3, 0.1], strict=False))
        row |= {"note": "", "plug_in": 1, "plug_in_error": 0, "decoded": 1, "decoded_error": 0} | changes
        path.parent.mkdir(exist_ok=True)
        write_csv(path, ["epoch", *COLUMNS], [[1, *(row.get(name, "") for name in COLUMNS)]])

    return write
