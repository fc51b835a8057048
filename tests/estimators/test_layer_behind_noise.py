"""Layers behind noise: the coverage of both ends of the intervals.

Each end may be wrong with probability RISK. Correct ends are wrong too often with probability 1e-6.
"""

import dataclasses

import numpy as np
import pytest
import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.layer_behind_noise import noisy_layer_estimates
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.noisy_sample import NoisySample
from layerbits.estimators.omitted_dimensions import OmittedDimensions
from layerbits.estimators.plug_in_bound import plug_in
from layerbits.statistics import QUANTITIES
from tests.support.answers import entropy, information_of_channel
from tests.support.early_ends import allowed_misses, excess_misses, wrong_ends
from tests.support.networks import ScalarChain
from tests.support.random_arrays import normal_array, normal_tensor

RISK = 0.05
ALLOWED = allowed_misses(100, RISK, 1e-6)
SIGMA = 0.3
INFORMATIONS = ("I(X;T)", "I(T;Y)", "I(X;T|Y)")


class Chain(ScalarChain):
    """T_1 = tanh(x) + Z and T_2 = tanh(gain T_1) + Z; inputs above 0.4 are one class, the other inputs a second one."""

    def __init__(self, values, gain):
        super().__init__(values, gains=(1.0, gain), sigma=SIGMA)
        self.classes = Classes((self.values > 0.4).astype(int), labelled=True)

    @property
    def truths(self):
        """The true values of all quantities of T_2, where entropies are less the entropy of the noise."""
        densities, numbers = self.densities(2), self.classes.numbers
        class_densities = np.array([densities[numbers == k].mean(0) for k in range(2)])
        information = information_of_channel(densities, self.axis)
        class_information = information_of_channel(class_densities, self.axis, np.bincount(numbers))
        noise = np.log(2 * np.pi * np.e * SIGMA**2) / 2
        marginal = entropy(densities.mean(0), self.axis) - noise
        return {
            "I(X;T)": information,
            "h(T)": marginal,
            "h(T|X)": marginal - information,
            "I(T;Y)": class_information,
            "I(X;T|Y)": information - class_information,
        }

    def sample(self, seed, *, queries=8, draws=16, loss=0.0):
        generator = np.random.default_rng(seed)
        noise = SIGMA * generator.normal(size=(len(self.values), queries + draws, 1))
        signals = torch.from_numpy(np.tanh(self.gains[1] * (np.tanh(self.values)[:, None, None] + noise)))
        normal = torch.from_numpy(generator.normal(size=(len(self.values), queries, 1)))
        return NoisySample(Queries.around(signals[:, draws:], SIGMA, normal), signals[:, :draws], loss)

    def estimates(self, seed, **options):
        return estimates(self.sample(seed, **options), self.classes)


def estimates(sample, classes, seed=0):
    return noisy_layer_estimates([sample], classes, RISK, np.random.default_rng(seed))


CHAINS = {
    "gentle": Chain(np.linspace(-1, 1, 12), 1.0),
    "steep": Chain(np.linspace(-1, 1, 12), 6.0),
    "few inputs": Chain([-1.0, 0.1, 0.9], 2.0),
    "uneven": Chain([-0.6, -0.3, 0.0, 1.0], 2.0),
    "clusters 7 sigma apart": Chain([-20.0, -20.0, 20.0, 20.0], 50.0),
}


@pytest.mark.parametrize(
    ("name", "queries", "draws"),
    [
        ("gentle", 8, 16),
        ("steep", 8, 16),
        ("few inputs", 8, 16),
        ("uneven", 8, 16),
        ("steep", 2, 2),
        ("few inputs", 2, 2),
        ("gentle", 20, 60),
        ("uneven", 20, 60),
        ("clusters 7 sigma apart", 8, 24),
    ],
)
def test_intervals_of_a_noisy_chain_contain_the_true_values(name, queries, draws):
    chain = CHAINS[name]

    def estimate(seed):
        return chain.estimates(seed, queries=queries, draws=draws)

    assert wrong_ends(estimate, chain.truths, ALLOWED) == {}


