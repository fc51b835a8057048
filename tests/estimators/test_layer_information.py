"""Tables of layer_information: rows, labels, the paper's estimator, invariance, seeds, and extreme values.

Independent values are compared within 5 standard errors: a correct estimator fails one test in 1.7 million.
"""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import layer_activations, layer_information, noisify, propagate
from layerbits.estimators import layer_measurement
from layerbits.kernels import NormalStream
from tests.support.networks import INPUTS, LABELS, dense, noisy_identities, tanh_network
from tests.support.random_arrays import normal_tensor

STANDARD_ERRORS = 5


def standard_errors_apart(first, second):
    """Return the distance of two independent plug-ins in standard errors."""
    return abs(first.plug_in - second.plug_in) / math.hypot(first.plug_in_error, second.plug_in_error)


def values(labels=None, **options):
    return [row.value for row in layer_information(tanh_network(), INPUTS, labels, draws=16, **options)]


@functools.cache
def default_table(*, labelled=False, **options):
    """Measure `tanh_network` once for each choice of options."""
    return layer_information(tanh_network(), INPUTS, LABELS if labelled else None, **options)


# Rows


def test_rows_are_ordered_by_layer_and_quantity():
    table = default_table(labelled=True)
    quantities = ["I(X;T)", "h(T)", "h(T|X)", "I(T;Y)", "I(X;T|Y)"]
    assert [(row.layer, row.quantity) for row in table] == [(layer, q) for layer in ("1", "3") for q in quantities]


def test_row_reports_estimator_unit_and_draws():
    row = layer_information(tanh_network(), INPUTS, draws=8, estimator="paper")["3", "I(X;T)"]
    assert (row.estimator, row.unit, row.draws) == ("paper", "nats", 8)


def test_layer_has_the_same_value_alone_and_with_other_layers():
    single_layer = layer_information(tanh_network(), INPUTS, layers="3")["3", "I(X;T)"]
    assert single_layer.value == default_table()["3", "I(X;T)"].value


@pytest.mark.parametrize("layer", ["1", "3"])
def test_entropy_minus_conditional_entropy_is_information(layer):
    table = default_table()
    difference = table[layer, "h(T)"].plug_in - table[layer, "h(T|X)"].plug_in
    assert difference == pytest.approx(table[layer, "I(X;T)"].plug_in, abs=1e-12)


# Labels


@pytest.mark.parametrize("estimator", ["draws", "paper"])
@pytest.mark.parametrize("layer", ["1", "3"])
def test_information_is_the_sum_of_class_information_and_information_given_the_class(layer, estimator):
    table = default_table(labelled=True, estimator=estimator)
    parts = table[layer, "I(T;Y)"].plug_in + table[layer, "I(X;T|Y)"].plug_in
    assert parts == pytest.approx(table[layer, "I(X;T)"].plug_in, abs=1e-12)


def test_labels_leave_the_other_rows_unchanged():
    """The p(t) of labelled inputs is a sum over classes, whose logarithm is rounded by some eps."""
    labelled_table = default_table(labelled=True)
    for row in default_table():
        assert labelled_table[row.layer, row.quantity].value == pytest.approx(row.value, abs=1e-12)


def test_single_class_has_no_information():
    row = layer_information(tanh_network(), INPUTS, torch.zeros(20, dtype=torch.int64))["3", "I(T;Y)"]
    assert (row.value, row.standard_error) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-12))


def test_class_for_each_input_has_all_information():
    table = layer_information(tanh_network(), INPUTS, torch.arange(20))
    assert table["3", "I(T;Y)"].value == pytest.approx(table["3", "I(X;T)"].value, abs=1e-12)


@pytest.mark.parametrize(
    "labels",
    [
        1000 * LABELS - 500,
        LABELS.to(torch.uint8),
        LABELS.numpy().astype(np.uint16),
        LABELS.numpy().astype(">i4"),
    ],
    ids=["spread", "uint8", "uint16", "big endian"],
)
def test_numbers_and_dtypes_of_the_classes_do_not_change_the_values(labels):
    assert values(labels) == values(LABELS)


def test_labels_may_be_booleans():
    assert values(LABELS == 1) == values((LABELS == 1).long())


# The paper's estimator


def test_paper_estimator_agrees_with_the_estimator_draws():
    """Different seeds make the two estimates independent."""
    draws, paper = (default_table(estimator=name, seed=seed) for seed, name in enumerate(("draws", "paper")))
    assert standard_errors_apart(draws["3", "I(X;T)"], paper["3", "I(X;T)"]) <= STANDARD_ERRORS


