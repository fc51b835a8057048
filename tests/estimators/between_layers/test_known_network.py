"""I(T_k;T_l) with `estimator="known"`: T_k takes the place of the input, the noises between the layers that of W.

At CONFIDENCE a correct interval misses the true value in one of a million tests; seeds are fixed.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from layerbits import DropoutNoise, information_between_layers, noisify
from layerbits.estimators.between_layers.chain import LayerPair
from layerbits.estimators.known_network.density_estimates import OwnEstimates
from layerbits.estimators.known_network.entropy_ends import EntropyMeasure
from layerbits.estimators.known_network.network_signal_model import NetworkSignalModel, whitened
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.kernels import NO_WORKERS
from layerbits.networks import MAX_MEMORY, GivenNoises, read_inputs
from tests.support.answers import entropy
from tests.support.networks import Jitter, LinearChain, ScalarChain, noisy_identities, tanh_mlp
from tests.support.random_arrays import normal_tensor

CONFIDENCE = 1 - 1e-6

pytestmark = pytest.mark.usefixtures("one_thread")


def model_given(noisy, inputs, values):
    """Return the model of the third layer, given values of the first one for each input."""
    data = read_inputs(inputs, noisy, max_memory=MAX_MEMORY)
    pair = LayerPair.of(noisy, data, ("0", "2"), MAX_MEMORY, NO_WORKERS)
    given = GivenNoises(pair.network, pair.inputs, "2", whitened(pair.noise), ("0", values))
    return NetworkSignalModel.of_passes(given, pair.noise, is_whole=True)


def test_densities_given_the_first_layer_of_a_linear_network_are_exact():
    """T_3 given T_1 is Gaussian, as the linear model says: every weight is its density, up to rounding.

    A sigma in float32 has a relative error of 2^-25, which changes a log density by 2^-25 (d + the squares), < 1e-6.
    """
    chain, values = LinearChain(), normal_tensor(30, 3, seed=5)
    model = model_given(chain.noisy(), chain.inputs(), values)
    assert model.noise_size == 3  # the noise of the second layer alone
    queries = KnownQueries.sample(model, [30], 1)
    estimates = OwnEstimates.of(Proposals(model, 0, 2**26), queries, 4, 2)
    means = values @ chain.weights[1].T @ chain.weights[2].T / chain.sigma
    covariance = chain.covariance(1, 3) / chain.sigma**2
    offsets = (queries.points - means).numpy()
    truth = stats.multivariate_normal(np.zeros(2), covariance).logpdf(offsets) + math.log(2 * math.pi)
    for log_densities in (estimates.linear, estimates.fresh):
        np.testing.assert_allclose(log_densities.numpy(), truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pair", [(1, 2), (1, 3)])
def test_interval_of_a_scalar_network_contains_the_value_by_quadrature(pair):
    first, last = pair
    chain = ScalarChain((-1, -0.5, 0, 0.5, 1), gains=(2.0,) * 3, sigma=0.25)
    channel = np.linalg.matrix_power(chain.kernel(1) * chain.step, last - first) / chain.step
    density = chain.densities(first).mean(0)
    given_first = density @ [entropy(row, chain.axis) for row in channel] * chain.step
    value = entropy(chain.densities(last).mean(0), chain.axis) - given_first
    names = (str(2 * layer - 1) for layer in pair)
    interval = information_between_layers(
        chain.noisy(), chain.inputs(20), *names, confidence=CONFIDENCE, estimator="known"
    )
    assert interval.lower <= value <= interval.upper
    assert interval.lower > 0


def test_wide_density_depends_on_no_value_of_the_final_passes():
    noisy, inputs, values = LinearChain().noisy(), LinearChain().inputs(), normal_tensor(30, 3, seed=5)
    largest = []
    for factor in (1, 100):
        changed = torch.cat([values[:10], factor * values[10:]])
        proposals = Proposals(model_given(noisy, inputs, changed), 0, 2**26)
        largest.append(EntropyMeasure.of(proposals, 20, 0.01, 10).largest)
    assert largest[0] == largest[1]


def test_layers_that_the_estimator_does_not_know_are_refused():
    inputs = normal_tensor(8, 4)
    with pytest.raises(ValueError, match="estimator: got 'auto', wanted 'draws' or 'known'"):
        information_between_layers(noisy_identities(2), inputs, "0", "1", estimator="auto")
    noisy = noisify(tanh_mlp(4, 4, 4, 2), sigma={"1": 0.5, "3": DropoutNoise(0.5, 0.1)})
    with pytest.raises(ValueError, match=r"got 'known' for '3', which has DropoutNoise\(alpha=0.5, sigma=0.1\)"):
        information_between_layers(noisy, inputs.float(), "1", "3", estimator="known")
    random = noisify(nn.Sequential(nn.Tanh(), Jitter(), nn.Tanh()), sigma=0.5, layers=nn.Tanh)
    with pytest.raises(ValueError, match="'2' on which random numbers of the network itself act"):
        information_between_layers(random, inputs, "0", "2", estimator="known")
