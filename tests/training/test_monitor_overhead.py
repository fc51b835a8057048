"""`max_overhead` of the Monitor: which epochs a share of the training time leaves out, by a clock of the test."""

import json
import types

import pytest

import layerbits as lb
from layerbits.training import monitor as monitor_module
from layerbits.training import overhead
from tests.support.networks import INPUTS, tanh_mlp

SETTINGS = lb.MeasurementSettings(queries=4)


class Clock:
    """A clock that measurements and the training of a test advance."""

    def __init__(self, monkeypatch, seconds_of_a_measurement):
        self.now = 100.0
        measure = monitor_module.measure_layers

        def measure_in_some_seconds(*arguments, **options):
            self.now += seconds_of_a_measurement
            return measure(*arguments, **options)

        monkeypatch.setattr(overhead, "time", types.SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(monitor_module, "measure_layers", measure_in_some_seconds)

    def train(self, monitor, epochs, seconds=1.0):
        """Train and step epochs, and return those with a table."""
        measured = []
        for epoch in epochs:
            self.now += seconds
            if monitor.step(epoch) is not None:
                measured.append(epoch)
        return measured


def make_monitor(folder, at=range(1, 21), **options):
    network = tanh_mlp(4, 3, 2, dtype=INPUTS.dtype)
    return lb.Monitor(network, INPUTS, at=at, directory=folder, sigma=0.5, settings=SETTINGS, **options)


def test_without_a_limit_every_epoch_is_measured(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, 1000.0)
    monitor = make_monitor(tmp_path, at=range(1, 5))
    assert clock.train(monitor, range(1, 5)) == [1, 2, 3, 4]
    assert monitor.left_out == ()
    assert "left_out" not in json.loads((tmp_path / "information.json").read_text())


@pytest.mark.filterwarnings("ignore:max_overhead")
def test_epochs_that_would_exceed_the_limit_are_left_out_and_the_last_is_kept(tmp_path, monkeypatch):
    # An epoch takes 1 s, a measurement 2 s, and the limit is half the training time. Epoch 1 is always measured. From
    # then on n measurements need 4 n s of training: epochs 8, 12 and 16, which leave time for the last one, at 20 s.
    clock = Clock(monkeypatch, 2.0)
    monitor = make_monitor(tmp_path, max_overhead=0.5)
    assert clock.train(monitor, range(1, 21)) == [1, 8, 12, 16, 20]
    assert monitor.history.epochs == (1, 8, 12, 16, 20)
    assert monitor.left_out == tuple(epoch for epoch in range(1, 21) if epoch not in (1, 8, 12, 16, 20))
    assert json.loads((tmp_path / "information.json").read_text())["left_out"] == list(monitor.left_out)
    assert {row.draws for row in monitor.history[20]} == {row.draws for row in monitor.history[1]}


@pytest.mark.filterwarnings("ignore:max_overhead")
def test_an_epoch_that_leaves_too_little_time_for_the_last_is_left_out(tmp_path, monkeypatch):
    # Measurements take 3 s. 32 % of 19 s are two measurements, but 32 % of the 20 s of all epochs are not three.
    clock = Clock(monkeypatch, 3.0)
    monitor = make_monitor(tmp_path, at=(1, 19, 20), max_overhead=0.32)
    assert clock.train(monitor, range(1, 21)) == [1, 20]


def test_first_epoch_that_is_left_out_warns_once(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, 50.0)
    monitor = make_monitor(tmp_path, max_overhead=0.1)
    clock.train(monitor, [1])
    with pytest.warns(RuntimeWarning, match=r"^max_overhead: epoch 2 is left out, .*information\.json") as warnings:
        clock.train(monitor, [2])
    assert len(warnings) == 1
    clock.train(monitor, [3])  # a warning would be an error here


@pytest.mark.filterwarnings("ignore:max_overhead")
def test_epochs_that_were_left_out_stay_known_to_a_resumed_monitor(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, 50.0)
    at = (1, 2, 3, 4)
    clock.train(make_monitor(tmp_path, at=at, max_overhead=0.1), at)
    resumed = make_monitor(tmp_path, at=at)
    assert resumed.left_out == (2, 3, 4)
    assert resumed.unmeasured_epochs(4) == []
    assert clock.train(resumed, [3]) == [3]
    assert resumed.left_out == (2, 4)
    assert json.loads((tmp_path / "information.json").read_text())["left_out"] == [2, 4]


@pytest.mark.filterwarnings("ignore:max_overhead")
def test_epochs_between_the_first_and_the_last_that_are_left_out_write_no_file(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, 50.0)
    monitor = make_monitor(tmp_path, at=(1, 2, 3, 4), max_overhead=0.1)
    written = []
    for epoch in monitor.at:
        clock.train(monitor, [epoch])
        written.append(json.loads((tmp_path / "information.json").read_text()).get("left_out", []))
    assert written == [[], [2], [2], [2, 3, 4]]


@pytest.mark.filterwarnings("ignore:max_overhead")
def test_state_continues_the_seconds(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, 2.0)
    first = make_monitor(tmp_path / "a", max_overhead=0.5)
    clock.train(first, range(1, 8))
    second = make_monitor(tmp_path / "b", max_overhead=0.5)
    clock.now += 1000.0  # between the processes
    second.load_state_dict(first.state_dict())
    assert second.left_out == (2, 3, 4, 5, 6, 7)
    assert clock.train(second, range(8, 21)) == [8, 12, 16, 20]


@pytest.mark.parametrize(("limit", "error"), [(0, ValueError), (float("nan"), ValueError), ("5%", TypeError)])
def test_wrong_limit_is_refused(limit, error, tmp_path):
    with pytest.raises(error, match=r"^max_overhead: got"):
        make_monitor(tmp_path, max_overhead=limit)


def test_damaged_list_of_epochs_is_refused(tmp_path):
    make_monitor(tmp_path).step(1)
    path = tmp_path / "information.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"left_out": ["one"], "checksum": None}))
    with pytest.raises(lb.UsageError, match=r"information.json: cannot be read: left_out"):
        make_monitor(tmp_path)
