"""Standard errors of a small network compared with the spread over seeds, and lower <= value <= upper."""

import math

import numpy as np
import pytest
from scipy import stats

from layerbits import layer_information
from tests.support.networks import INPUTS, LABELS, noisy_identities, tanh_network

SEEDS = 40
QUANTITIES = ["I(X;T)", "h(T)", "h(T|X)", "I(T;Y)", "I(X;T|Y)"]

# Quantiles of s / standard deviation at 1e-6 from either side: (n - 1) s^2 / variance is chi-squared.
LOWEST, HIGHEST = np.sqrt(stats.chi2.ppf([1e-6, 1 - 1e-6], SEEDS - 1) / (SEEDS - 1))


@pytest.fixture(scope="module")
def rows():
    """Rows of many seeds, by layer and quantity."""
    noisy = tanh_network()
    options = {"draws": 9, "queries": 4}
    tables = [
        layer_information(noisy, INPUTS, LABELS, seed=seed, **options, estimator="draws") for seed in range(SEEDS)
    ]
    return {(row.layer, row.quantity): [table[row.layer, row.quantity] for table in tables] for row in tables[0]}


def spread_and_error(rows, column, error):
    """Return the standard deviation of a column, and the root mean square of its standard errors."""
    spread = np.std([getattr(row, column) for row in rows], ddof=1)
    return spread, math.sqrt(np.mean([getattr(row, error) ** 2 for row in rows]))


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("layer", ["1", "3"])
def test_standard_error_is_the_spread_over_seeds(rows, layer, quantity):
    """At layer 1, h(T|X) is exact, hence the absolute 1e-12."""
    spread, error = spread_and_error(rows[layer, quantity], "plug_in", "plug_in_error")
    assert spread / HIGHEST - 1e-12 <= error <= spread / LOWEST + 1e-12


@pytest.fixture(scope="module")
def narrow_rows():
    """Rows of layer "3" for many seeds, by quantity, with intervals that are narrow enough for a standard error."""
    noisy, options = tanh_network(), {"layers": "3", "draws": 96, "queries": 48}
    tables = [
        layer_information(noisy, INPUTS, LABELS, seed=seed, **options, estimator="draws") for seed in range(SEEDS)
    ]
    return {quantity: [table["3", quantity] for table in tables] for quantity in QUANTITIES}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_error_of_the_value_is_not_understated(narrow_rows, quantity):
    """The error adds the gap between the bounds to half the sum of their errors, which is too large if they differ.

    It ignores half of the bias of the plug-in, which the value subtracts.
    """
    spread, error = spread_and_error(narrow_rows[quantity], "value", "standard_error")
    assert spread <= error * HIGHEST


def test_value_of_a_wide_interval_has_no_error(rows):
    wide_rows = [row for quantity in QUANTITIES for row in rows["3", quantity] if row.upper - row.lower > 0.5]
    assert len(wide_rows) > SEEDS
    assert all(math.isnan(row.standard_error) for row in wide_rows)
    bounded_rows = [row for row in wide_rows if math.isfinite(row.upper - row.lower)]
    assert all(row.value == pytest.approx((row.lower + row.upper) / 2, abs=1e-12) for row in bounded_rows)


@pytest.mark.parametrize("layer", ["1", "3"])
def test_value_lies_within_its_interval(rows, layer):
    assert all(row.lower <= row.value <= row.upper for quantity in QUANTITIES for row in rows[layer, quantity])


@pytest.mark.parametrize(("draws", "queries"), [(2, None), (9, 2)])
def test_error_is_not_understated_with_fewer_than_three_queries(draws, queries):
    """The spread over inputs includes differences between inputs, so the error is too large, never too small."""
    noisy, options = tanh_network(), {"layers": "3", "draws": draws, "queries": queries}
    tables = [layer_information(noisy, INPUTS, seed=seed, **options, estimator="draws") for seed in range(SEEDS)]
    for quantity in ("I(X;T)", "h(T)", "h(T|X)"):
        spread, error = spread_and_error([table["3", quantity] for table in tables], "plug_in", "plug_in_error")
        assert spread <= error * HIGHEST


@pytest.mark.parametrize(("draws", "queries"), [(2, None), (5, 2), (7, 3), (40, 20)])
def test_error_of_a_saturated_layer_is_zero_for_any_parts_of_the_jackknife(draws, queries):
    row = layer_information(noisy_identities(2, 1e-4), INPUTS, draws=draws, queries=queries, estimator="draws")[
        "1", "I(X;T)"
    ]
    assert (row.plug_in, row.plug_in_error) == (pytest.approx(math.log(20)), pytest.approx(0, abs=1e-12))


def test_error_of_entropy_given_the_input_is_not_zero_with_the_fewest_draws():
    assert layer_information(tanh_network(), INPUTS, draws=2, estimator="draws")["3", "h(T|X)"].plug_in_error > 0.01


@pytest.mark.parametrize("layer", ["1", "3"])
def test_interval_widens_with_confidence(layer):
    """Draws and queries are the same; the test omits quantities that are known exactly."""
    tables = [
        layer_information(tanh_network(), INPUTS, LABELS, confidence=level, estimator="draws") for level in (0.5, 0.99)
    ]
    pairs = [pair for pair in zip(*tables, strict=True) if pair[0].layer == layer and pair[0].lower < pair[0].upper]
    assert len(pairs) == (4 if layer == "1" else 5)
    assert all(row_99.lower < row.lower < row.value < row.upper < row_99.upper for row, row_99 in pairs)
