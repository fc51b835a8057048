"""`information` of signals in hand, compared with the measurement of a network and with known values; refusals."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats

import layerbits as lb
from layerbits.estimators import signal_ranges
from tests.support.answers import BPSK
from tests.support.networks import INPUTS, LABELS, tanh_mlp, tanh_network
from tests.support.random_arrays import normal_tensor

SIGNALS = normal_tensor(20, 3)
DRAWS = SIGNALS[:, None] + 0.3 * normal_tensor(20, 8, 3, seed=1)

# Signals in float64 differ by the rounding of matrix products of a few terms, some 1e-15 of their size; a log density
# is smooth, with a slope of at most |t - c| / sigma^2 < 1e4 here.
ROUNDING = 1e-10


def assert_same(table, expected):
    """Compare two tables in all but their times and flags."""
    assert len(table) == len(expected)
    for row, expected_row in zip(table, expected, strict=True):
        for field in dataclasses.fields(row):
            if field.name not in ("seconds", "flags", "layer"):
                value, expected_value = getattr(row, field.name), getattr(expected_row, field.name)
                if isinstance(value, float):
                    expected_value = pytest.approx(expected_value, abs=ROUNDING, nan_ok=True)
                assert value == expected_value, (row.layer, row.quantity, field.name)


def test_activations_give_the_table_of_a_network_without_noise():
    model = tanh_mlp(4, 3, 3, 2, dtype=torch.float64)
    expected = lb.layer_information(model, INPUTS, LABELS, sigma=0.2, seed=3, estimator="draws")
    assert_same(lb.information(lb.layer_activations(model, INPUTS), 0.2, LABELS, seed=3), expected)


def test_draws_give_the_rows_of_a_layer_behind_noise(monkeypatch):
    """The range of tanh, which `information` does not know, is hidden from the measurement of the network."""
    monkeypatch.setattr(signal_ranges, "_MODULE_WIDTHS", {})
    noisy = tanh_network()
    options = {"draws": 32, "layers": "3", "estimator": "draws"}  # alone, the layer takes over no end
    expected = lb.layer_information(noisy, INPUTS, LABELS, **options)
    signals = lb.propagate(noisy, INPUTS, draws=32)
    assert_same(list(lb.information(signals, 0.1, LABELS))[5:], list(expected))


def test_paper_estimator_takes_the_two_halves_of_the_draws():
    signals = lb.propagate(tanh_network(), INPUTS, draws=512)
    table = lb.information(signals, 0.1, LABELS, estimator="paper", queries=128)
    assert [row.draws for row in table] == [256] * 10
    narrow_rows = [row for row in table if "I" in row.quantity and row.upper - row.lower < 0.5]
    assert len(narrow_rows) == 6
    assert all(row.value == min(max(row.plug_in, row.lower), row.upper) for row in narrow_rows)


def test_entropies_of_draws_assume_their_tail():
    flags = {row.quantity: row.flags for row in lb.information(DRAWS, 0.3)}
    assert flags == {"I(X;T)": (), "h(T)": ("tail_assumed",), "h(T|X)": ("tail_assumed",)}


def test_noise_that_float32_does_not_resolve_is_refused():
    """Values near 1000 are 2^-14 apart in float32."""
    far = (1000 + SIGNALS).float()
    message = r"^sigma: got 0\.0001 for 'signals', near whose largest value the numbers of float32 are 6\.10352e-05 "
    with pytest.raises(ValueError, match=message):
        lb.information(far, 1e-4)
    lb.information(far, 5e-4)
    lb.information(far.double(), 1e-4)


def test_known_channel_of_many_units_agrees_with_the_information_of_the_mixture():
    row = lb.information(SIGNALS, 0.7, queries=400)["signals", "I(X;T)"]
    known = lb.mixture_information(SIGNALS, 0.7, tolerance=0.005)
    assert row.lower <= known.upper
    assert known.lower <= row.upper
    assert row.upper - row.lower < 0.15


def bpsk(seed, *, spread):
    """Sample signals -1 and 1 of ten rows each, plus normal values within the rows: (20, 64, 1), or (20, 1)."""
    signs = torch.tensor([-1.0, 1.0]).double().repeat(10)[:, None]
    return signs[:, None] + spread * normal_tensor(20, 64, 1, seed=seed) if spread else signs


@pytest.mark.parametrize(("spread", "sigma"), [(0.3, 0.4), (0.0, 0.5)], ids=["draws", "known channel"])
def test_intervals_contain_the_true_value_at_their_level(spread, sigma):
    """T given X is +-1 plus noise of deviation .5 in both cases; equal rows add no information."""
    repeats, truth = 40, BPSK[0.5]
    hits = 0
    for seed in range(repeats):
        row = lb.information(bpsk(seed, spread=spread), sigma, seed=seed)["signals", "I(X;T)"]
        hits += row.lower <= truth <= row.upper
        assert row.upper - row.lower < 0.5
    # Intervals of 95 % have fewer hits with a probability below 1e-3.
    assert hits >= stats.binom.ppf(1e-3, repeats, 0.95)


@pytest.mark.parametrize("signals", [SIGNALS, DRAWS], ids=["known channel", "draws"])
def test_deviations_and_covariances_are_those_of_the_units(signals):
    factor = torch.linalg.cholesky(torch.eye(3).double() + 0.5)
    deviations = torch.tensor([0.5, 1.0, 4.0]).double()
    expected = lb.information(signals, 1.0)
    informations = [
        lb.information(signals * deviations, deviations),
        lb.information(signals @ factor.T, (factor @ factor.T).numpy()),
    ]
    for table, log_volume in zip(informations, [math.log(2), float(factor.logdet())], strict=True):
        for quantity, shift in (("I(X;T)", 0.0), ("h(T)", log_volume)):
            expected_row = expected["signals", quantity]
            assert table["signals", quantity].lower == pytest.approx(expected_row.lower + shift, abs=ROUNDING)
            assert table["signals", quantity].upper == pytest.approx(expected_row.upper + shift, abs=ROUNDING)


def test_label_sets_have_rows_by_their_names_and_arrays_are_taken():
    names = np.array(["a", "b", "c"])[LABELS.numpy()]
    table = lb.information({"code": SIGNALS.numpy()}, {"code": 0.5}, {"shape": names, "size": LABELS == 0})
    quantities = ["I(X;T)", "I(T;shape)", "I(X;T|shape)", "h(T)", "h(T|X)", "I(T;size)", "I(X;T|size)"]
    assert {row.quantity for row in table} == set(quantities)
    expected = lb.information({"code": SIGNALS}, 0.5, LABELS)
    assert table["code", "I(T;shape)"].value == expected["code", "I(T;Y)"].value
    assert table["code", "I(T;size)"].upper <= math.log(20) - 7 / 20 * math.log(7) - 13 / 20 * math.log(13) + 1e-12


def test_halves_of_the_draws_serve_the_two_entropies_of_the_papers_estimator():
    table = lb.information(DRAWS, 0.5, estimator="paper")
    moved = DRAWS.clone()
    moved[:, 4:] *= 3
    other = lb.information(moved, 0.5, estimator="paper")
    assert table["signals", "h(T)"].plug_in == other["signals", "h(T)"].plug_in
    assert table["signals", "h(T|X)"].plug_in != other["signals", "h(T|X)"].plug_in


@pytest.mark.parametrize(
    ("signals", "options", "error", "message"),
    [
        (SIGNALS.tolist(), {}, TypeError, "signals: got list"),
        (SIGNALS.half(), {}, TypeError, "signals: got dtype torch.float16"),
        (SIGNALS.long(), {}, TypeError, "signals: got dtype torch.int64"),
        (
            SIGNALS[:, 0],
            {},
            ValueError,
            r"signals: got shape \(20,\), wanted \(n, d\), .*; .* pass signals\[:, None\]$",
        ),
        (SIGNALS[:0], {}, ValueError, r"signals: got shape \(0, 3\)"),
        (SIGNALS[:, :0], {}, ValueError, r"signals: got shape \(20, 0\)"),
        (normal_tensor(4, 2, 3, 3), {}, ValueError, r"signals: got shape \(4, 2, 3, 3\), .*signals.flatten\(1\)"),
        (SIGNALS[:1], {}, ValueError, "signals: got 1 row, wanted at least 2"),
        (DRAWS[:, :1], {}, ValueError, r"signals: got shape \(20, 1, 3\), a single draw .*signals\[:, 0\]"),
        (
            DRAWS[:, :3],
            {"estimator": "paper"},
            ValueError,
            "estimator: got 'paper' for 3 draws, wanted at least 4",
        ),
        (SIGNALS / 0, {}, ValueError, "signals: got NaN or infinity"),
        ({"fc": SIGNALS * math.nan}, {}, ValueError, "signals of layer 'fc': got NaN"),
        ({}, {}, ValueError, "signals: got an empty mapping"),
        ({1: SIGNALS}, {}, TypeError, "signals: got a mapping with keys that are not str"),
        (SIGNALS, {"sigma": 0.0}, ValueError, "sigma: got 0.0"),
        (SIGNALS, {"sigma": lb.RelativeSigma(0.1)}, TypeError, "sigma: got RelativeSigma"),
        (SIGNALS, {"sigma": torch.ones(2)}, ValueError, "sigma: got noise of 2 units for 'signals', wanted 3"),
        (DRAWS, {"sigma": torch.ones(8)}, ValueError, "sigma: got noise of 8 units for 'signals', wanted 3"),
        ({"fc": SIGNALS}, {"sigma": {"fc1": 0.1}}, ValueError, "sigma: got a mapping without 'fc'"),
        (SIGNALS, {"labels": LABELS[:5]}, ValueError, "labels: got shape"),
        (SIGNALS, {"labels": {"Y": None}}, TypeError, "labels: got NoneType"),
        (SIGNALS, {"labels": {0: LABELS}}, TypeError, "labels: got a mapping with keys that are not str"),
        (SIGNALS, {"queries": 1}, ValueError, "queries: got 1"),
    ],
)
def test_argument_that_cannot_be_measured_is_refused_by_name(signals, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        lb.information(signals, **{"sigma": 0.5} | options)
