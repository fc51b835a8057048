"""I(T_k;T_l) against truth found otherwise: quadrature, Gaussian channels, and what data processing rules out.

At the confidence SURE a right interval misses the truth in one of a million tests, were terms normal; seeds are fixed.
"""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from layerbits import LayerSelectionError, NoNoiseError, information_between_layers, layer_information, noisify
from tests.support.answers import entropy, gaussian_mixture_information, grid, normal

SURE = 1 - 1e-6


@pytest.fixture(autouse=True)
def one_thread():
    """The passes are small, and threads that wait for a busy machine would take most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def dense(weight):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


class ScalarNetwork:
    """Three layers T_l = tanh(gain T_(l-1)) + Z, with all densities by quadrature."""

    def __init__(self, gain=2.0, sigma=0.25, values=(-1, -0.5, 0, 0.5, 1)):
        self.gain, self.sigma, self.values = gain, sigma, np.asarray(values, float)
        self.axis = grid(-1, 1, sigma)
        step = self.axis[1] - self.axis[0]
        self.kernel = normal(self.axis - np.tanh(gain * self.axis)[:, None], sigma) * step  # (t_l, t_(l+1))
        first = normal(self.axis - np.tanh(gain * self.values)[:, None], sigma).mean(0)
        self.densities = [first, first @ self.kernel, first @ self.kernel @ self.kernel]
        self.step = step

    def noisy(self):
        layers = [layer for _ in range(3) for layer in (dense(torch.full((1, 1), self.gain)), nn.Tanh())]
        return noisify(nn.Sequential(*layers), sigma=self.sigma, layers=nn.Tanh)

    def estimate(self, pair, copies=1, **options):
        first, second = (str(2 * layer - 1) for layer in pair)
        inputs = torch.from_numpy(self.values.repeat(copies)[:, None])
        return information_between_layers(self.noisy(), inputs, first, second, **options)

    def truth(self, pair):
        k, last = pair
        channel = np.linalg.matrix_power(self.kernel, last - k) / self.step
        given = self.densities[k - 1] @ [entropy(row, self.axis) for row in channel] * self.step
        return entropy(self.densities[last - 1], self.axis) - given


PAIRS = [(1, 2), (2, 3), (1, 3)]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(
    ("network", "copies"),
    [
        (ScalarNetwork(), 100),
        (ScalarNetwork(gain=4, sigma=0.05, values=np.linspace(-1, 1, 7)), 20),
        (ScalarNetwork(values=[0.3]), 1),
        (ScalarNetwork(sigma=2.0), 20),
    ],
    ids=["smooth", "steep", "one input", "drowned"],
)
def test_interval_of_a_scalar_network_holds_the_truth(network, copies, pair):
    estimate = network.estimate(pair, copies, confidence=SURE)
    assert estimate.lower <= network.truth(pair) <= estimate.upper


@pytest.mark.parametrize("pair", PAIRS)
def test_intervals_of_many_seeds_miss_the_truth_no_more_often_than_they_may(pair):
    """Misses of 40 at 95 % are binomial; a right interval has more than this once in a million suites."""
    network = ScalarNetwork()
    estimates = [network.estimate(pair, draws=8, seed=seed) for seed in range(40)]
    misses = sum(not estimate.lower <= network.truth(pair) <= estimate.upper for estimate in estimates)
    assert misses <= stats.binom.isf(1e-6, 40, 0.05)


def test_interval_between_neighbours_is_nearly_as_narrow_as_with_known_densities():
    """Known densities leave the spread of the queries of an input, by quadrature here: at most a quarter is added."""
    network, copies, queries = ScalarNetwork(), 100, 4
    step, channel = network.step, network.kernel / network.step
    firsts = normal(network.axis - np.tanh(2 * network.values)[:, None], network.sigma)
    terms = np.log(channel / network.densities[1])  # (t_1, t_2)
    moments = [(firsts @ (channel * terms**power).sum(1)) * step**2 for power in (1, 2)]
    variance = np.mean(moments[1] - moments[0] ** 2) / (len(firsts) * copies * queries)
    estimate = network.estimate((1, 2), copies, queries=queries)
    assert estimate.upper - estimate.lower <= 1.25 * 2 * stats.norm.isf(0.025) * math.sqrt(variance)


class LinearChain:
    """Three linear layers and inputs that are drawn and fixed: everything is Gaussian given an input or a layer."""

    sigma = 0.6
    weights = (random(3, 4, seed=1) / 2, random(3, 3, seed=2) / 2, random(2, 3, seed=3))
    values = random(30, 4, seed=4)

    def covariance(self, first, last):
        """Of T_last given T_first, or given the input, which is layer 0."""
        width = self.weights[first].shape[1]
        covariance = torch.zeros(width, width).double()
        for weight in self.weights[first:last]:
            covariance = weight @ covariance @ weight.T + self.sigma**2 * torch.eye(len(weight))
        return covariance.numpy()

    def means(self, last):
        means = self.values
        for weight in self.weights[:last]:
            means = means @ weight.T
        return means.numpy()

    def truth(self, first, last):
        """(value, standard error): h(T_l) - h(T_l|X) by Monte Carlo, h(T_l|X) - h(T_l|T_k) of Gaussians."""
        total = self.covariance(0, last)
        value, error = gaussian_mixture_information(self.means(last), total, 100_000, seed=1)
        ratio = np.linalg.slogdet(total)[1] - np.linalg.slogdet(self.covariance(first, last))[1]
        return value + ratio / 2, error


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("draws", [2, 64])
def test_interval_of_a_linear_chain_holds_the_truth(pair, draws):
    chain = LinearChain()
    noisy = noisify(nn.Sequential(*map(dense, chain.weights)), sigma=chain.sigma, layers=nn.Linear)
    first, second = (str(layer - 1) for layer in pair)
    inputs = chain.values.repeat(10, 1)
    estimate = information_between_layers(noisy, inputs, first, second, draws=draws, confidence=SURE)
    truth, error = chain.truth(*pair)
    assert estimate.lower - 5 * error <= truth <= estimate.upper + 5 * error


def identities(count, sigma=0.5):
    """Layers that add noise and do nothing else, named "0", "1", ..."""
    return noisify(nn.Sequential(*(nn.Identity() for _ in range(count))), sigma=sigma, layers=nn.Identity)


@pytest.mark.parametrize(("last", "noises"), [("1", 2), ("3", 4)])
def test_separated_inputs_add_log_n_to_the_information_of_their_noise(last, noises):
    """T_k of variance 1 sigma^2, T_l of as many as noises were added, about inputs 10,000 sigma apart."""
    truth = math.log(20) + 3 / 2 * math.log(noises / (noises - 1))
    inputs = random(20, 3) + 1e4 * torch.arange(20)[:, None]
    estimate = information_between_layers(identities(4), inputs, "0", last, draws=64, queries=32, confidence=SURE)
    assert estimate.lower <= truth <= estimate.upper
    assert estimate.upper - estimate.lower < 1.5  # of which log 20 is 3.0


# Units of noise that differ from layer to layer: one deviation, one for each unit, a full covariance.
ROOTS = [0.3 * torch.eye(3).double(), torch.tensor([0.2, 1.0, 0.5]).double().diag(), random(3, 3, seed=6).tril() + 2]
KINDS = {"0": 0.3, "1": ROOTS[1].diagonal(), "2": ROOTS[2] @ ROOTS[2].mT}


@pytest.mark.parametrize("last", ["1", "2"])
@pytest.mark.parametrize("places", [(0, 1, 2), (2, 1, 0)])
def test_information_is_that_of_whitened_layers_with_isotropic_noise(places, last):
    """Of the same random numbers; apart from rounding, of 1e-16 in values a hundred sigmas from the mean."""
    roots = [torch.linalg.cholesky(ROOTS[place] @ ROOTS[place].mT) for place in places]
    kinds = {str(layer): KINDS[str(place)] for layer, place in enumerate(places)}
    inputs = random(30, 3)
    layers = nn.Sequential(*(nn.Identity() for _ in roots))
    estimate = information_between_layers(noisify(layers, sigma=kinds, layers=nn.Identity), inputs, "0", last)
    maps = [torch.linalg.solve(after, before) for before, after in pairwise(roots)]
    whitened = noisify(nn.Sequential(nn.Identity(), *map(dense, maps)), sigma=1.0, layers=["0", "1", "2"])
    expected = information_between_layers(whitened, torch.linalg.solve(roots[0], inputs.T).T, "0", last)
    assert estimate == dataclasses.replace(
        expected,
        **{
            name: pytest.approx(getattr(expected, name), abs=1e-11)
            for name in ("value", "standard_error", "lower", "upper")
        },
    )


@pytest.mark.parametrize("sigmas", [(0.5, 0.2, 1.0), (0.2, 1.0, 0.5)])
@pytest.mark.parametrize("last", [1, 2])
def test_each_layer_has_a_sigma_of_its_own(sigmas, last):
    """T_k of variance sigma_k^2 and T_l of all up to l, about inputs 10,000 apart."""
    powers = np.square(sigmas[: last + 1])
    truth = math.log(20) - 3 / 2 * math.log(1 - powers[0] / powers.sum())
    noisy = noisify(
        nn.Sequential(*(nn.Identity() for _ in sigmas)), sigma=dict(zip("012", sigmas, strict=True)), layers=nn.Identity
    )
    inputs = random(20, 3) + 1e4 * torch.arange(20)[:, None]
    estimate = information_between_layers(noisy, inputs, "0", str(last), draws=64, queries=32, confidence=SURE)
    assert estimate.lower <= truth <= estimate.upper
    assert estimate.upper - estimate.lower < 1.5 + truth - math.log(20)


def test_what_a_skip_connection_tells_depends_on_the_noise_of_the_layer_that_it_meets():
    network = skipping("a", sigma={"a": 0.1, "b": 0.1, "c": 1e3})
    estimate = information_between_layers(network, INPUTS, "b", "c")
    assert estimate.value < 0.1
    with pytest.raises(ValueError, match="another way"):
        information_between_layers(skipping("a", sigma={"a": 0.1, "b": 1e3, "c": 0.1}), INPUTS, "b", "c")


def test_upper_end_stands_where_too_few_draws_would_make_a_plug_in_too_low():
    """The plug-in is at most log(600 (2 + 2)) = 7.8."""
    truth = math.log(600) + 6 / 2 * math.log(2)
    inputs = random(600, 6) + 1e4 * torch.arange(600)[:, None]
    estimate = information_between_layers(identities(2), inputs, "0", "1", draws=2, queries=2)
    assert estimate.lower < math.log(2400) < truth < estimate.upper


def test_a_gaussian_serves_where_draws_given_the_first_layer_lie_apart():
    """Seven of them, ten noise widths wide: their mixture would give a lower end of 0, nats below the truth of 3.34."""
    network = nn.Sequential(nn.Identity(), nn.Identity(), dense(torch.full((1, 1), 10.0)))
    noisy = noisify(network, sigma=0.5, layers=["0", "1", "2"])
    inputs = 1e4 * torch.arange(20)[:, None].double()
    estimate = information_between_layers(noisy, inputs, "0", "2", draws=8, queries=32)
    assert 2 < estimate.lower < math.log(20) + math.log(201 / 101) / 2 < estimate.upper


def test_bounds_that_say_nothing_leave_a_value_within_them():
    """Draws given T_k are a million noise widths apart: their mixture bounds I by nothing that 0 would not."""
    noisy = noisify(
        nn.Sequential(nn.Identity(), nn.Identity(), dense(1e6 * torch.ones(1, 1).double())), layers=["0", "1", "2"]
    )
    estimate = information_between_layers(noisy, random(20, 1), "0", "2", draws=4)
    assert 0 == estimate.lower < estimate.value < estimate.upper
    assert estimate.standard_error < estimate.upper


def test_ends_move_with_the_confidence_as_quantiles_do():
    """Student's, of 1023 degrees of freedom, whose differences are normal ones to 1 %."""
    levels = [0.5, 0.9, 0.99]
    ends = [
        information_between_layers(identities(2), random(1, 3), "0", "1", confidence=level).lower for level in levels
    ]
    moves = np.diff(ends) / np.diff(stats.norm.ppf([(1 - level) / 2 for level in levels]))
    assert moves[0] == pytest.approx(moves[1], rel=0.02)


