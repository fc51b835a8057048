"""Both bounds of a layer, and intervals that hold the truth as often as they say.

Either end may be wrong with a probability of `RISK`. Of `SEEDS` right ones more than `MOST_WRONG` are with one of 1e-6.
"""

import math

import numpy as np
import pytest
import torch
from layerbits.estimators.intervals import _between, exact_estimates, sampled_estimates
from scipy import stats

from layerbits.estimators.log_densities import Queries
from layerbits.estimators.plug_in_bound import JackknifeMean, plug_in
from layerbits.statistics import ceilings
from tests.support.answers import BPSK, entropy, grid, information_in_plane, information_of_channel, normal

RISK, SEEDS = 0.05, 100
MOST_WRONG = stats.binom.ppf(1 - 1e-6, SEEDS, RISK)
SIGMA = 0.3


def random(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def normal_like(bases, seed):
    return torch.from_numpy(random(*bases.shape, seed=seed))


def exact(centers, sigma, *, q=8, classes=None, lost=0.0, seed=0):
    """Brackets of centers (n, d), from q queries of each."""
    signals = torch.from_numpy(np.asarray(centers, float))[:, None]
    bases = signals.expand(-1, q, -1)
    queries = Queries.around(bases, sigma, normal_like(bases, seed))
    return exact_estimates(queries, signals, classes, sigma, RISK, lost)


def misses(brackets_of, truths):
    """Ends that were on the wrong side of the truth too often, over seeds; truths are known to 1e-9."""
    found = [brackets_of(seed) for seed in range(SEEDS)]
    too_often = []
    for name, truth in truths.items():
        low = sum(one[name].lower > truth + 1e-9 for one in found)
        high = sum(one[name].upper < truth - 1e-9 for one in found)
        too_often += [(name, end, count) for end, count in (("low", low), ("high", high)) if count > MOST_WRONG]
    return too_often


# Behind no noise


@pytest.mark.parametrize("sigma", [0.3, 0.6, 1, 3])
@pytest.mark.parametrize("q", [2, 30])
def test_interval_of_one_bit_holds(sigma, q):
    assert misses(lambda seed: exact([[-1], [1]], sigma, q=q, seed=seed), {"I(X;T)": BPSK[sigma]}) == []


def test_interval_of_a_square_grid_holds():
    centers = np.stack(np.meshgrid([-3, -1, 1, 3], [-3, -1, 1, 3]), axis=-1).reshape(-1, 2)
    truth = information_in_plane(centers, 0.7)
    assert misses(lambda seed: exact(centers, 0.7, seed=seed), {"I(X;T)": truth}) == []


def channel_truths(densities, axis, classes):
    """I(X;T), I(T;Y), I(X;T|Y) and entropies above that of the noise, of p(t|x), shape (inputs, points)."""
    sizes = np.bincount(classes)
    of_class = np.array([densities[classes == one].mean(0) for one in range(len(sizes))])
    whole, labels = information_of_channel(densities, axis), information_of_channel(of_class, axis, sizes)
    pooled = entropy(densities.mean(0), axis)
    noise = math.log(2 * math.pi * math.e * SIGMA**2) / 2
    return {
        "I(X;T)": whole,
        "h(T)": pooled - noise,
        "h(T|X)": pooled - whole - noise,
        "I(T;Y)": labels,
        "I(X;T|Y)": whole - labels,
    }


@pytest.mark.parametrize("classes", [[0, 0, 0, 1], [0, 1, 1, 2], [0, 1, 0, 1]])
def test_intervals_of_all_quantities_hold_for_classes_of_any_size(classes):
    places = np.array([-0.5, -0.1, 0.2, 0.9])
    axis = grid(-1, 1, SIGMA)
    truths = channel_truths(normal(axis - places[:, None], SIGMA), axis, np.array(classes))
    assert misses(lambda seed: exact(places[:, None], SIGMA, classes=np.array(classes), seed=seed), truths) == []


def test_inputs_far_apart_are_certified_by_their_distances():
    """From two queries: log n less the sum over pairs of exp(-(10 / 2)^2 / 2) = 4e-6, and nothing for chance."""
    bracket = exact(10 * np.arange(16.0)[:, None], 1.0, q=2)["I(X;T)"]
    assert math.log(16) - 1e-5 < bracket.lower <= bracket.upper == math.log(16)


def test_dimensions_left_out_count_above():
    plain, wide = (exact([[-1], [1]], 1.0, lost=lost)["I(X;T)"] for lost in (0.0, 0.1))
    assert (wide.lower, wide.upper) == (plain.lower, pytest.approx(plain.upper + 0.1))
    assert exact([[-1], [1]], 1.0, lost=5.0)["I(X;T)"].upper == math.log(2)
    assert exact([[-1], [1]], 1.0, lost=0.69)["I(X;T)"].limited_by == "dimensions"


# Behind noise


class Chain:
    """T = tanh(w tanh(x) + w Z) + Z of inputs on the line, with p(t|x) by quadrature over what is inside."""

    def __init__(self, inputs, gain):
        self.inputs, self.gain = np.array(inputs), gain
        self.classes = (self.inputs > 0.4).astype(int)

    @property
    def truths(self):
        inner, axis = grid(-1, 1, SIGMA), grid(-1, 1, SIGMA)
        first = normal(inner - np.tanh(self.inputs)[:, None], SIGMA)
        densities = first @ normal(axis - np.tanh(self.gain * inner)[:, None], SIGMA) * (inner[1] - inner[0])
        return channel_truths(densities, axis, self.classes)

    def sample(self, seed, *, q=8, r=16):
        """Return queries (n, q, 1) and r other draws."""
        z = np.random.default_rng(seed)
        inner = np.tanh(self.inputs)[:, None, None] + SIGMA * z.normal(size=(len(self.inputs), q + r, 1))
        signals = torch.from_numpy(np.tanh(self.gain * inner))
        normal = torch.from_numpy(z.normal(size=(len(self.inputs), q, 1)))
        return Queries.around(signals[:, r:], SIGMA, normal), signals[:, :r]

    def brackets(self, seed, *, q=8, r=16, lost=0.0, mix_up=False):
        queries, draws = self.sample(seed, q=q, r=r)
        some = np.arange(len(self.inputs))
        if mix_up:
            draws = draws.flip(0)
        return sampled_estimates(queries, draws, self.classes, SIGMA, RISK, lost, some=some)


CHAINS = {
    "gentle": Chain(np.linspace(-1, 1, 12), 1.0),
    "steep": Chain(np.linspace(-1, 1, 12), 6.0),
    "few inputs": Chain([-1.0, 0.1, 0.9], 2.0),
    "uneven": Chain([-0.6, -0.3, 0.0, 1.0], 2.0),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize(("q", "r"), [(8, 16), (2, 2), (20, 60)])
def test_intervals_of_a_noisy_chain_hold(chain, q, r):
    assert misses(lambda seed: chain.brackets(seed, q=q, r=r), chain.truths) == []


@pytest.mark.parametrize("q", [1, 2, 8])
def test_lower_end_holds_for_decoders_that_are_all_wrong(q):
    """Draws of other inputs: the decoders are sure of what is not so."""
    chain = CHAINS["gentle"]
    brackets = [chain.brackets(seed, q=q, mix_up=True) for seed in range(SEEDS)]
    for quantity in ceilings(12, chain.classes):
        assert sum(one[quantity].lower > chain.truths[quantity] for one in brackets) <= MOST_WRONG
        # What is certain of nothing has terms of log(3.0 / n) and more.
        assert min(one[quantity].decoded for one in brackets) >= math.log(-math.log(RISK) / (12 * max(1, q // 2)))


def test_plug_in_is_of_all_draws_and_the_decoder_of_fresh_queries():
    chain = CHAINS["uneven"]
    queries, draws = chain.sample(0)
    found = chain.brackets(0)
    entropies, _ = plug_in(queries, draws, chain.classes, SIGMA)
    assert found["I(X;T)"].plug_in == pytest.approx(entropies.marginal.value - entropies.by_input.value)
    assert found["I(T;Y)"].plug_in == pytest.approx(entropies.marginal.value - entropies.by_class.value)
    assert found["h(T|X)"].plug_in == pytest.approx(entropies.by_input.value)


def test_decoder_is_chosen_by_the_trial_and_evaluated_by_the_rest():
    """The other half of the queries may change at will: the decoder stays, and the trial counts for nothing else."""
    chain = CHAINS["gentle"]
    queries, draws = chain.sample(0)
    some = np.arange(12)
    moved = queries.points.clone()
    moved[:, 4:] += 0.5
    found, other = (
        sampled_estimates(Queries.at(points, queries.bases, SIGMA), draws, None, SIGMA, RISK, 0.0, some=some)["I(X;T)"]
        for points in (queries.points, moved)
    )
    assert found.decoder == other.decoder
    assert found.decoded != other.decoded
    moved = queries.points.clone()
    moved[:, :4] += 1e-3
    asked = Queries.at(moved, queries.bases, SIGMA)
    third = sampled_estimates(asked, draws, None, SIGMA, RISK, 0.0, some=some)["I(X;T)"]
    assert (third.decoder, third.decoded) == (found.decoder, pytest.approx(found.decoded, abs=1e-12))


@pytest.mark.parametrize(
    ("gain", "r", "names"), [(0.5, 40, ("Gaussian", "shared Gaussian")), (20.0, 60, ("mixture", "wide mixture"))]
)
def test_decoder_that_fits_is_chosen(gain, r, names):
    """A Gaussian for what hardly bends; a mixture for two clusters."""
    assert Chain(np.linspace(-1, 1, 12), gain).brackets(0, q=40, r=r)["I(X;T)"].decoder in names


@pytest.mark.parametrize("name", ["I(X;T)", "h(T)", "h(T|X)", "I(T;Y)", "I(X;T|Y)"])
def test_dimensions_left_out_widen_the_interval_above(name):
    plain, wide = (CHAINS["gentle"].brackets(0, lost=lost)[name] for lost in (0.0, 0.05))
    assert (wide.lower, wide.upper) == (plain.lower, pytest.approx(plain.upper + 0.05))


@pytest.mark.parametrize("classes", [np.zeros(12, int), np.arange(12)], ids=["one class", "class per input"])
def test_classes_that_say_nothing_or_all(classes):
    """One of I(T;Y) and I(X;T|Y) is 0, whatever the decoder says, and the other is I(X;T)."""
    queries, draws = CHAINS["gentle"].sample(0)
    for found in (
        sampled_estimates(queries, draws, classes, SIGMA, RISK, 0.0, some=np.arange(12)),
        exact(CHAINS["gentle"].inputs[:, None], SIGMA, classes=classes),
    ):
        nothing, rest = ("I(T;Y)", "I(X;T|Y)")[:: 1 if classes.max() == 0 else -1]
        assert (found[nothing].lower, found[nothing].upper) == (pytest.approx(0, abs=1e-12),) * 2
        assert found[rest].plug_in == pytest.approx(found["I(X;T)"].plug_in, abs=1e-12)
        assert found[rest].decoded == pytest.approx(found["I(X;T)"].decoded, abs=1e-12)


def test_more_queries_narrow_what_is_limited_by_them():
    narrow, wide = (CHAINS["gentle"].brackets(0, q=q, r=200)["I(X;T)"] for q in (200, 4))
    assert wide.limited_by == "queries"
    assert narrow.upper - narrow.lower < (wide.upper - wide.lower) / 3  # a root of 50 lies between them


def test_bracket_that_is_shifted_keeps_its_width():
    bracket = CHAINS["gentle"].brackets(0)["h(T)"]
    moved = bracket.plus(2.0)
    for field in ("value", "lower", "upper", "plug_in", "decoded"):
        assert getattr(moved, field) == getattr(bracket, field) + 2
    assert (moved.standard_error, moved.plug_in_error) == (bracket.standard_error, bracket.plug_in_error)


def test_value_is_halfway_between_the_decoder_and_the_plug_in_less_half_of_its_bias():
    """Three parts that change the mean by .01 each when left out: a first-order bias of 2 * .01."""
    plugged = JackknifeMean(1.3, (np.full((50, 3), 0.01),))
    decoded = JackknifeMean(1.1, (np.zeros((50, 2)),))
    bracket = _between(plugged, decoded, 1.0, 1.4, 2.0, 0.0, "mixture")
    assert bracket.value == pytest.approx((1.3 - 0.01 + 1.1) / 2, abs=1e-12)
    assert _between(plugged, decoded, 1.0, 1.15, 2.0, 0.0, "mixture").value == 1.15
