"""`state_dict` and `load_state_dict` of the Monitor."""

import pytest
import torch

import layerbits as lb
from tests.support.networks import INPUTS, tanh_mlp

SETTINGS = lb.MeasurementSettings(queries=4)


def make_monitor(folder, *, model=None, sigma=0.5, settings=SETTINGS):
    model = model or tanh_mlp(4, 3, 2, dtype=INPUTS.dtype)
    return lb.Monitor(model, INPUTS, at=[1, 2, 3], directory=folder, sigma=sigma, settings=settings)


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


@pytest.mark.parametrize("name", ["settings", "tables", "provenance", "weights", "measures", "left_out", "seconds"])
def test_state_that_lacks_an_entry_is_refused(name, tmp_path):
    monitor = make_monitor(tmp_path)
    monitor.step(1)
    state = monitor.state_dict()
    for other in (None, {}, {key: value for key, value in state.items() if key != name}, state | {name: None}):
        with pytest.raises(ValueError, match=r"^state: got .*, wanted the result of state_dict"):
            monitor.load_state_dict(other)
    monitor.load_state_dict(state)
    assert monitor.history.epochs == (1,)


def test_setting_that_differs_is_named(tmp_path):
    """The epochs are recorded for simultaneous intervals alone."""
    make_monitor(tmp_path).step(1)
    settings = lb.MeasurementSettings(queries=4, simultaneous=True)
    with pytest.raises(lb.UsageError, match=r"^simultaneous: .* was measured with False, wanted True"):
        lb.Monitor(
            tanh_mlp(4, 3, 2, dtype=INPUTS.dtype), INPUTS, at=[1, 2], directory=tmp_path, sigma=0.5, settings=settings
        )