def test_orthonormal_map_into_many_dimensions_changes_nothing():
    """The noise across the subspace tells nothing; some of it is estimated as the rest, from other draws."""
    wide = torch.linalg.qr(random(200, 3, seed=5)).Q
    networks = nn.Sequential(nn.Identity(), dense(wide)), nn.Sequential(nn.Identity(), nn.Identity())
    layers = lambda name, module: name in ("0", "1")  # noqa: E731
    embedded, plain = (
        information_between_layers(noisify(one, sigma=0.5, layers=layers), random(30, 3), "0", "1", queries=32)
        for one in networks
    )
    assert abs(embedded.value - plain.value) <= 5 * math.hypot(embedded.standard_error, plain.standard_error)
    assert embedded.upper - embedded.lower == pytest.approx(plain.upper - plain.lower, rel=0.2)


# Data processing


def tanh_network(sigma=0.3):
    widths = [4, 3, 3, 2]
    layers = [
        layer
        for place, (a, b) in enumerate(pairwise(widths))
        for layer in (dense(1.5 * random(b, a, seed=place)), nn.Tanh())
    ]
    return noisify(nn.Sequential(*layers), sigma=sigma, layers=nn.Tanh)


INPUTS = random(300, 4, seed=9)


def test_nearer_layers_share_more():
    """Intervals of I(T_2;T_3), I(T_1;T_3) and I(X;T_3) lie one below the other, and so do those of T_1."""
    noisy = tanh_network()
    with_last, middle = (information_between_layers(noisy, INPUTS, first, "5") for first in ("1", "3"))
    with_input = layer_information(noisy, INPUTS, layers="5")["5", "I(X;T)"]
    with_first = information_between_layers(noisy, INPUTS, "1", "3")
    assert with_input.upper < with_last.lower < with_last.upper < middle.lower
    assert with_last.upper < with_first.lower


