import numpy as np
import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.kernels import sharding


def measured(device, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
    inputs, labels = torch.randn(60, 3), torch.arange(60) % 3
    noisy = lb.noisify(model, sigma=0.3).to(device)
    table = lb.layer_information(noisy, inputs.to(device), labels.to(device), draws=8, queries=4, **options)
    columns = ("value", "lower", "upper", "standard_error", "plug_in", "decoded")
    return np.array([[getattr(row, column) for column in columns] for row in table])


@pytest.fixture
def devices_used(monkeypatch):
    """Return the devices that pieces of queries have been on; there are several pieces for each."""
    monkeypatch.setattr(sharding, "_PIECE", 50)
    used, whole = set(), sharding.log_sums

    def log_sums(verb, points, components, devices):
        def noted(piece, *others):
            used.add(str(piece.device))
            return verb(piece, *others)

        return whole(noted, points, components, devices)

    monkeypatch.setattr("layerbits.estimators.log_densities.log_sums", log_sums)
    monkeypatch.setattr("layerbits.mixtures.known_channel.log_sums", log_sums)
    return used


@pytest.mark.parametrize("devices", [["cuda:0"], ["cuda:1"], ["cuda:0", "cuda:1"], (torch.device("cuda:1"), "cuda")])
def test_any_devices_give_the_numbers_of_one(devices, second_device, devices_used):
    alone = measured("cuda:0")
    assert devices_used == {"cuda:0"}
    devices_used.clear()
    np.testing.assert_array_equal(measured("cuda:0", devices=devices), alone)
    assert devices_used == {"cuda:0" if str(one) == "cuda" else str(one) for one in devices}


@pytest.mark.parametrize("devices", [[], ["cuda:0", "cuda:0"], ["cpu"], ["cuda:0", "cuda:99"], ["cuda", "cuda:0"]])
def test_devices_are_different_ones_that_exist(devices):
    with pytest.raises(ValueError, match=r"^devices: got .* wanted different ones of cuda:0"):
        measured("cuda:0", devices=devices)


def test_an_error_on_another_device_is_raised(second_device, devices_used, monkeypatch):
    def fails(points, *others, **options):
        if points.device.index:
            raise RuntimeError("no")
        return points.new_zeros(len(points), dtype=torch.float64)

    monkeypatch.setattr("layerbits.estimators.log_densities.log_sum_exp_isotropic", fails)
    with pytest.raises(RuntimeError, match="no"):
        measured("cuda:0", devices=["cuda:0", "cuda:1"])


def test_a_monitor_shares_its_measurements(second_device, devices_used, tmp_path):
    noisy = lb.noisify(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)), sigma=0.3).to("cuda")
    inputs = torch.randn(60, 3, device="cuda")
    monitor = lb.Monitor(noisy, inputs, at=[1], directory=tmp_path, draws=4, devices=["cuda:0", "cuda:1"])
    monitor.step(1)
    assert devices_used == {"cuda:0", "cuda:1"}
    alone = lb.Monitor(noisy, inputs, at=[1], directory=tmp_path, draws=4)
    assert list(alone.tables) == [1]  # devices are no part of what was measured
