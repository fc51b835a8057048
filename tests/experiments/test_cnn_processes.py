"""Trainings of the convolutional networks in processes of their own."""

import dataclasses
import signal
import sys

import pytest

from layerbits._base import LayerbitsError
from layerbits.experiments import RunFolder
from layerbits.experiments.cnn import training_processes
from layerbits.experiments.cnn.digits_cnn import DIGITS_CNN, Config

CONFIG = Config(
    repeats=1, variants=("deterministic", "noisy"), sigmas=(0.1,), channels=(2,), units=4, epochs=2, evaluations=2,
    measurements=2, jobs=2,
)  # fmt: skip


def train(path, config):
    folder = RunFolder(path, experiment="digits-cnn", config=config, resume=True)
    with folder.running():
        DIGITS_CNN.train(config, folder)
    return {file.relative_to(path): file.read_text() for file in path.rglob("*.csv")}


def test_trainings_in_processes_have_the_numbers_of_trainings_in_one_after_a_failed_process(tmp_path, monkeypatch):
    kill = f"import os; os.kill(os.getpid(), {signal.SIGKILL.value})"
    with monkeypatch.context() as patch:
        patch.setattr(training_processes, "_COMMAND", (sys.executable, "-c", kill))
        with pytest.raises(LayerbitsError, match=r"training-0\.log: a training has failed: .* signal 9"):
            train(tmp_path / "2", CONFIG)
    tables = [train(tmp_path / str(jobs), dataclasses.replace(CONFIG, jobs=jobs)) for jobs in (1, 2)]
    assert len(tables[0]) == 3
    assert tables[0] == tables[1]
    assert not list((tmp_path / "2").glob("*.log"))
