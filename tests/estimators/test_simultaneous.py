"""Intervals of a table that hold together: their risks, the ends that layers of a chain take over, their coverage."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import MeasurementSettings, information, layer_information, noisify
from layerbits.estimators import Problem, layer_rounds
from layerbits.estimators.data_processing import Chains
from layerbits.estimators.layer_measurement import estimate_layer
from layerbits.networks import read_inputs
from tests.support.answers import entropy
from tests.support.early_ends import allowed_misses, excess_misses
from tests.support.networks import INPUTS, LABELS, ScalarChain, noisy_identities, tanh_mlp, three_tanh_layers
from tests.support.random_arrays import normal_tensor

pytestmark = pytest.mark.usefixtures("one_thread")


def without_seconds(table):
    return [(row.layer, row.quantity, row.lower, row.upper) for row in table]


def test_risk_is_divided_by_the_number_of_rows():
    """2 layers with 2 label sets have 14 rows: the intervals are those of the level 1 - 0.1 / 14."""
    labels = {"Y": LABELS, "parity": torch.arange(20) % 2}
    options = {"sigma": 0.5, "queries": 16}
    network = tanh_mlp(4, 3, 3, 2, dtype=torch.float64)
    table = layer_information(network, INPUTS, labels, confidence=0.9, simultaneous=True, **options)
    assert len(table) == 14
    wider = layer_information(network, INPUTS, labels, confidence=1 - 0.1 / 14, **options)
    for row, expected in zip(table, wider, strict=True):
        # The two risks differ by rounding.
        assert (row.lower, row.upper) == pytest.approx((expected.lower, expected.upper), abs=1e-9)
    single = layer_information(network, INPUTS, labels, confidence=0.9, **options)
    assert all(row.upper - row.lower >= other.upper - other.lower for row, other in zip(table, single, strict=True))


@pytest.mark.parametrize("draws", [1, 16], ids=["functions of X", "draws"])
def test_risk_of_recorded_signals_is_divided_by_the_rows_of_all_layers(draws):
    """2 layers with 2 label sets have 14 rows: the intervals are those of the level 1 - 0.1 / 14."""
    signals = INPUTS[:, None] + 0.2 * normal_tensor(20, draws, 4)
    layers = {"a": signals.squeeze(1), "b": 2 * signals.squeeze(1)}
    labels = {"Y": LABELS, "parity": torch.arange(20) % 2}
    table = information(layers, 0.5, labels, queries=4, confidence=0.9, simultaneous=True)
    assert len(table) == 14
    wider = information(layers, 0.5, labels, queries=4, confidence=1 - 0.1 / 14)
    single = information(layers, 0.5, labels, queries=4, confidence=0.9)
    for row, expected, other in zip(table, wider, single, strict=True):
        # The two risks differ by rounding.
        assert (row.lower, row.upper) == pytest.approx((expected.lower, expected.upper), abs=1e-9)
        assert row.upper - row.lower >= other.upper - other.lower
    assert table["a", "I(T;Y)"].lower < single["a", "I(T;Y)"].lower - 0.01


def test_risks_of_all_ends_and_rounds_sum_to_the_risk(monkeypatch):
    """The risks of a layer's rounds are its share times 6 / (pi k)^2, which sums to the share over all rounds."""
    risks = {}

    def estimate(problem, name, samples, risk, seed, shares):
        risks.setdefault(name, []).append(risk)
        return estimate_layer(problem, name, samples, risk, seed, shares)

    monkeypatch.setattr(layer_rounds, "estimate_layer", estimate)
    options = {"draws": 16, "queries": 4, "tolerance": 0.2, "max_draws": 64, "max_seconds": 1e9}
    table = layer_information(three_tanh_layers(), INPUTS, LABELS, simultaneous=True, **options, estimator="draws")
    assert len(table) == 15
    for of_layer in risks.values():
        assert of_layer == pytest.approx([0.05 / 2 / 15 * 6 / (math.pi * k) ** 2 for k in range(1, len(of_layer) + 1)])
    assert max(map(len, risks.values())) > 2


