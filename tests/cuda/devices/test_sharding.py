"""Several devices share the queries, and give the bits of one device."""

import numpy as np
import pytest
import torch
from torch import nn

import layerbits as lb


def measurements(device, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
    inputs, labels = torch.randn(60, 3), torch.arange(60) % 3
    noisy = lb.noisify(model, sigma=0.3).to(device)
    table = lb.layer_information(noisy, inputs.to(device), labels.to(device), draws=8, queries=4, **options)
    columns = ("value", "lower", "upper", "standard_error", "plug_in", "decoded")
    return np.array([[getattr(row, column) for column in columns] for row in table])


@pytest.mark.parametrize("devices", [["cuda:0"], ["cuda:1"], ["cuda:0", "cuda:1"], (torch.device("cuda:1"), "cuda")])
def test_any_devices_give_the_bits_of_one_device(devices, second_device, devices_used):
    expected = measurements("cuda:0")
    assert devices_used == {"cuda:0"}
    devices_used.clear()
    np.testing.assert_array_equal(measurements("cuda:0", devices=devices), expected)
    assert devices_used == {"cuda:0" if str(device) == "cuda" else str(device) for device in devices}


@pytest.mark.parametrize("devices", [[], ["cuda:0", "cuda:0"], ["cpu"], ["cuda:0", "cuda:99"], ["cuda", "cuda:0"]])
def test_devices_must_exist_and_be_different(devices):
    with pytest.raises(ValueError, match=r"^devices: got .* wanted distinct devices out of cuda:0"):
        measurements("cuda:0", devices=devices)


def test_error_on_another_device_is_raised(second_device, devices_used, failing_second_device):
    with pytest.raises(RuntimeError, match=r"^no$"):
        measurements("cuda:0", devices=["cuda:0", "cuda:1"])


def test_monitor_shares_its_measurements(second_device, devices_used, tmp_path):
    noisy = lb.noisify(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)), sigma=0.3).to("cuda")
    inputs = torch.randn(60, 3, device="cuda")
    arguments = {"at": [1], "directory": tmp_path, "settings": lb.MeasurementSettings(draws=4)}
    monitor = lb.Monitor(noisy, inputs, **arguments, devices=["cuda:0", "cuda:1"])
    monitor.step(1)
    assert devices_used == {"cuda:0", "cuda:1"}
    resumed = lb.Monitor(noisy, inputs, **arguments)
    assert list(resumed.tables) == [1]  # the devices are not part of the measurement's identity
