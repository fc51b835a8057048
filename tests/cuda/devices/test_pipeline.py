"""Tensors of a device give the results of the CPU, and only few numbers are copied to the host."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import layerbits
from layerbits.networks import propagate

EPS = torch.finfo(torch.float64).eps
STANDARD_ERRORS = 5  # a correct estimator errs by more standard errors with a probability of 6e-7; seeds are fixed


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(sigma=0.3, width=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))
    return layerbits.noisify(model.double(), sigma=sigma)


INPUTS, LABELS = normal(24, 4), torch.arange(24) % 2


def density_and_gradients(device):
    sides = normal(30, 3, seed=1), normal(500, 3, seed=2), normal(500, seed=3).square()
    points, centers, weights = (x.to(device).requires_grad_() for x in sides)
    sigma = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)  # on the CPU in every case
    density = layerbits.mixture_log_density(points, centers, sigma, weights=weights)
    density.sum().backward()
    return density.detach(), points.grad, centers.grad, weights.grad, sigma.grad


def test_gradients_of_a_density_stay_on_the_device(copies_to_host):
    results = density_and_gradients("cuda")
    assert [x.device.type for x in results] == ["cuda"] * 4 + ["cpu"]
    assert max(copies_to_host()) <= 8  # whether the weights are finite, and the derivative by sigma


def test_density_and_its_gradients_agree_with_those_of_the_cpu():
    for on_cpu, on_device in zip(*map(density_and_gradients, ("cpu", "cuda")), strict=True):
        # About 1000 eps for exponents below 100 and sums of 500 terms; two sides, and 30 sums in the gradient of sigma.
        torch.testing.assert_close(on_device.cpu(), on_cpu, rtol=0, atol=30 * 2 * 1000 * EPS)


def test_density_is_on_the_device_of_its_points(second_device):
    points = normal(5, 2)
    expected = layerbits.mixture_log_density(points, points, 0.5)
    density = layerbits.mixture_log_density(points.to(second_device), points.to(second_device), 0.5)
    assert str(density.device) == second_device
    torch.testing.assert_close(density.cpu(), expected, rtol=0, atol=100 * EPS)
    with pytest.raises(ValueError, match="device"):
        layerbits.mixture_log_density(points.to("cuda:0"), points.to(second_device), 0.5)


def test_noise_is_generated_on_the_device_and_continues_from_the_state_of_its_generator():
    noisy = network().to("cuda")
    inputs = INPUTS.cuda()
    first = noisy(inputs)
    assert first.device.type == "cuda"
    state = torch.cuda.get_rng_state()
    second = noisy(inputs)
    assert not torch.equal(first, second)
    resumed = network().to("cuda")
    torch.cuda.set_rng_state(state)
    assert torch.equal(resumed(inputs), second)


def test_outputs_without_noise_agree_with_those_of_the_cpu():
    noisy = network()
    with layerbits.noise_off(noisy):
        expected = noisy(INPUTS)
    noisy.to("cuda")
    with layerbits.noise_off(noisy):
        torch.testing.assert_close(noisy(INPUTS.cuda()).cpu(), expected, rtol=0, atol=100 * EPS)


def test_arrays_as_inputs_give_arrays():
    signals = propagate(network().to("cuda"), INPUTS.numpy(), draws=6)
    assert {type(signal) for signal in signals.values()} == {np.ndarray}


def test_information_agrees_with_that_of_the_cpu():
    tables = [
        layerbits.layer_information(network().to(device), INPUTS.to(device), LABELS.to(device), draws=16, queries=8)
        for device in ("cpu", "cuda")
    ]
    for layer in ("1", "3"):
        for quantity in ("I(X;T)", "I(T;Y)", "h(T)"):
            on_cpu, on_device = (table[layer, quantity] for table in tables)
            error = math.hypot(on_cpu.plug_in_error, on_device.plug_in_error)
            assert abs(on_cpu.plug_in - on_device.plug_in) < STANDARD_ERRORS * error
            assert max(on_cpu.lower, on_device.lower) < min(on_cpu.upper, on_device.upper)


def test_measurement_copies_numbers_but_no_signals_to_the_host(copies_to_host):
    noisy, inputs, queries, draws, width = network(width=12).to("cuda"), INPUTS.cuda(), 2, 16, 12
    copies_to_host()
    layerbits.layer_information(noisy, inputs, LABELS.cuda(), draws=draws, queries=queries)
    # The jackknife has a number for each query and each omitted query of its input. Weights and inputs are hashed.
    hashed = max(tensor.nbytes for tensor in (*noisy.parameters(), inputs))
    limit = max(8 * len(INPUTS) * queries**2, hashed)
    assert limit < 8 * len(INPUTS) * width  # the bytes of one draw of the signals
    assert max(copies_to_host()) <= limit


def test_repeated_information_has_the_same_bits():
    noisy, inputs = network().to("cuda"), INPUTS.cuda()
    table, repeated = (layerbits.layer_information(noisy, inputs, draws=4, seed=3) for _ in range(2))
    assert [row.value for row in table.rows] == [row.value for row in repeated.rows]


def test_inputs_of_another_device_are_refused():
    with pytest.raises(ValueError, match=r"inputs: .* same device"):
        layerbits.layer_information(network().to("cuda"), INPUTS)
