"""What the studies of scalar neurons share: settings, going on after a break, figures of a run that is not over."""

import dataclasses
import math
import shutil

import pytest
from layerbits.experiments.scalar.study import Settings

from layerbits._base import UsageError
from layerbits.experiments import RunFolder
from layerbits.experiments.scalar import leaky_relu_pair
from layerbits.experiments.scalar import study as scalar

TINY = leaky_relu_pair.Config(
    learning_rate=0.05, epochs=40, evaluations=5, measurements=5, tolerance=0.3, shown_epochs=(1, 10, 40)
)
TABLES = ("training.csv", "neurons.csv")


def run(path, *, resume=False):
    folder = RunFolder(path, experiment="leaky-relu-pair", config=TINY, resume=resume)
    with folder.running():
        leaky_relu_pair.run(TINY, folder)
    return folder


def values(path):
    """Give the rows of information.csv without the column of the seconds that they took."""
    return [line.split(",")[:10] for line in (path / "information.csv").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run(tmp_path_factory.mktemp("run")).path


@pytest.mark.parametrize("step", ["TrainingCurves.step", "Monitor.step", "Checkpoints.step", "trace"])
def test_run_that_breaks_off_ends_with_the_same_tables(tmp_path, monkeypatch, finished, step):
    calls = 0
    owner, _, name = step.rpartition(".")
    where = getattr(scalar, owner) if owner else scalar
    whole = getattr(where, name)

    def breaking(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return whole(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(where, name, breaking)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    run(tmp_path, resume=True)
    for table in TABLES:
        assert (tmp_path / table).read_text() == (finished / table).read_text()
    assert values(tmp_path) == values(finished)


@pytest.mark.parametrize("lost", [["neurons.csv"], ["information.csv"], ["neurons.csv", "information.csv"]])
def test_lost_tables_are_made_again_from_the_checkpoints(tmp_path, finished, lost):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for name in lost:
        (tmp_path / name).unlink()
    run(tmp_path, resume=True)
    assert (tmp_path / "neurons.csv").read_text() == (finished / "neurons.csv").read_text()
    assert values(tmp_path) == values(finished)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_run_that_is_not_over_is_drawn_as_far_as_it_is(tmp_path, finished, rows):
    for name in ("training.csv", "information.csv", "neurons.csv"):
        lines = (finished / name).read_text().splitlines(keepends=True)
        per_epoch = {"training.csv": 1, "information.csv": 10, "neurons.csv": 2}[name]
        if rows:
            (tmp_path / name).write_text("".join(lines[: 1 + rows * per_epoch]))
    leaky_relu_pair.draw(TINY, tmp_path)
    assert (tmp_path / "leaky-relu-pair.png").exists()


def test_divergence_is_told_in_a_line(tmp_path):
    config = dataclasses.replace(TINY, start=(10.0, 10.0, 10.0, 10.0), learning_rate=1.0)
    folder = RunFolder(tmp_path, experiment="leaky-relu-pair", config=config, resume=False)
    with pytest.raises(UsageError, match=r"^learning_rate: training diverges"):
        leaky_relu_pair.run(config, folder)


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
        Settings(**change)
