"""The sigma at which a layer keeps a share of log N."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

import layerbits as lb
from tests.support.networks import Jitter, tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(120, 4, seed=3).float()


def surprisal_moment(sigma, power):
    """Compute E (log p(T|S) / p(T))^power for S = -1 or 1 with equal probability and T = S + sigma Z, by quadrature."""

    def integrand(z):
        surprisal = math.log(2) - np.log1p(np.exp(-2 * (1 + sigma * z) / sigma**2))
        return np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * surprisal**power

    return quad(integrand, -12, 12, epsabs=1e-10)[0]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_sigma_of_two_points_leaves_the_share(share):
    """The error is at most five standard errors plus that of a line between two sigmas.

    A line over a step of h = log 2 / 7 in log sigma errs by at most h^2 / 8 max |I''| = .001 nats.
    """
    model, points = nn.Sequential(nn.Identity(), nn.Linear(1, 1)), torch.tensor([[-1.0], [1.0]])
    sigma = lb.suggest_sigma(model, points, share=share, layers="0", queries=20_000)["0"]
    information = surprisal_moment(sigma, 1)
    standard_error = math.sqrt((surprisal_moment(sigma, 2) - information**2) / 40_000)
    assert abs(information - share * math.log(2)) < 5 * standard_error + 0.001


def test_close_pairs_in_float64_keep_their_share():
    """Eight pairs: sigma is far below their distances and near that within a pair."""
    points = torch.arange(8, dtype=torch.float64).repeat_interleave(2)[:, None] / 8
    points[1::2] += 1e-13
    model = nn.Sequential(nn.Identity(), nn.Linear(1, 1)).double()
    sigma = lb.suggest_sigma(model, points, share=0.95, layers="0")["0"]
    estimate = lb.mixture_information(points, sigma, tolerance=0.002)
    assert float(estimate) == pytest.approx(0.95 * math.log(16), abs=0.03)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_sigma_scales_with_the_layer(scale):
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    sigma = lb.suggest_sigma(model, INPUTS, layers="0")["0"]
    with torch.no_grad():
        model[0].weight.mul_(scale)
        model[0].bias.mul_(scale)
    # The noise in units of the layer is the same, but float32 rounds the weights and the activations.
    assert lb.suggest_sigma(model, INPUTS, layers="0")["0"] == pytest.approx(scale * sigma, rel=1e-4)


def test_every_layer_keeps_the_share_in_a_measurement():
    model = tanh_mlp(4, 16, 3, 2)
    sigma = lb.suggest_sigma(model, INPUTS, share=0.6)
    assert list(sigma) == ["1", "3"]
    for row in lb.layer_information(model, INPUTS, sigma=sigma, queries=400):
        if row.quantity == "I(X;T)":
            # Surprisals have a standard deviation of at most log 120: five standard errors of 4200 queries.
            assert abs(row.value - 0.6 * math.log(120)) < 5 * math.log(120) / math.sqrt(4200)
    assert lb.suggest_sigma(lb.noisify(model, sigma=sigma, inputs=INPUTS), INPUTS, share=0.6) == sigma


def test_a_network_with_random_numbers_is_refused_as_in_a_profile():
    model = nn.Sequential(nn.Linear(4, 3), Jitter(), nn.Tanh(), nn.Linear(3, 2))
    message = "layers: got '2', whose activations differ in two passes of the same inputs"
    for network in (model, lb.noisify(model, sigma=0.1, layers="2", inputs=INPUTS)):
        with pytest.raises(ValueError, match=f"^{message}"):
            lb.suggest_sigma(network, INPUTS, layers="2")
    assert lb.suggest_sigma(model, INPUTS, layers="0")["0"] > 0


def test_sigma_falls_as_the_share_grows():
    model = tanh_mlp(4, 3, 2)
    sigmas = [lb.suggest_sigma(model, INPUTS, share=share)["1"] for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert sigmas == sorted(sigmas, reverse=True)


def test_a_layer_whose_inputs_are_equal_is_refused():
    model = tanh_mlp(4, 3, 2)
    with pytest.raises(ValueError, match=r"share: got 0\.5, but the activations of '1' are equal"):
        lb.suggest_sigma(model, torch.ones(10, 4))
    repeated = INPUTS[:2].repeat(50, 1)  # the information is at most log 2, less than half of log 100
    with pytest.raises(ValueError, match=r"share: got 0\.5, but the activations of '1' are equal"):
        lb.suggest_sigma(model, repeated)
    assert lb.suggest_sigma(model, repeated, share=0.1)["1"] > 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"share": 0}, ValueError, "share: got 0, wanted"),
        ({"share": 1.0}, ValueError, "share: got 1.0, wanted"),
        ({"share": math.nan}, ValueError, "share: got nan, wanted"),
        ({"share": "half"}, TypeError, "share: got str"),
        ({"inputs": INPUTS[:1]}, ValueError, "inputs: got a single input"),
        ({"layers": "x"}, ValueError, "layers: 'x' matches no layer"),
        ({"queries": 1}, ValueError, "queries: got 1"),
        ({"queries": 2**63}, ValueError, "queries: got 9223372036854775808, wanted at most 2236962 for 120 inputs"),
    ],
)
def test_bad_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        lb.suggest_sigma(**{"model": tanh_mlp(4, 3, 2), "inputs": INPUTS} | options)