def test_interval_narrows_with_draws_and_queries():
    few, many = (
        information_between_layers(tanh_network(), INPUTS, "1", "5", draws=draws, queries=queries)
        for draws, queries in ((4, 2), (64, 16))
    )
    assert few.lower < many.lower < many.upper < few.upper


# What makes no chain


class Skipping(nn.Module):
    """Layers a, b, c; c sees b and, by the name given, the input, a, or nothing else."""

    def __init__(self, seen: str) -> None:
        super().__init__()
        self.seen = seen
        self.a, self.b, self.c = nn.Tanh(), nn.Tanh(), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(a)
        return self.c(b + {"input": 1e-2 * x, "a": 1e-2 * a, "nothing": 0 * x}[self.seen])


def skipping(seen, sigma=0.1):
    return noisify(Skipping(seen), sigma=sigma, layers=nn.Tanh)


@pytest.mark.parametrize(("seen", "first"), [("input", "a"), ("input", "b"), ("a", "b")])
def test_layers_around_a_skip_connection_are_refused(seen, first):
    with pytest.raises(ValueError, match=f"first: got '{first}', but the input acts on 'c' by another way"):
        information_between_layers(skipping(seen), INPUTS, first, "c")


def test_noise_of_an_earlier_layer_is_another_way_for_a_single_input_too():
    with pytest.raises(ValueError, match="another way"):
        information_between_layers(skipping("a"), INPUTS[:1], "b", "c")


