"""The tracker in a real Accelerator, with a tiny network."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import layerbits as lb
from tests.support.networks import INPUTS, LABELS, tanh_mlp

OPTIONS = {"at": [1, 3], "sigma": 0.5, "settings": lb.MeasurementSettings(queries=4)}


class ListTracker(GeneralTracker):
    """A tracker that keeps what is logged."""

    name, requires_logging_directory = "list", False

    def __init__(self):
        super().__init__()
        self.entries = []

    @property
    def tracker(self):
        return self.entries

    def log(self, values, step=None, **_):
        self.entries.append((step, values))


def network():
    return tanh_mlp(4, 3, 3, dtype=INPUTS.dtype)


def make_tracker(folder, model, **options):
    return lb.integrations.accelerate.InformationTracker(model, INPUTS, LABELS, directory=folder, **OPTIONS, **options)


def train(accelerator, model, epochs):
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(INPUTS, LABELS), batch_size=10)
    prepared, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for epoch in epochs:
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(prepared(inputs), labels)
            accelerator.backward(loss)
            optimizer.step()
        accelerator.log({"loss": loss.item()}, step=epoch)


def test_training_is_measured_and_logged_by_the_other_trackers(tmp_path):
    model, others = network(), ListTracker()
    tracker = make_tracker(
        tmp_path, model, log=lambda numbers: accelerator.log(numbers, step=numbers["information/epoch"])
    )
    accelerator = Accelerator(cpu=True, log_with=[tracker, others])
    accelerator.init_trackers("mine", config={"lr": 0.1})
    train(accelerator, model, (1, 2, 3))
    table = lb.layer_information(model, INPUTS, LABELS, sigma=0.5, queries=4)
    assert tracker.history.epochs == (1, 3)
    assert [row.value for row in tracker.history[3]] == [row.value for row in table]
    assert lb.read_history(tmp_path) == tracker.tracker
    assert [(step, "loss" in values) for step, values in others.entries] == [
        (1, False), (1, True), (2, True), (3, False), (3, True)
    ]  # fmt: skip
    assert {name: others.entries[3][1][name] for name in table.scalars()} == table.scalars()
    accelerator.end_training()


def test_state_of_an_accelerator_restores_the_measured_epochs(tmp_path):
    def new_training():
        model = network()
        tracker = make_tracker(tmp_path / "mine", model)
        accelerator = Accelerator(cpu=True, log_with=tracker)
        accelerator.init_trackers("mine")
        accelerator.register_for_checkpointing(tracker)
        return accelerator, model, tracker

    accelerator, model, first = new_training()
    train(accelerator, model, (1,))
    table = first.history[1]
    accelerator.save_state(tmp_path / "state")
    first_state = repr(first.state_dict())
    train(accelerator, model, (2, 3))
    accelerator, model, second = new_training()
    accelerator.load_state(tmp_path / "state")
    assert repr(second.state_dict()) == first_state  # before the training goes on; NaN is no equal of NaN
    with torch.no_grad():
        model[0].weight.add_(1)  # the training goes on otherwise
    train(accelerator, model, (2, 3))
    assert second.history.epochs == (1, 3)
    assert second.history[1] == table
    assert lb.read_history(tmp_path / "mine") == second.history


def test_epoch_0_is_measured_if_it_is_logged_and_missed_in_a_warning(tmp_path):
    def tracker_in(folder):
        options = OPTIONS | {"at": [0, 2]}
        return lb.integrations.accelerate.InformationTracker(network(), INPUTS, directory=folder, **options)

    tracker = tracker_in(tmp_path / "logged")
    accelerator = Accelerator(cpu=True, log_with=tracker)
    accelerator.init_trackers("mine")
    accelerator.log({}, step=0)
    tracker.log({"loss": 0.0}, step=1)  # a warning would be an error here
    assert tracker.history.epochs == (0,)
    late = tracker_in(tmp_path / "missed")
    with pytest.warns(RuntimeWarning, match=r"^at: epoch 0 is not measured, because the first step is 1; call"):
        late.log({"loss": 0.0}, step=1)
    late.log({"loss": 0.0}, step=2)
    assert late.history.epochs == (2,)


def test_history_before_the_first_step_is_refused(tmp_path):
    with pytest.raises(lb.UsageError, match=r"^history: the training has not started"):
        _ = make_tracker(tmp_path, network()).history


def test_training_on_several_processes_is_refused(tmp_path, monkeypatch):
    tracker = make_tracker(tmp_path, network())
    monkeypatch.setattr("accelerate.PartialState.num_processes", property(lambda _: 2), raising=False)
    with pytest.raises(lb.UsageError, match=r"^trainer: got 2 processes, wanted one"):
        tracker.log({"loss": 0.0}, step=1)
