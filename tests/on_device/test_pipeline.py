"""What layerbits does with tensors of a device: the same as on the CPU, there, and nothing but results back."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import layerbits

EPS = torch.finfo(torch.float64).eps


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(sigma=0.3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    return layerbits.noisify(model, sigma=sigma)


INPUTS, LABELS = normal(24, 4), torch.arange(24) % 2


def test_density_has_gradients_on_the_device(copies_to_host):
    points, centers = normal(30, 3, seed=1), normal(500, 3, seed=2)
    results = []
    for device in ("cpu", "cuda"):
        here = [x.detach().to(device).requires_grad_() for x in (points, centers)]
        copies_to_host()
        density = layerbits.mixture_log_density(*here, 0.8)
        density.sum().backward()
        assert copies_to_host() == []
        results.append([x.detach() for x in (density, here[0].grad, here[1].grad)])
    for on_cpu, on_device in zip(*results, strict=True):
        assert on_device.device.type == "cuda"
        # The kernels' bound, with exponents below 100, for sums of at most 500 terms.
        torch.testing.assert_close(on_device.cpu(), on_cpu, rtol=0, atol=2 * 1000 * EPS)


def test_density_is_that_of_its_device(second_device):
    points = normal(5, 2)
    want = layerbits.mixture_log_density(points, points, 0.5)
    got = layerbits.mixture_log_density(points.to(second_device), points.to(second_device), 0.5)
    assert str(got.device) == second_device
    torch.testing.assert_close(got.cpu(), want, rtol=0, atol=100 * EPS)
    with pytest.raises(ValueError, match="device 1"):
        layerbits.mixture_log_density(points.to("cuda:0"), points.to(second_device), 0.5)


def test_noise_is_drawn_on_the_device_and_goes_on_from_a_checkpoint():
    noisy = network().to("cuda")
    inputs = INPUTS.cuda()
    first = noisy(inputs)
    assert first.device.type == "cuda"
    state = copy.deepcopy(noisy.state_dict())
    second = noisy(inputs)
    assert not torch.equal(first, second)
    resumed = network().to("cuda")
    resumed.load_state_dict(state)
    assert torch.equal(resumed(inputs), second)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_a_noisy_network_trains(optimizer):
    noisy = network(0.1).to("cuda")
    steps = optimizer(noisy.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        steps.zero_grad()
        loss = nn.functional.cross_entropy(noisy(INPUTS.cuda()), LABELS.cuda())
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_a_noisy_network_computes_what_it_does_on_the_cpu():
    noisy = network()
    with noisy.noise_off():
        want = noisy(INPUTS)
    noisy.to("cuda")
    with noisy.noise_off():
        torch.testing.assert_close(noisy(INPUTS.cuda()).cpu(), want, rtol=0, atol=100 * EPS)
