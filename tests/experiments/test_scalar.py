"""Training of the scalar neurons of leaky-relu-pair: settings, resumption and figures of an incomplete run."""

import dataclasses
import math
import shutil

import pytest

from layerbits._base import UsageError
from layerbits.experiments import RunFolder
from layerbits.experiments.scalar import training
from layerbits.experiments.scalar.leaky_relu_pair import LEAKY_RELU_PAIR, LeakyReluPairSettings
from layerbits.experiments.scalar.settings import ScalarSettings
from layerbits.training import Checkpoints, Monitor, TrainingCurves

TINY = LeakyReluPairSettings(
    learning_rate=0.05, epochs=40, evaluations=5, measurements=5, tolerance=0.3, shown_epochs=(1, 40)
)
TABLES = ("training.csv", "neurons.csv")
STEPS = {
    "curves": (TrainingCurves, "step"),
    "monitor": (Monitor, "step"),
    "checkpoints": (Checkpoints, "step"),
    "neurons": (training, "write_neurons"),
}


def run(path, *, config=TINY, resume=False):
    """Train and measure, without figures."""
    folder = RunFolder(path, experiment="leaky-relu-pair", config=config, resume=resume)
    LEAKY_RELU_PAIR.train(config, folder)
    LEAKY_RELU_PAIR.measure(config, folder)
    return path


def values(path):
    """Return the columns of information.csv before the seconds."""
    return [line.split(",")[:10] for line in (path / "information.csv").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    return run(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("step", STEPS)
def test_run_that_is_interrupted_and_resumed_ends_with_the_same_tables(tmp_path, monkeypatch, finished_run, step):
    owner, name = STEPS[step]
    function, calls = getattr(owner, name), []

    def interrupting(*arguments, **options):
        calls.append(step)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupting)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    run(tmp_path, resume=True)
    for table in TABLES:
        assert (tmp_path / table).read_text() == (finished_run / table).read_text()
    assert values(tmp_path) == values(finished_run)


@pytest.mark.parametrize("lost_tables", [["neurons.csv"], ["information.csv"], ["neurons.csv", "information.csv"]])
def test_lost_tables_are_computed_again_from_the_checkpoints(tmp_path, finished_run, lost_tables):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    for name in lost_tables:
        (tmp_path / name).unlink()
    run(tmp_path, resume=True)
    assert (tmp_path / "neurons.csv").read_text() == (finished_run / "neurons.csv").read_text()
    assert values(tmp_path) == values(finished_run)


@pytest.mark.parametrize("epochs", [0, 1, 3])
@pytest.mark.filterwarnings("ignore:.*unverified:RuntimeWarning")
def test_incomplete_run_is_plotted_from_the_rows_that_it_has(tmp_path, finished_run, epochs):
    for name, rows_per_epoch in {"training.csv": 1, "information.csv": 10, "neurons.csv": 2}.items():
        lines = (finished_run / name).read_text().splitlines(keepends=True)
        if epochs:
            (tmp_path / name).write_text("".join(lines[: 1 + epochs * rows_per_epoch]))
    LEAKY_RELU_PAIR.plot(TINY, tmp_path)
    assert (tmp_path / "leaky-relu-pair.png").exists()


def test_divergence_is_reported_in_one_line(tmp_path):
    config = dataclasses.replace(TINY, start=(10.0, 10.0, 10.0, 10.0), learning_rate=1.0)
    with pytest.raises(UsageError, match=r"^learning_rate: training diverges"):
        run(tmp_path, config=config)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"sigma": 0.0}, {"sigma": 1e-5}, {"sigma": math.inf}, {"learning_rate": 0.0}, {"momentum": -0.1},
        {"momentum": 1.1}, {"epochs": 0}, {"evaluations": 1}, {"measurements": 1}, {"tolerance": 0.0},
        {"max_draws": 31}, {"max_draws": 2**23}, {"tolerance": 1e-7}, {"evaluations": 2**24},
        {"measurements": 2**24}, {"shown_epochs": ()}, {"shown_epochs": (0,)},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        ScalarSettings(**change)