@pytest.mark.parametrize("queries", [1, 8])
def test_lower_end_stays_below_the_true_value_for_decoders_that_are_all_wrong(queries):
    """Decoders made of the draws of other inputs prefer wrong inputs."""
    chain, decoded = CHAINS["gentle"], []
    truths = chain.truths

    def wrong_lower_ends(seeds):
        for seed in seeds:
            sample = chain.sample(seed, queries=queries)
            results = estimates(NoisySample(sample.queries, sample.draws.flip(0)), chain.classes)
            decoded.extend(results[quantity].decoded for quantity in INFORMATIONS)
            yield from (quantity for quantity in INFORMATIONS if results[quantity].interval.lower > truths[quantity])

    assert excess_misses(wrong_lower_ends, ALLOWED) == {}
    # A decoder mixed with the prior has no term below the logarithm of the prior's weight, 3.0 / n for n final queries.
    assert min(decoded) >= np.log(-np.log(RISK) / (12 * max(1, queries // 2)))


def test_estimate_contains_the_plug_in_bound():
    chain = CHAINS["uneven"]
    sample, result = chain.sample(0), chain.estimates(0)
    bounds = plug_in(sample.queries, sample.draws, chain.classes)
    for quantity in QUANTITIES:
        assert result[quantity.name].plug_in == pytest.approx(bounds.bound(quantity).value), quantity.name


@pytest.mark.parametrize("name", [quantity.name for quantity in QUANTITIES])
def test_omitted_dimensions_raise_the_upper_end_alone(name):
    complete, reduced = (CHAINS["gentle"].estimates(0, loss=loss)[name].interval for loss in (0.0, 0.05))
    assert (reduced.lower, reduced.upper) == (complete.lower, pytest.approx(complete.upper + 0.05))


@pytest.mark.parametrize("name", [quantity.name for quantity in QUANTITIES])
def test_errors_of_omitted_dimensions_raise_the_upper_end_alone(name):
    chain = CHAINS["gentle"]
    sample = chain.sample(0, loss=0.05)
    squares = 0.1 * (1 + 0.5 * normal_array(*sample.queries.shape, seed=3))
    omitted = OmittedDimensions(squares, 2, largest_square=4.0)
    without, reduced = (
        estimates(dataclasses.replace(sample, omitted=dimensions), chain.classes)[name].interval
        for dimensions in (None, omitted)
    )
    assert reduced.lower == without.lower
    if name.startswith("I"):
        assert reduced.upper == pytest.approx(without.upper + omitted.margin(RISK))
    else:
        # The bet on sums of terms has their largest value, 1.1 + log(1 / weight) more.
        assert reduced.upper > without.upper + 0.001


@pytest.mark.parametrize("numbers", [np.zeros(12, int), np.arange(12)], ids=["one class", "class per input"])
def test_single_class_has_no_information_and_class_for_each_input_has_all(numbers):
    result = estimates(CHAINS["gentle"].sample(0), Classes(numbers, labelled=True))
    zero_part, other_part = ("I(T;Y)", "I(X;T|Y)") if numbers.max() == 0 else ("I(X;T|Y)", "I(T;Y)")
    interval = result[zero_part].interval
    assert (interval.lower, interval.upper) == (pytest.approx(0, abs=1e-12),) * 2
    assert result[other_part].plug_in == pytest.approx(result["I(X;T)"].plug_in, abs=1e-12)
    assert result[other_part].decoded == pytest.approx(result["I(X;T)"].decoded, abs=1e-12)


def test_more_queries_narrow_an_interval_limited_by_queries():
    few_queries, many_queries = (
        CHAINS["gentle"].estimates(0, queries=queries, draws=200)["I(X;T)"] for queries in (4, 200)
    )
    assert few_queries.limited_by == "queries"
    # The error falls as the root of the queries, here by a factor of 7; the other causes of the width stay.
    assert many_queries.interval.half_width < few_queries.interval.half_width / 3


def test_singular_covariances_give_an_interval():
    """All units emit the same value, so that the covariances of the draws have rank 1."""
    signals = 1e9 * normal_tensor(6, 16, 1).expand(-1, -1, 3)
    queries = Queries.around(signals[:, 12:].contiguous(), 0.5, normal_tensor(6, 4, 3, seed=1))
    sample = NoisySample(queries, signals[:, :12].contiguous())
    interval = estimates(sample, Classes.of(None, 6))["I(X;T)"].interval
    assert 0 <= interval.lower <= interval.upper <= np.log(6) + 1e-12
