"""Ends of intervals that come from other layers of a chain, by the data processing inequality."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import layer_information, noisify
from layerbits.estimators.audits import Shortfall
from layerbits.estimators.data_processing import Chains
from layerbits.estimators.decoder_bound import DecoderBound
from layerbits.estimators.layer_measurement import LayerMeasurement
from layerbits.estimators.problem import Problem
from layerbits.estimators.two_sided_estimate import Bounds, information_estimate
from layerbits.networks import read_inputs
from layerbits.statistics import Interval, JackknifeMean
from tests.support.answers import entropy
from tests.support.early_ends import allowed_misses, excess_misses
from tests.support.networks import ScalarChain, noisy_identities
from tests.support.random_arrays import normal_tensor

pytestmark = pytest.mark.usefixtures("one_thread")


class Residual(nn.Module):
    """Two blocks x + tanh(x): noise in the branches makes no chain, noise on the sums does."""

    def __init__(self):
        super().__init__()
        self.branches, self.sums = (nn.ModuleList(kind() for _ in range(2)) for kind in (nn.Tanh, nn.Identity))

    def forward(self, x):
        for branch, total in zip(self.branches, self.sums, strict=True):
            x = total(x + branch(x))
        return x.sum(1)


def chains(model, inputs=None, **options):
    data = read_inputs(normal_tensor(6, 3) if inputs is None else inputs, model)
    return Chains.of(Problem.of(model, data, **options))


def wide_chain():
    """The second layer of 512 units has little noise, so that its own interval is [0, log N]."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(20, 512), nn.Tanh(), nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 2))
    inputs = torch.randn(100, 20, generator=torch.Generator().manual_seed(1))
    return noisify(network, sigma={"1": 12.0, "3": 0.2}), inputs, np.arange(100) % 2


def test_upper_ends_are_at_most_those_of_the_layer_before():
    noisy, inputs, labels = wide_chain()
    table = layer_information(noisy, inputs, labels, draws=8, estimator="draws")
    for quantity in ("I(X;T)", "I(T;Y)", "I(X;T|Y)"):
        first, second = table["1", quantity], table["3", quantity]
        # The end that the first layer lends has a ninth of the risk: it is a little wider than its own.
        assert first.upper < second.upper < first.upper + 0.1
        assert second.lower <= second.value <= second.upper
        assert second.flags == ("data_processing",)
        assert second.note == "upper end from '1'"
    assert layer_information(noisy, inputs, draws=8, layers="3", estimator="draws")[
        "3", "I(X;T)"
    ].upper == pytest.approx(math.log(100))
    assert not table["3", "h(T)"].flags


