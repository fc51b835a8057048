"""A network on a device has the signals, derivatives and intervals that it has on the CPU."""

import pytest
import torch
from torch import nn

import layerbits
from layerbits.estimators.known_network.network_signal_model import NetworkSignalModel
from layerbits.estimators.problem import Problem
from layerbits.networks import read_inputs

# Under 1000 operations in float64, with values of order 1 in whitened units of 0.3.
ROUNDING = 1e-11


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


INPUTS = 2 * normal(24, 4)


def network(device):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    covariance = 0.1 * torch.eye(3, dtype=torch.float64) + 0.05
    return layerbits.noisify(model.to(device), sigma={"1": 0.3, "3": covariance})


def signals_and_derivatives(device):
    noisy = network(device)
    model = NetworkSignalModel.of(Problem.of(noisy, read_inputs(INPUTS.to(device), noisy)), "3")
    rows, noises = torch.tensor([0, 23, 7]), normal(3, model.noise_size, seed=1)
    tangents, cotangents = normal(3, model.noise_size, 2, seed=2), normal(3, model.n_units, 2, seed=3)
    return (
        model.signals(rows, noises),
        model.jacobians(rows, noises),
        model.pushforward(rows, noises, tangents),
        model.pullback(rows, noises, cotangents),
    )


@pytest.mark.parametrize("number", range(4))
def test_signals_and_derivatives_agree_with_those_of_the_cpu(number):
    on_device, on_cpu = signals_and_derivatives("cuda")[number], signals_and_derivatives("cpu")[number]
    assert on_device.device.type == "cpu"  # that of the noises
    torch.testing.assert_close(on_device, on_cpu, rtol=0, atol=ROUNDING)


def test_intervals_agree_with_those_of_the_cpu():
    rows = {
        device: layerbits.layer_information(network(device), INPUTS.to(device), layers="3", estimator="known")
        for device in ("cpu", "cuda")
    }
    for quantity in ("I(X;T)", "h(T)", "h(T|X)"):
        on_cpu, on_device = (rows[device]["3", quantity] for device in ("cpu", "cuda"))
        # The random numbers are those of the CPU; weights amplify rounding by their exponents, below 1000.
        assert on_device.lower == pytest.approx(on_cpu.lower, abs=1000 * ROUNDING)
        assert on_device.upper == pytest.approx(on_cpu.upper, abs=1000 * ROUNDING)
