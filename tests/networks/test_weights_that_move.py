"""Measurements have the numbers of one set of weights, or are refused, where the weights change meanwhile."""

import contextlib
import copy
import threading

import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.networks.execution import weights
from layerbits.networks.execution.shadow import shadow
from tests.support.networks import INPUTS, tanh_network

# The first passes of a measurement refuse writes of the network itself, so the weights change in a later pass.
PASSES = 4

MEASUREMENTS = {
    "draws": lambda model: [row.upper for row in lb.layer_information(model, INPUTS, draws=4, estimator="draws")],
    "propagate": lambda model: lb.propagate(model, INPUTS, draws=2)["3"].tolist(),
    "activations": lambda model: lb.layer_activations(model, INPUTS, layers="3")["3"].tolist(),
    "between": lambda model: lb.information_between_layers(model, INPUTS, "1", "3", draws=4),
    "sigma": lambda model: lb.suggest_sigma(model, INPUTS, layers=["1", "3"], queries=2),
}
measurements = pytest.mark.parametrize("measure", MEASUREMENTS.values(), ids=MEASUREMENTS)


def move(model):
    with torch.no_grad():
        model[2].weight.mul_(-3)


@contextlib.contextmanager
def changing(model, change, *, with_gradients=False):
    """Call `change` once in a later pass, if `with_gradients` in one with gradients, between the layers."""
    calls = []

    def count(*_):
        calls.append(torch.is_grad_enabled() or not with_gradients)
        if len(calls) >= PASSES and sum(calls[PASSES - 1 :]) == calls[-1] == 1:
            change(model)

    handle = model[3].register_forward_pre_hook(count)
    yield
    handle.remove()
    assert any(calls[PASSES - 1 :])


@contextlib.contextmanager
def other_thread():
    """Run a thread of the user, which waits, within a ``with`` block."""
    end = threading.Event()
    thread = threading.Thread(target=lambda: end.wait())
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@measurements
def test_weights_that_move_beside_another_thread_are_those_of_the_start(measure):
    model = tanh_network()
    expected = measure(copy.deepcopy(model))
    with other_thread(), changing(model, move):
        assert measure(model) == expected
    assert measure(model) != expected


@measurements
def test_weights_that_move_without_another_thread_are_refused(measure):
    model = tanh_network()
    lb.layers(model, INPUTS)
    with changing(model, move), pytest.raises(ValueError, match="model: got a network whose weights changed during"):
        measure(model)


@pytest.mark.parametrize("gradients", [False, True])
def test_derivatives_of_weights_that_move_name_the_weights(gradients):
    model = tanh_network()
    with (
        changing(model, move, with_gradients=gradients),
        pytest.raises(ValueError, match="model: got a network whose weights changed during"),
    ):
        lb.layer_information(model, INPUTS, estimator="known")


def test_monitor_measures_the_activations_of_the_weights_in_the_table(tmp_path):
    def monitor(model, name):
        settings = lb.MeasurementSettings(draws=4, estimator="draws")
        measures = {"sum": lambda activations, labels: float(activations.sum())}
        return lb.Monitor(model, INPUTS, at=[1, 2], directory=tmp_path / name, settings=settings, measures=measures)

    model = tanh_network()
    still, moving = monitor(copy.deepcopy(model), "still"), monitor(model, "moving")
    still.step(1)
    with other_thread(), changing(model, move):
        table = moving.step(1)
    assert moving.measures[1] == still.measures[1]
    assert table.provenance["weights"] == still.tables[1].provenance["weights"]
    table = moving.step(2)
    assert moving.measures[2] != still.measures[1]
    assert table.provenance["weights"] != still.tables[1].provenance["weights"]


def test_shadow_has_weights_of_its_own_if_another_thread_or_the_main_thread_may_train():
    model, shadows = nn.Linear(2, 2), []
    thread = threading.Thread(target=lambda: shadows.append(shadow(model)))
    thread.start()
    thread.join()
    with other_thread():
        shadows.append(shadow(model))
    for copied in shadows:
        assert copied.weight is not model.weight
        assert torch.equal(copied.weight, model.weight)
    assert shadow(model).weight is model.weight


def test_own_weights_share_memory_and_have_the_properties_of_the_originals():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            both = torch.arange(6.0)
            self.first, self.second = nn.Parameter(both[:3]), nn.Parameter(both[3:], requires_grad=False)
            self.tied, self.listed, self.lstm = self.first, [self.first], nn.LSTM(2, 2)
            self.first.note = "note"

        def forward(self, x):
            return x

    model = Network()
    with other_thread():
        copied = shadow(model)
    assert copied.first is copied.tied is copied.listed[0]
    assert copied.lstm._flat_weights[0] is copied.lstm.weight_ih_l0
    assert copied.first.note == "note"
    assert (copied.first.requires_grad, copied.second.requires_grad) == (True, False)
    addresses = {parameter.untyped_storage().data_ptr() for parameter in (copied.first, copied.second)}
    assert len(addresses) == 1
    assert addresses != {model.first.untyped_storage().data_ptr()}
    assert [copied.first.tolist(), copied.second.tolist()] == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


@pytest.mark.parametrize("n_writes", [3, 10**9])
def test_copies_are_made_again_while_another_thread_writes(monkeypatch, n_writes):
    model, copied, writes = nn.Linear(2, 2), weights._copied, []

    def copy_beside_writes(parameter, storages):
        if len(writes) < n_writes:
            writes.append(model.bias.data.add_(1))  # torch does not count this write
        return copied(parameter, storages)

    monkeypatch.setattr(weights, "_copied", copy_beside_writes)
    refused = pytest.raises(ValueError, match="whose weights another thread changed in each of 100 attempts")
    with other_thread(), contextlib.nullcontext() if n_writes == 3 else refused:
        assert torch.equal(shadow(model).bias, model.bias)


def test_weights_are_shared_if_the_memory_is_too_small_for_copies(monkeypatch):
    def copy_without_memory(parameter, storages):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(weights, "_copied", copy_without_memory)
    model = tanh_network()
    lb.layers(model, INPUTS)
    with other_thread():
        assert shadow(model)[0].weight is model[0].weight
        with changing(model, move), pytest.raises(ValueError, match="weights changed during the measurement"):
            MEASUREMENTS["propagate"](model)


def test_weights_of_a_class_that_refuses_copies_are_shared():
    class Packed(nn.Parameter):
        def __deepcopy__(self, memo):
            raise RuntimeError("no copies")

    model = nn.Linear(2, 2)
    model.weight = Packed(torch.eye(2))
    with other_thread():
        copied = shadow(model)
    assert copied.weight is model.weight
    assert copied.bias is not model.bias
