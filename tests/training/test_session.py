"""The training session: interruption in calls 1 to 3 of each step, resumption with the same numbers, and timing."""

import contextlib
import functools

import pytest
import torch

from layerbits.estimators import MeasurementSettings
from layerbits.training import (
    Batches,
    Checkpoints,
    Monitor,
    TrainingCurves,
    TrainingSession,
    read_information,
    read_training,
    train,
)
from tests.support.noisy_classifier import INPUTS, LABELS, adam, noisy_classifier, weights

EPOCHS, MEASURED = 6, (1, 2, 4, 6)


class Training:
    """A classifier and the training session that trains it in a folder."""

    def __init__(self, directory, **options):
        self.noisy = noisy_classifier()
        optimizer = adam(self.noisy)
        settings = MeasurementSettings(draws=2, queries=2)
        self.train = functools.partial(train, self.noisy, optimizer, Batches(INPUTS, LABELS, batch_size=16, seed=0))
        self.session = TrainingSession(
            Checkpoints(self.noisy, optimizer, at=MEASURED, directory=directory, run="run"),
            TrainingCurves(self.noisy, {"train": (INPUTS, LABELS)}, at=(1, 3, 6), directory=directory),
            Monitor(self.noisy, INPUTS, at=MEASURED, directory=directory, settings=settings),
            **options,
        )

    def run(self, **options):
        self.session.run(self.train, epochs=EPOCHS, **options)
        return weights(self.noisy)


def information(directory):
    """Return the values of information.csv by epoch, layer and quantity."""
    tables = read_information(directory / "information.csv")
    return {(epoch, row.layer, row.quantity): row.value for epoch, table in tables.items() for row in table}


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished")
    return path, Training(path).run()


def assert_same_files(path, finished_path):
    assert read_training(path / "training.csv") == read_training(finished_path / "training.csv")
    assert information(path) == information(finished_path)


@pytest.mark.parametrize("call", [1, pytest.param(2, marks=pytest.mark.stress), 3])
@pytest.mark.parametrize("owner", [TrainingCurves, Monitor, Checkpoints])
def test_session_that_is_interrupted_and_resumed_ends_with_the_same_numbers(
    tmp_path, monkeypatch, finished_run, owner, call
):
    step, calls = owner.step, []

    def interrupting(self, epoch):
        calls.append(epoch)
        if len(calls) == call:
            raise KeyboardInterrupt
        return step(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(owner, "step", interrupting)
        with pytest.raises(KeyboardInterrupt):
            Training(tmp_path).run()
    assert Training(tmp_path).run().equal(finished_run[1])
    assert_same_files(tmp_path, finished_run[0])


def test_noise_depends_on_the_seed_of_the_session_alone(tmp_path, finished_run):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        assert Training(tmp_path / "same").run().equal(finished_run[1])
    assert not Training(tmp_path / "other", seed=1).run().equal(finished_run[1])


@pytest.mark.parametrize("interrupted", [False, True])
def test_session_restores_the_generator_of_its_caller(tmp_path, monkeypatch, interrupted):
    def interrupt(*_):
        raise KeyboardInterrupt

    if interrupted:
        monkeypatch.setattr(TrainingCurves, "step", interrupt)
    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt) if interrupted else contextlib.nullcontext():
        Training(tmp_path).run()
    assert torch.get_rng_state().equal(before)


def test_lost_rows_of_the_information_are_measured_again_from_the_checkpoints(tmp_path, finished_run):
    Training(tmp_path).run()
    lines = (tmp_path / "information.csv").read_text().splitlines(keepends=True)
    remaining = [line for line in lines if not line.startswith(("2,", "4,"))]
    (tmp_path / "information.csv").write_text("".join(remaining))
    (tmp_path / ".information.csv.sha256").unlink()
    with pytest.warns(RuntimeWarning, match="unverified"):
        assert Training(tmp_path).run().equal(finished_run[1])
    assert_same_files(tmp_path, finished_run[0])


def test_finished_session_trains_no_epoch_again(tmp_path, monkeypatch, finished_run):
    Training(tmp_path).run()
    monkeypatch.setattr(torch.optim.Adam, "step", None)
    assert Training(tmp_path).run().equal(finished_run[1])


def test_checkpoint_of_an_epoch_exists_when_after_epoch_is_called(tmp_path):
    training, epochs = Training(tmp_path), []

    def after_epoch(epoch):
        epochs.append(epoch)
        assert (tmp_path / "checkpoints" / f"epoch-{epoch:06d}.pt").exists() == (epoch in MEASURED)

    training.run(after_epoch=after_epoch)
    assert epochs == list(range(1, EPOCHS + 1))


def test_each_measurement_is_timed(tmp_path):
    phases = []

    class Phase:
        def __init__(self, name):
            phases.append(name)

        def __enter__(self):
            pass

        def __exit__(self, *_):
            pass

    Training(tmp_path, phase=Phase).run()
    assert phases == ["measurements"] * len(MEASURED)
