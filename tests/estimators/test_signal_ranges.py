"""The largest distance of signals that activation functions bound."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from layerbits import layer_information, noisify
from layerbits.estimators.signal_ranges import largest_distance
from layerbits.networks import LayerCall, gaussian_noise
from tests.support.networks import INPUTS, tanh_network
from tests.support.random_arrays import normal_tensor


class Doubled(nn.Tanh):
    """A tanh that is not bounded by 1."""

    def forward(self, x):
        return 2 * super().forward(x)


class Calling(nn.Module):
    """A network that calls a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def distance(module, sigma=1.0, dim=4, function=""):
    return largest_distance(LayerCall("1", "1", module, function=function), gaussian_noise(sigma), dim)


@pytest.mark.parametrize(
    ("module", "width"),
    [(nn.Tanh(), 2), (nn.Sigmoid(), 1), (nn.Hardtanh(-1, 3), 4), (nn.ReLU6(), 6), (nn.Softmax(-1), 1)],
)
def test_bounded_modules_have_their_width_in_every_unit(module, width):
    assert distance(module) == 2 * width


@pytest.mark.parametrize("module", [nn.ReLU(), nn.Identity(), nn.Linear(2, 2), Doubled()])
def test_other_modules_have_no_bound(module):
    assert distance(module) == math.inf


def test_module_whose_output_a_hook_may_change_has_no_bound():
    module = nn.Tanh()
    handle = module.register_forward_hook(lambda _, inputs, output: 2 * output)
    assert distance(module) == math.inf
    handle.remove()
    module.forward = lambda x: 3 * x
    assert distance(module) == math.inf


def test_functions_are_known_by_name():
    assert (distance(nn.Linear(1, 1), function="tanh"), distance(nn.Tanh(), function="relu")) == (4, math.inf)


@pytest.mark.parametrize("covariance", [torch.tensor([0.5, 1.0, 2.0]).double(), torch.eye(3).double() + 1])
def test_distances_of_whitened_corners_are_at_most_the_bound(covariance):
    noise = gaussian_noise(covariance)
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 3)
    whitened = noise.whiten(corners)
    largest = torch.cdist(whitened, whitened).max()
    bound = distance(nn.Tanh(), covariance, dim=3)
    assert largest <= bound + 1e-12
    assert bound <= 2 * largest


def test_entropies_of_tanh_layers_assume_no_tail():
    rows = layer_information(tanh_network(), INPUTS, draws=8, estimator="draws")
    assert not any(row.flags for row in rows)


def test_entropies_of_other_layers_behind_noise_assume_their_tail():
    noisy = noisify(nn.Sequential(nn.Identity(), Calling(functional.relu)), sigma=0.5, layers=["0", "1"])
    flags = {
        (row.layer, row.quantity): row.flags
        for row in layer_information(noisy, normal_tensor(20, 2), draws=8, estimator="draws")
    }
    assumed = {key for key, value in flags.items() if value == ("tail_assumed",)}
    assert assumed == {("1", "h(T)"), ("1", "h(T|X)")}
