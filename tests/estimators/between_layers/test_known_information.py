"""I(T_k;T_l) of networks for which it is known: by quadrature, for Gaussian channels, for separated inputs.

At CONFIDENCE a correct interval of normal terms misses the true value in one of a million tests; seeds are fixed.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from layerbits import information_between_layers, layer_information, noisify
from tests.support.answers import entropy, gaussian_mixture_information, normal
from tests.support.early_ends import allowed_misses, excess_misses
from tests.support.networks import LinearChain, ScalarChain, dense, noisy_identities, three_tanh_layers
from tests.support.random_arrays import normal_tensor

CONFIDENCE = 1 - 1e-6
PAIRS = [(1, 2), (2, 3), (1, 3)]

pytestmark = pytest.mark.usefixtures("one_thread")


def scalar_chain(gain=2.0, sigma=0.25, values=(-1, -0.5, 0, 0.5, 1)):
    return ScalarChain(values, gains=(gain,) * 3, sigma=sigma)


def estimate(chain, pair, copies=1, **options):
    first, second = (str(2 * layer - 1) for layer in pair)
    return information_between_layers(chain.noisy(), chain.inputs(copies), first, second, **options)


def truth(chain, pair):
    """Return h(T_l) - h(T_l|T_k) by quadrature."""
    first, last = pair
    channel = np.linalg.matrix_power(chain.kernel(1) * chain.step, last - first) / chain.step
    density = chain.densities(first).mean(0)
    conditional = density @ [entropy(row, chain.axis) for row in channel] * chain.step
    return entropy(chain.densities(last).mean(0), chain.axis) - conditional


@pytest.mark.parametrize(
    ("chain", "copies", "pair"),
    [
        (scalar_chain(), 100, (1, 2)),
        (scalar_chain(), 100, (1, 3)),
        (scalar_chain(gain=4, sigma=0.05, values=np.linspace(-1, 1, 7)), 20, (2, 3)),
        (scalar_chain(gain=4, sigma=0.05, values=np.linspace(-1, 1, 7)), 20, (1, 3)),
        (scalar_chain(values=[0.3]), 1, (1, 2)),
        (scalar_chain(values=[0.3]), 1, (1, 3)),
        (scalar_chain(sigma=2.0), 20, (2, 3)),
        (scalar_chain(sigma=2.0), 20, (1, 3)),
    ],
    ids=[
        "smooth",
        "smooth, apart",
        "steep",
        "steep, apart",
        "one input",
        "one input, apart",
        "much noise",
        "much noise, apart",
    ],
)
def test_interval_of_a_scalar_network_contains_the_true_value(chain, copies, pair):
    interval = estimate(chain, pair, copies, confidence=CONFIDENCE)
    assert interval.lower <= truth(chain, pair) <= interval.upper


@pytest.mark.parametrize(
    ("chain", "pair"),
    [
        (scalar_chain(), (1, 2)),
        (scalar_chain(), (1, 3)),
        (scalar_chain(gain=50, sigma=0.3, values=[-20, 20]), (1, 2)),
        (scalar_chain(gain=50, sigma=0.3, values=[-20, 20]), (1, 3)),
    ],
    ids=["neighbours", "apart", "clusters 7 sigma apart", "clusters 7 sigma apart, not neighbours"],
)
def test_intervals_of_several_seeds_miss_the_true_value_no_more_often_than_they_may(chain, pair):
    """Correct intervals of 95 % miss too often once in a million runs."""
    value = truth(chain, pair)

    def misses_of(seeds):
        intervals = (estimate(chain, pair, draws=8, seed=seed) for seed in seeds)
        return ["I(T_k;T_l)" for interval in intervals if not interval.lower <= value <= interval.upper]

    assert excess_misses(misses_of, allowed_misses(12, 0.05, 1e-6)) == {}


def test_interval_between_neighbours_is_nearly_as_narrow_as_with_known_densities():
    """Known densities give a width from the spread over the queries of an input; a quarter more is allowed."""
    chain, copies, queries = scalar_chain(), 100, 4
    channel = chain.kernel(1)
    first_densities = normal(chain.axis - np.tanh(2 * chain.values)[:, None], chain.sigma)
    terms = np.log(channel / chain.densities(2).mean(0))  # (t_1, t_2)
    moments = [(first_densities @ (channel * terms**power).sum(1)) * chain.step**2 for power in (1, 2)]
    variance = np.mean(moments[1] - moments[0] ** 2) / (len(first_densities) * copies * queries)
    interval = estimate(chain, (1, 2), copies, queries=queries)
    assert interval.upper - interval.lower <= 1.25 * 2 * stats.norm.isf(0.025) * math.sqrt(variance)


@pytest.mark.parametrize(("pair", "draws"), [((1, 2), 2), ((2, 3), 64), ((1, 3), 2), ((1, 3), 64)])
def test_interval_of_a_linear_chain_contains_the_true_value(pair, draws):
    """The true value is h(T_l) - h(T_l|X) by Monte Carlo plus h(T_l|X) - h(T_l|T_k) of Gaussians."""
    chain, (first, last) = LinearChain(), pair
    total = chain.covariance(0, last)
    value, error = gaussian_mixture_information(chain.means(last), total, 100_000, seed=1)
    ratio = np.linalg.slogdet(total)[1] - np.linalg.slogdet(chain.covariance(first, last))[1]
    options = {"draws": draws, "confidence": CONFIDENCE}
    interval = information_between_layers(chain.noisy(), chain.inputs(10), str(first - 1), str(last - 1), **options)
    assert interval.lower - 5 * error <= value + ratio / 2 <= interval.upper + 5 * error


def separated_inputs(n_inputs, dim):
    """Return inputs that are 10,000 apart, which adds log n to the information of the noise."""
    return normal_tensor(n_inputs, dim) + 1e4 * torch.arange(n_inputs)[:, None]


@pytest.mark.parametrize("sigmas", [(0.5,) * 4, (0.5, 0.2, 1.0), (0.2, 1.0, 0.5)])
@pytest.mark.parametrize("last", [1, 2])
def test_separated_inputs_add_log_n_to_the_information_of_their_noise(sigmas, last):
    """T_k has the variance of the first noise, T_l that of all noises up to its own."""
    powers = np.square(sigmas[: last + 1])
    value = math.log(20) - 3 / 2 * math.log(1 - powers[0] / powers.sum())
    by_layer = {str(layer): sigma for layer, sigma in enumerate(sigmas)}
    noisy = noisify(nn.Sequential(*(nn.Identity() for _ in sigmas)), sigma=by_layer, layers=nn.Identity)
    options = {"draws": 64, "queries": 32, "confidence": CONFIDENCE}
    interval = information_between_layers(noisy, separated_inputs(20, 3), "0", str(last), **options)
    assert interval.lower <= value <= interval.upper
    assert interval.upper - interval.lower < 1.5 + max(0.0, value - math.log(20))


def test_upper_end_is_above_the_true_value_where_few_draws_limit_a_plug_in():
    """A plug-in of 2048 inputs with 3 draws and 2 queries is at most log(2048 (3 + 2)) = 9.2."""
    value = math.log(2048) + 6 / 2 * math.log(2)
    interval = information_between_layers(noisy_identities(2), separated_inputs(2048, 6), "0", "1", draws=2, queries=2)
    assert interval.lower < math.log(2048 * 5) < value < interval.upper


def test_gaussian_density_gives_a_lower_end_where_draws_given_the_first_layer_lie_apart():
    """The mixture of seven draws that spread over ten sigmas would give a lower end of 0; the value is 3.34."""
    network = nn.Sequential(nn.Identity(), nn.Identity(), dense(torch.full((1, 1), 10.0)))
    noisy = noisify(network, sigma=0.5, layers=["0", "1", "2"])
    inputs = 1e4 * torch.arange(20)[:, None].double()
    interval = information_between_layers(noisy, inputs, "0", "2", draws=8, queries=32)
    assert 2 < interval.lower < math.log(20) + math.log(201 / 101) / 2 < interval.upper


def test_value_is_the_midpoint_without_an_error_where_the_bounds_are_far_apart():
    """Draws given T_k are a million sigmas apart: their mixture gives no better lower bound than 0."""
    network = nn.Sequential(nn.Identity(), nn.Identity(), dense(torch.full((1, 1), 1e6)))
    noisy = noisify(network, sigma=0.005, layers=["0", "1", "2"])
    interval = information_between_layers(noisy, normal_tensor(20, 1), "0", "2", draws=4)
    assert interval.lower == 0
    assert interval.upper > 10
    assert interval.value == interval.upper / 2
    assert math.isnan(interval.standard_error)


# Data processing


def test_nearer_layers_share_more_information():
    """I(X;T_3) < I(T_1;T_3) < I(T_2;T_3) and I(T_1;T_3) < I(T_1;T_2), by intervals that do not overlap."""
    noisy, inputs = three_tanh_layers(), normal_tensor(300, 4, seed=9)
    input_and_third = layer_information(noisy, inputs, layers="5")["5", "I(X;T)"]
    first_and_third, second_and_third = (information_between_layers(noisy, inputs, first, "5") for first in ("1", "3"))
    first_and_second = information_between_layers(noisy, inputs, "1", "3")
    assert input_and_third.upper < first_and_third.lower
    assert first_and_third.upper < min(second_and_third.lower, first_and_second.lower)