@pytest.mark.parametrize(("seen", "first", "second"), [("a", "a", "c"), ("input", "a", "b"), ("nothing", "b", "c")])
def test_skip_connection_within_or_beside_the_chain_is_none_around_it(seen, first, second):
    estimate = information_between_layers(skipping(seen), INPUTS[:20], first, second, draws=4)
    assert 0 < estimate.lower < estimate.upper


# Arguments


def test_arrays_and_tuples_give_the_values_of_tensors():
    wanted = information_between_layers(tanh_network(), INPUTS, "1", "5", draws=4)
    for inputs in (INPUTS.numpy(), (INPUTS,), (INPUTS.numpy(),)):
        assert information_between_layers(tanh_network(), inputs, "1", "5", draws=4) == wanted


def test_seed_decides_the_estimate():
    one, same, other = (information_between_layers(tanh_network(), INPUTS, "1", "3", seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_feature_maps_have_information_in_common():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Conv2d(2, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 1))
    images = random(16, 1, 5, 5).float()
    estimate = information_between_layers(noisify(network, sigma=0.01), images, "1", "3", draws=64)
    assert math.log(16) < estimate.lower < estimate.upper


def test_few_inputs_have_more_queries():
    """1024 in all at the least, a quarter of them more to choose densities, each with its T_k and draws given it."""
    some = {last: information_between_layers(identities(3), INPUTS[:32], "0", last, draws=8).draws for last in "12"}
    many = information_between_layers(identities(3), INPUTS, "0", "2", draws=8).draws
    assert (some, many) == ({"1": 8 + 40 * 2, "2": 8 + 40 * 9}, 8 + 5 * 9)


@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        ("1", "1", ValueError, "second: got '1' as for `first`, wanted a later layer"),
        ("1", "0", ValueError, "first: got '1', which comes after '0'; swap them"),
        ("0", "2", LayerSelectionError, r"got \['2'\], wanted names among the noisy layers: 0, 1"),
        (0, "1", LayerSelectionError, r"got \[0\], wanted names"),
    ],
)
def test_pair_that_is_none_is_refused(first, second, error, message):
    with pytest.raises(error, match=message):
        information_between_layers(identities(2), INPUTS, first, second)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"draws": 1}, ValueError),
        ({"queries": 1}, ValueError),
        ({"confidence": 1}, ValueError),
        ({"seed": "a"}, TypeError),
    ],
)
def test_option_out_of_range_is_refused(option, error):
    with pytest.raises(error, match=next(iter(option))):
        information_between_layers(identities(2), INPUTS, "0", "1", **option)


def test_network_without_noise_is_refused():
    with pytest.raises(NoNoiseError):
        information_between_layers(nn.Linear(4, 2), INPUTS, "0", "1")
