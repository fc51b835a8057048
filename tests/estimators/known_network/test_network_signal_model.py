"""The whitened signals of a layer or readout of a network, with their volume and range."""

import math

import pytest
import torch
from torch import nn

from layerbits import noisify
from layerbits.estimators.known_network.network_signal_model import NetworkSignalModel
from layerbits.estimators.known_network.signal_model import SignalModel
from layerbits.estimators.problem import Problem
from layerbits.networks import Tokens, read_inputs
from tests.support.networks import dense, tanh_mlp
from tests.support.random_arrays import normal_tensor

pytestmark = pytest.mark.usefixtures("one_thread")

INPUTS = normal_tensor(6, 4, seed=1)
COVARIANCE = torch.tensor([[0.2, 0.1], [0.1, 0.3]], dtype=torch.float64)

# Rounding errors of under 1000 operations in float64, with values of order 1.
ROUNDING = 1e-12


def model_of(noisy, inputs=INPUTS, name="3", **options) -> SignalModel:
    return NetworkSignalModel.of(Problem.of(noisy, read_inputs(inputs, noisy), **options), name)


def network(sigma):
    """Return a network with noise 0.5 in layer 1 and sigma in layer 3, and a function for the signals of layer 3."""
    noisy = noisify(tanh_mlp(4, 3, 2, 2, dtype=torch.float64), sigma={"1": 0.5, "3": sigma})

    def signals(rows, noises):
        with torch.no_grad():
            hidden = torch.tanh(noisy[0](INPUTS[rows])) + 0.5 * noises
            return torch.tanh(noisy[2](hidden))

    return noisy, signals


ROWS, NOISES = torch.tensor([0, 5, 2, 0]), normal_tensor(4, 3, seed=2)

FACTORS = {
    "number": (0.3, 0.3 * torch.eye(2, dtype=torch.float64)),
    "deviations": (torch.tensor([0.2, 0.4]), torch.diag(torch.tensor([0.2, 0.4]).double())),
    "covariance": (COVARIANCE, torch.linalg.cholesky(COVARIANCE)),
}


@pytest.mark.parametrize("kind", FACTORS)
def test_signals_are_whitened_and_have_the_volume_of_the_noise(kind):
    sigma, factor = FACTORS[kind]
    noisy, signals = network(sigma)
    model = model_of(noisy)
    assert (model.n_inputs, model.n_units, model.noise_size) == (6, 2, 3)
    torch.testing.assert_close(model.signals(ROWS, NOISES) @ factor.mT, signals(ROWS, NOISES), rtol=0, atol=ROUNDING)
    assert model.log_volume == pytest.approx(float(torch.linalg.slogdet(factor).logabsdet), rel=ROUNDING)


@pytest.mark.parametrize("kind", FACTORS)
def test_derivatives_are_those_of_the_whitened_signals(kind):
    model = model_of(network(FACTORS[kind][0])[0])
    jacobians, step = model.jacobians(ROWS, NOISES), 1e-5 * torch.eye(3, dtype=torch.float64)
    tangents, cotangents = normal_tensor(4, 3, 2, seed=3), normal_tensor(4, 2, 2, seed=4)
    torch.testing.assert_close(model.pushforward(ROWS, NOISES, tangents), jacobians @ tangents, rtol=0, atol=ROUNDING)
    torch.testing.assert_close(
        model.pullback(ROWS, NOISES, cotangents), jacobians.mT @ cotangents, rtol=0, atol=ROUNDING
    )
    points = normal_tensor(4, 2, seed=5)
    signals, products = model.residual_products(ROWS, NOISES, points)
    torch.testing.assert_close(signals, model.signals(ROWS, NOISES), rtol=0, atol=ROUNDING)
    expected = (jacobians.mT @ (points - signals)[..., None])[..., 0]
    torch.testing.assert_close(products, expected, rtol=0, atol=ROUNDING)
    for unit, direction in enumerate(step):
        difference = (model.signals(ROWS, NOISES + direction) - model.signals(ROWS, NOISES - direction)) / 2e-5
        # Third derivatives of order 1 in whitened units of 0.2, and rounding of 1e-12 / 1e-5.
        torch.testing.assert_close(jacobians[:, :, unit], difference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", FACTORS)
def test_range_bounds_the_whitened_signals(kind):
    sigma, factor = FACTORS[kind]
    model = model_of(network(sigma)[0])
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 2)
    largest = torch.linalg.vector_norm(torch.linalg.solve_triangular(factor, corners.mT, upper=False), dim=0).max()
    assert largest <= model.signals_range * (1 + ROUNDING)
    if kind != "covariance":
        assert model.signals_range == pytest.approx(float(largest), rel=1e-6)  # float32 deviations


def test_range_of_unbounded_values_is_infinite():
    layers = dense(normal_tensor(3, 4, seed=5)), nn.ReLU(), dense(normal_tensor(2, 3, seed=6)), nn.ReLU()
    assert model_of(noisify(nn.Sequential(*layers), sigma=0.3, layers=nn.ReLU)).signals_range == math.inf


class Blocks(nn.Module):
    """Two value-by-value layers on tokens (n, 3, 2)."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Tanh(), nn.Tanh()

    def forward(self, x, mask):
        return self.b(2 * self.a(x))


TOKENS = normal_tensor(4, 3, 2, seed=7)
MASK = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])


@pytest.mark.parametrize(("readout", "name"), [("mean", "b[mean]"), (Tokens("mean", mask=1), "b[mean mask=1]")])
def test_readout_is_the_mean_of_the_tokens(readout, name):
    noisy = noisify(Blocks(), sigma=0.3, layers=nn.Tanh, inputs=(TOKENS, MASK))
    model = model_of(noisy, (TOKENS, MASK), name, readout=readout)
    rows, noises = torch.tensor([3, 0, 1]), normal_tensor(3, 6, seed=8)
    values = torch.tanh(2 * (torch.tanh(TOKENS[rows]) + 0.3 * noises.reshape(3, 3, 2)))
    kept = torch.ones(3, 3) if readout == "mean" else MASK[rows]
    means = (values * kept[..., None]).sum(1) / kept.sum(1, keepdim=True)
    # The noise of a mean of 3 tokens, or of 2 with the mask.
    sigma = 0.3 / math.sqrt(3 if readout == "mean" else 2)
    torch.testing.assert_close(model.signals(rows, noises), means / sigma, rtol=0, atol=ROUNDING)
    assert model.log_volume == pytest.approx(2 * math.log(sigma))
    assert model.signals_range == math.inf
