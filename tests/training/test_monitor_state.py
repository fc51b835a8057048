"""`state_dict` and `load_state_dict` of the Monitor."""

import pytest
import torch

import layerbits as lb
from tests.support.networks import INPUTS, tanh_mlp

SETTINGS = lb.MeasurementSettings(queries=4)


def make_monitor(folder, *, model=None, sigma=0.5):
    model = model or tanh_mlp(4, 3, 2, dtype=INPUTS.dtype)
    return lb.Monitor(model, INPUTS, at=[1, 2, 3], directory=folder, sigma=sigma, settings=SETTINGS)


def test_state_replaces_the_results_of_the_folder(tmp_path):
    model = tanh_mlp(4, 3, 2, dtype=INPUTS.dtype)

    first = make_monitor(tmp_path / "a", model=model)
    first.step(1)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    first.step(2)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for folder in ("a", "b"):  # the folder of the training, and an empty one
        restored = make_monitor(tmp_path / folder, model=model)
        restored.load_state_dict(state)
        assert restored.history.epochs == (1,)
        assert restored.history[1] == first.history[1]
        assert restored.history.limits == first.history.limits
        assert lb.read_history(tmp_path / folder) == restored.history
        with torch.no_grad():
            model[0].weight.add_(1)  # another training after the checkpoint
        restored.step(2)
        assert restored.history.epochs == (1, 2)


def test_state_before_the_first_measurement_writes_no_table(tmp_path):
    monitor = make_monitor(tmp_path)
    monitor.load_state_dict(monitor.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["information.json"]


def test_state_of_other_settings_is_refused(tmp_path):
    monitor = make_monitor(tmp_path / "a")
    other = make_monitor(tmp_path / "b", sigma=0.4)
    with pytest.raises(lb.UsageError, match=r"^sigma: the state was measured with 0.4, wanted 0.5; make the monitor"):
        monitor.load_state_dict(other.state_dict())
    for state in ({}, None):
        with pytest.raises(ValueError, match=r"^state: got (another mapping|NoneType), wanted the result"):
            monitor.load_state_dict(state)