def test_paper_estimator_takes_entropies_given_the_input_from_a_separate_sample():
    draws, paper = (default_table(estimator=name, seed=0) for name in ("draws", "paper"))
    assert draws["3", "h(T|X)"].plug_in != paper["3", "h(T|X)"].plug_in
    assert draws["3", "h(T)"].plug_in == paper["3", "h(T)"].plug_in


@pytest.mark.parametrize("quantity", ["I(X;T)", "h(T)", "I(T;Y)"])
def test_value_of_the_paper_estimator_is_the_plug_in_moved_into_the_interval(quantity):
    row = default_table(labelled=True, draws=256, queries=128, estimator="paper")["3", quantity]
    assert row.upper - row.lower < 0.5
    assert row.value == min(max(row.plug_in, row.lower), row.upper) != row.decoded


def test_value_of_the_paper_estimator_is_a_midpoint_where_the_interval_is_wide():
    row = layer_information(tanh_network(), INPUTS, estimator="paper", draws=32, layers="3")["3", "I(X;T)"]
    assert row.upper - row.lower > 0.5
    assert row.value == (row.lower + row.upper) / 2 != row.plug_in
    assert math.isnan(row.standard_error)


def test_each_sample_and_layer_has_its_own_noise_for_the_queries(monkeypatch):
    keys = []

    class RecordingStream(NormalStream):
        def __init__(self, seed, *key):
            keys.append((seed, *key))
            super().__init__(seed, *key)

    monkeypatch.setattr(layer_measurement, "NormalStream", RecordingStream)
    layer_information(tanh_network(), INPUTS, estimator="paper", draws=4)
    assert len(set(keys)) == len(keys) == 4  # both samples of both layers


# Invariance


def test_order_of_inputs_does_not_change_the_information():
    order = torch.from_numpy(np.random.default_rng(5).permutation(20))
    tables = [layer_information(tanh_network(), x, seed=seed) for seed, x in enumerate((INPUTS, INPUTS[order]))]
    assert standard_errors_apart(*(table["3", "I(X;T)"] for table in tables)) <= STANDARD_ERRORS


def test_rotation_of_a_layer_does_not_change_the_information():
    rotated = INPUTS @ torch.linalg.qr(normal_tensor(4, 4, seed=9)).Q
    tables = [layer_information(noisy_identities(1), x, seed=seed) for seed, x in enumerate((INPUTS, rotated))]
    assert standard_errors_apart(*(table["0", "I(X;T)"] for table in tables)) <= STANDARD_ERRORS


def test_translation_changes_the_value_only_by_rounding():
    """Adding 1000 rounds centers by 1e-13, which changes terms by less than 1e-11, as |t - c| / sigma^2 < 100."""
    original, shifted = (layer_information(noisy_identities(1), x)["0", "I(X;T)"] for x in (INPUTS, INPUTS + 1000))
    assert original.value == pytest.approx(shifted.value, abs=1e-11)


def wide_network():
    return noisify(nn.Sequential(dense(torch.linalg.qr(normal_tensor(2000, 4)).Q)), sigma=0.5, layers="0")


def test_wide_layer_has_the_information_of_its_subspace():
    table = layer_information(wide_network(), INPUTS, seed=1)
    expected = layer_information(noisy_identities(1), INPUTS)
    assert standard_errors_apart(table["0", "I(X;T)"], expected["0", "I(X;T)"]) <= STANDARD_ERRORS


def test_entropy_of_a_wide_layer_counts_the_noise_of_every_dimension():
    row = layer_information(wide_network(), INPUTS)["0", "h(T|X)"]
    assert row.value == pytest.approx(1000 * math.log(2 * math.pi * math.e * 0.25), rel=1e-14)


def test_float32_agrees_with_float64():
    double = default_table()
    single = layer_information(tanh_network().float(), INPUTS.float(), seed=1)
    assert standard_errors_apart(double["3", "I(X;T)"], single["3", "I(X;T)"]) <= STANDARD_ERRORS


def test_array_and_tensor_give_the_same_values():
    arrays = layer_information(tanh_network(), INPUTS.numpy())
    assert [row.value for row in default_table()] == [row.value for row in arrays]


# Seeds