def test_own_ends_are_lent_without_a_division():
    model = noisy_identities(3)
    problem = Problem.of(model, read_inputs(INPUTS, model))
    shares = [Chains.of(problem, simultaneous=True).shares(layer) for layer in problem.parts]
    assert all((share.lower, share.upper, share.lent) == (1, 1, 1) for share in shares)


def test_upper_end_of_a_chain_is_that_of_the_layer_before():
    """The second layer of 512 units has little noise, so that its own interval is [0, log N]."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(20, 512), nn.Tanh(), nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 2))
    noisy = noisify(network, sigma={"1": 12.0, "3": 0.2})
    inputs = torch.randn(100, 20, generator=torch.Generator().manual_seed(1))
    table = layer_information(noisy, inputs, np.arange(100) % 2, draws=8, simultaneous=True, estimator="draws")
    for quantity in ("I(X;T)", "I(T;Y)", "I(X;T|Y)"):
        assert table["3", quantity].upper == table["1", quantity].upper
        assert table["3", quantity].flags == ("data_processing",)


CHAIN = ScalarChain(np.linspace(-1, 1, 5), gains=(0.5, 4.0, 4.0), sigma=0.5)
CLASSES = np.array([0, 0, 1, 1, 1])


def true_values():
    values = {}
    for layer in (1, 2, 3):
        densities = CHAIN.densities(layer)
        marginal = entropy(densities.mean(0), CHAIN.axis)
        of_inputs = [entropy(density, CHAIN.axis) for density in densities]
        of_classes = [entropy(densities[y == CLASSES].mean(0), CHAIN.axis) for y in (0, 1)]
        given_input, given_class = np.mean(of_inputs), np.mean([of_classes[y] for y in CLASSES])
        values |= {
            (f"{2 * layer - 1}", quantity): value
            for quantity, value in {
                "I(X;T)": marginal - given_input,
                "I(T;Y)": marginal - given_class,
                "I(X;T|Y)": given_class - given_input,
                "h(T)": marginal,
                "h(T|X)": given_input,
            }.items()
        }
    return values


@pytest.mark.parametrize(("tolerance", "n_seeds"), [(None, 60), (0.12, 30)], ids=["one round", "rounds"])
def test_all_intervals_of_a_chain_cover_the_truth_together(tolerance, n_seeds):
    """Three layers of one unit, 15 intervals: some interval misses with a probability of at most 10 %.

    Such intervals miss too often with a probability of 1e-6. An interval without width, that of h(T|X) at the first
    layer, may miss by the rounding and the quadrature, whose errors are below 1e-8.
    """
    noisy, inputs, labels = CHAIN.noisy(), CHAIN.inputs(copies=4), CLASSES.repeat(4)
    truths, tables = true_values(), []
    options = {"draws": 8, "queries": 4, "tolerance": tolerance, "max_draws": 64, "max_seconds": 1e9}

    def misses_of(seeds):
        for seed in seeds:
            table = layer_information(
                noisy, inputs, labels, confidence=0.9, simultaneous=True, seed=seed, **options, estimator="draws"
            )
            tables.append(table)
            assert {(row.layer, row.quantity) for row in table} == set(truths)
            errors = [
                max(row.lower - truths[row.layer, row.quantity], truths[row.layer, row.quantity] - row.upper)
                for row in table
            ]
            if max(errors) > 1e-8:
                yield "some interval"

    assert excess_misses(misses_of, allowed_misses(n_seeds, 0.1, 1e-6)) == {}
    assert sum(any("data_processing" in row.flags for row in table) for table in tables) > len(tables) / 4
    rounds = sum(max(row.draws for row in table) > 8 for table in tables)
    assert rounds == (0 if tolerance is None else len(tables))


@pytest.mark.parametrize("value", [1, "yes", None])
def test_simultaneous_is_true_or_false(value):
    with pytest.raises(TypeError, match=r"^simultaneous: got .*, wanted True or False"):
        MeasurementSettings(simultaneous=value)


def test_without_simultaneous_the_risk_of_an_end_is_that_of_one_interval():
    assert MeasurementSettings().risk_of_each(100) == MeasurementSettings().risk
    for confidence, n in itertools.product((0.5, 0.95), (1, 15)):
        each = MeasurementSettings(confidence=confidence, simultaneous=True).risk_of_each(n)
        assert 2 * n * each == pytest.approx(1 - confidence)
