"""`log=` of the Monitor: the numbers of each measured epoch, and loggers that fail."""

import pytest

from layerbits import MeasurementSettings, Monitor
from tests.support.networks import INPUTS, tanh_mlp


def monitor(tmp_path, log):
    network = tanh_mlp(4, 3, 2, dtype=INPUTS.dtype)
    settings = MeasurementSettings(queries=4)
    return Monitor(network, INPUTS, at=[1, 2], directory=tmp_path, sigma=0.5, settings=settings, log=log)


def test_logger_gets_the_numbers_of_each_measured_epoch(tmp_path):
    logged = []
    measuring = monitor(tmp_path, logged.append)
    for epoch in range(3):
        measuring.step(epoch)
    assert [entry.pop("information/epoch") for entry in logged] == [1, 2]
    assert logged == [measuring.tables[epoch].scalars() for epoch in (1, 2)]


def test_logger_of_a_resumed_training_gets_no_epoch_again(tmp_path):
    monitor(tmp_path, None).step(1)
    logged = []
    resumed = monitor(tmp_path, logged.append)
    for epoch in (1, 1, 2, 2):
        resumed.step(epoch)
    assert [entry["information/epoch"] for entry in logged] == [2]


def test_logger_that_raises_is_reported_once_and_does_not_stop_the_training(tmp_path):
    def log(numbers):
        raise ConnectionError("no\nnetwork")

    measuring = monitor(tmp_path, log)
    with pytest.warns(RuntimeWarning, match=r"^log: got ConnectionError \(no network\) at epoch 1") as warnings:
        measuring.step(1)
    assert [warning.filename for warning in warnings] == [__file__]
    measuring.step(2)  # a warning would be an error here
    assert measuring.history.epochs == (1, 2)


def test_logger_that_is_no_function_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"^log: got str, wanted a function"):
        monitor(tmp_path, "wandb")