class Steps(nn.Module):
    """The 512 units of the second layer are steps along a line; the third layer is their mean, the place on it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("places", torch.linspace(-1, 1, 512).double())
        self.first, self.second, self.third = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, x):
        steps = self.second(torch.tanh(40 * (self.first(x) - self.places)))
        return self.third(4 * steps.mean(1, keepdim=True))


def test_lower_end_is_at_least_that_of_a_later_layer():
    """Behind noise, few draws do not cover a curve in 512 dimensions, so that the second layer's own interval is wide.

    Its I(X;T) lies between those of the two layers around it.
    """
    noisy = noisify(Steps(), sigma={"first": 0.3, "second": 0.1, "third": 0.1}, layers=["first", "second", "third"])
    inputs = torch.linspace(-1, 1, 8).double()[:, None].repeat(8, 1)
    own = layer_information(noisy, inputs, layers="second", draws=16, queries=8, estimator="draws")["second", "I(X;T)"]
    table = layer_information(noisy, inputs, draws=16, queries=8, estimator="draws")
    first, second, third = (table[layer, "I(X;T)"] for layer in ("first", "second", "third"))
    assert own.upper - own.lower > 2
    assert third.lower - 0.2 < second.lower < third.lower
    assert first.upper < second.upper < first.upper + 0.2
    assert second.note == "lower end from 'third' and upper end from 'first'"
    assert second.flags == ("data_processing",)


def test_risk_of_every_end_is_divided_before_the_measurement():
    of_chain = chains(noisy_identities(4))
    assert of_chain.earlier["3"] == ("0", "1", "2")
    assert of_chain.later["0"] == ("1", "2", "3")
    for layer in "0123":
        shares = of_chain.shares(layer)
        for own, others in ((shares.upper, of_chain.earlier[layer]), (shares.lower, of_chain.later[layer])):
            assert own + sum(of_chain.shares(other).lent for other in others) <= 1 + 1e-12
            assert own == (0.9 if others else 1.0)


def test_measured_layers_alone_are_in_chains():
    of_chain = chains(noisy_identities(3), layers=["0", "2"])
    assert of_chain.earlier == {"0": (), "2": ("0",)}
    assert of_chain.shares("0").lent == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (noisify(Residual(), sigma=0.3, layers=nn.Tanh, inputs=normal_tensor(2, 3)), {}),
        (Residual(), {"sigma": 0.3, "layers": nn.Identity}),
        (noisy_identities(2, inputs=normal_tensor(2, 3)), {"layers": "1"}),
    ],
    ids=["branches", "measurement noise", "one layer"],
)
def test_no_end_comes_from_a_layer_that_is_no_cut(model, options):
    of_chain = chains(model, **options)
    assert not any(of_chain.earlier.values())
    shares = [of_chain.shares(layer) for layer in of_chain.earlier]
    assert all((share.lower, share.upper, share.lent) == (1, 1, 0) for share in shares)


def test_noise_on_the_sums_of_a_residual_network_makes_chains():
    of_chain = chains(noisify(Residual(), sigma=0.3, layers=nn.Identity))
    assert of_chain.earlier == {"sums.0": (), "sums.1": ("sums.0",)}


def test_readouts_keep_their_own_ends():
    network = nn.Sequential(nn.Identity(), nn.Identity())
    noisy = noisify(network, sigma={"0": 5.0, "1": 0.1}, layers=["0", "1"])
    table = layer_information(noisy, normal_tensor(20, 4, 3), readout=[None, "mean"], draws=8, estimator="draws")
    assert "data_processing" in table["1", "I(X;T)"].flags
    assert not {"data_processing"} & {*table["1[mean]", "I(X;T)"].flags, *table["0[mean]", "I(X;T)"].flags}


def test_tolerance_counts_as_reached_by_an_end_of_another_layer():
    noisy, inputs, _ = wide_chain()
    table = layer_information(noisy, inputs, draws=4, max_draws=4, tolerance=0.25, estimator="draws")
    row = table["3", "I(X;T)"]
    assert (row.upper - row.lower) / 2 <= 0.25
    assert row.flags == ("data_processing",)


def test_note_on_a_missed_tolerance_names_the_cause_of_the_own_bounds_beside_ends_of_other_layers():
    """The gap from 1.1 to the plug-in bound is 0.8 of the own width of 1, and 0.05 of the remaining width of 0.15."""

    def measurement(plug_in, shortfall=None):
        decoder = DecoderBound("mixture", JackknifeMean(1.1, (np.zeros((50, 2)),)), 1.0, 0.0)
        bounds = Bounds(JackknifeMean(plug_in, (np.zeros((50, 3)),)), decoder, own_share=0.1)
        estimate = information_estimate(bounds, plug_in + 0.1, 2.0, 0.0, lent=Interval(0.9, plug_in + 0.05))
        return LayerMeasurement(4, {"I(X;T)": estimate}, shortfall)

    shortfall = Shortfall(0.01, "max_draws 4", "decoder", "raise max_draws")
    measurements = {"0": measurement(1.1), "1": measurement(1.9, shortfall)}
    combined = Chains(earlier={"1": ("0",)}, later={"0": ("1",)}).combined("1", measurements)
    assert combined.estimates["I(X;T)"].interval == Interval(1.0, pytest.approx(1.15))
    assert combined.estimates["I(X;T)"].limited_by == "queries"
    assert combined.shortfall.note == (
        "tolerance_missed",
        "tolerance 0.01 not reached within max_draws 4, own bounds limited by decoder: raise max_draws",
    )


def test_layer_that_is_narrow_by_ends_of_other_layers_has_no_further_round():
    noisy, inputs, _ = wide_chain()
    table = layer_information(noisy, inputs, draws=4, tolerance=0.25, estimator="draws")
    assert table["3", "I(X;T)"].draws == 4


def test_ends_of_chains_cover_the_truth():
    """Three layers of one unit, 20 inputs: each end of I(X;T) misses with a probability of at most 2.5 %.

    Such ends miss too often with a probability of 1e-6.
    """
    chain = ScalarChain(np.linspace(-1, 1, 5), gains=(0.5, 4.0, 4.0), sigma=0.5)
    noisy, inputs = chain.noisy(), chain.inputs(copies=4)
    truths = {}
    for layer in (1, 2, 3):
        densities = chain.densities(layer)
        conditional = np.mean([entropy(row, chain.axis) for row in densities])
        truths[str(2 * layer - 1)] = entropy(densities.mean(0), chain.axis) - conditional
    tables = []

    def wrong_ends(seeds):
        for seed in seeds:
            tables.append(layer_information(noisy, inputs, draws=8, queries=4, seed=seed, estimator="draws"))
            for layer, truth in truths.items():
                row = tables[-1][layer, "I(X;T)"]
                if row.lower > truth:
                    yield layer, "lower"
                if row.upper < truth:
                    yield layer, "upper"

    assert excess_misses(wrong_ends, allowed_misses(150, 0.025, 1e-6)) == {}
    rows = [row for table in tables for row in table]
    assert sum("data_processing" in row.flags for row in rows if row.quantity == "I(X;T)") > len(tables)