def test_same_seed_gives_the_same_values():
    assert values(LABELS, seed=4) == values(LABELS, seed=4)


@pytest.mark.parametrize("layer", ["1", "3"])
def test_different_seeds_give_different_values(layer):
    rows = [default_table(seed=seed)[layer, "I(X;T)"] for seed in (4, 5)]
    assert rows[0].value != rows[1].value


def test_global_generators_keep_their_states():
    def states():
        return torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002

    noisy, before = tanh_network(), states()
    layer_information(noisy, INPUTS, LABELS, estimator="paper")
    assert states() == before


# Extreme values


@pytest.mark.parametrize(
    ("dtype", "sigma"),
    [
        (torch.float32, 1e-6),
        (torch.float32, 1e18),
        (torch.float64, 1e-14),
        (torch.float64, 1e-5),
        (torch.float64, 1e18),
    ],
)
def test_values_are_finite_for_extreme_sigmas(dtype, sigma):
    table = layer_information(tanh_network(sigma).to(dtype), INPUTS.to(dtype), LABELS)
    assert all(math.isfinite(row.value) for row in table)
    assert all(math.isfinite(row.standard_error) == (row.upper - row.lower <= 0.5) for row in table)


def test_single_input_has_no_information():
    table = layer_information(tanh_network(), INPUTS[:1], LABELS[:1])
    assert table["3", "I(X;T)"].value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_agrees_with_float64_up_to_rounded_signals_and_is_flagged(dtype):
    """Signals that move by r change I(X;T) by at most r sqrt(d) / sigma.

    The derivative of I(X;T) by the signals is the mean score of T, whose mean square, the Fisher information, is at
    most that of the noise, d / sigma^2.
    """
    half, inputs = tanh_network().to(dtype), INPUTS.to(dtype)
    double = tanh_network().to(dtype).double()  # the same weights and inputs
    moves = layer_activations(half, inputs)["1"].double() - layer_activations(double, inputs.double())["1"]
    half_table, double_table = layer_information(half, inputs, seed=1), layer_information(double, inputs.double())
    half_row, double_row = (table["1", "I(X;T)"] for table in (half_table, double_table))
    rounding = moves.norm(dim=1).max().item() * math.sqrt(3) / 0.1
    margin = STANDARD_ERRORS * math.hypot(half_row.plug_in_error, double_row.plug_in_error) + rounding
    assert abs(half_row.plug_in - double_row.plug_in) <= margin < 0.2
    assert {row.flags for row in half_table} == {("before_rounding",)}
    assert not any("before_rounding" in row.flags for row in double_table)


def test_sigma_too_small_for_half_precision_is_refused():
    with pytest.raises(ValueError, match=r"^sigma: got 0\.01 for '1', .* apart, wanted at least"):
        layer_information(tanh_network(0.01).bfloat16(), INPUTS.bfloat16())


class FarFromZero(torch.nn.Module):
    """Values near 1000, which are 2^-14 apart in float32."""

    def forward(self, x):
        return 1000 + x.tanh()


@pytest.mark.parametrize("noisy", [True, False], ids=["noisy network", "measurement noise"])
def test_sigma_too_small_for_float32_is_refused(noisy):
    model, inputs = torch.nn.Sequential(FarFromZero()), torch.linspace(-1, 1, 32)[:, None]

    def measure(inputs, sigma):
        if noisy:
            return layer_information(noisify(model, sigma=sigma, layers="0"), inputs)
        return layer_information(model, inputs, sigma=sigma, layers="0")

    with pytest.raises(
        ValueError,
        match=r"^sigma: got 0\.0001 for '0', near whose largest value the numbers of float32 are 6\.10352e-05 apart, "
        r"wanted at least 0\.000488281; or run the network in float64: model\.double\(\)$",
    ):
        measure(inputs, 1e-4)
    measure(inputs, 5e-4)
    truth = layer_information(torch.nn.Sequential(torch.nn.Tanh()), inputs.double(), sigma=1e-4, layers="0").rows[0]
    row = measure(inputs.double(), 1e-4).rows[0]
    assert row.lower <= truth.upper
    assert truth.lower <= row.upper


def test_propagated_signals_may_have_noise_that_float32_does_not_resolve():
    model = noisify(torch.nn.Sequential(FarFromZero()), sigma=1e-30, layers="0")
    assert propagate(model, torch.zeros(3, 1), draws=1)["0"].unique().tolist() == [1000]
