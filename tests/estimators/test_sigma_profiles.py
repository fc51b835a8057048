"""Profiles over sigma against quadrature, tables and mixtures; the single pass against exact sums; intervals that hold.

Values are compared within Z standard errors; seeds are fixed. A table of BPSK has six digits, and at its least sigma a
query is mistaken once in millions, which costs 1.2e-6 that a standard error may not know of: in all 2.2e-6.
"""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from layerbits import layer_activations, mixture_information, sigma_profile
from layerbits.estimators import SigmaRow
from layerbits.estimators.sigma_profiles import _audited, _log_sums_by_sigma, _log_sums_in_one_pass
from tests.support.answers import BPSK, information_in_plane, information_on_line

Z = 5


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def by_quantity(profile, quantity="I(X;T)"):
    return [row for row in profile if row.quantity == quantity]


def clusters(n, d, seed=0):
    """Two clusters far apart, each a thousand times smaller than their distance; two points of each coincide."""
    ends = random(2, d, seed=seed)[torch.arange(n) % 2]
    points = ends + 1e-3 * random(n, d, seed=seed + 1)
    points[2:4] = points[:2]
    return points - points.mean(0)


# Truth


def test_bpsk_has_the_tabled_information():
    profile = sigma_profile(torch.tensor([[-1.0], [1.0]]).repeat(2000, 1), list(BPSK))
    for row, truth in zip(profile, BPSK.values(), strict=True):
        assert abs(row.value - truth) <= Z * row.standard_error + 2.2e-6


@pytest.mark.parametrize("d", [2, 6])
def test_cube_has_the_information_of_its_axes(d):
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * d)
    profile = sigma_profile(corners.repeat(4096 // len(corners), 1), list(BPSK))
    for row, truth in zip(profile, BPSK.values(), strict=True):
        assert abs(row.value - d * truth) <= Z * row.standard_error + d * 2.2e-6


def test_line_has_the_information_of_quadrature():
    centers, sigmas = np.array([-1.0, 0.2, 0.4, 3.0]), np.geomspace(0.05, 5, 8)
    for row in sigma_profile(centers.repeat(500)[:, None], sigmas):
        assert abs(row.value - information_on_line(centers, row.sigma)) <= Z * row.standard_error + 1e-9


def test_plane_has_the_information_of_quadrature():
    centers = random(5, 2, seed=4).numpy()
    for row in sigma_profile(centers.repeat(400, 0), [0.1, 0.5, 1.0]):
        assert abs(row.value - information_in_plane(centers, row.sigma)) <= Z * row.standard_error + 1e-9


# 199 dimensions, those of 200 points, are taken in one pass; few dimensions one sigma after the other.
narrow_and_wide = pytest.mark.parametrize("d", [3, 400])
SIGMAS = np.geomspace(0.1, 2, 20)


@narrow_and_wide
def test_points_have_the_information_of_their_mixture(d):
    points = random(200, d, seed=1) / math.sqrt(d)
    for row in sigma_profile(points, SIGMAS).rows[::5]:
        truth = mixture_information(points, row.sigma, tolerance=0.05, seed=5)
        assert abs(row.value - truth.value) <= Z * math.hypot(row.standard_error, truth.standard_error) + 1e-6


@narrow_and_wide
def test_classes_have_the_information_of_their_mixtures(d):
    """I(X;T|Y) is the mean over the classes of the information of each; they have 100, 60 and 40 points."""
    classes = np.array([2, 0, 1, 2, 2, 0, 0, 0, 0, 1] * 20)
    points = (random(200, d, seed=1) + 2 * torch.from_numpy(classes)[:, None]) / math.sqrt(d)
    profile = sigma_profile(points, SIGMAS, labels=classes)
    for row in by_quantity(profile, "I(X;T|Y)")[::5]:
        parts = [mixture_information(points[classes == y], row.sigma, tolerance=0.05, seed=5 + y) for y in range(3)]
        shares = np.bincount(classes) / 200
        truth = sum(share * part.value for share, part in zip(shares, parts, strict=True))
        error = math.hypot(*(share * part.standard_error for share, part in zip(shares, parts, strict=True)))
        assert abs(row.value - truth) <= Z * math.hypot(row.standard_error, error) + 1e-6


@narrow_and_wide
def test_chain_rule_holds_to_rounding(d):
    profile = sigma_profile(random(200, d), 20 * SIGMAS, labels=torch.arange(200) % 4)
    parts = zip(*(by_quantity(profile, name) for name in ("I(X;T)", "I(T;Y)", "I(X;T|Y)")), strict=True)
    for whole, of_class, within in parts:
        assert whole.value == pytest.approx(of_class.value + within.value, abs=1e-12)


def test_single_input_has_no_information():
    (row,) = sigma_profile(torch.ones(1, 3), [0.1])
    assert (row.value, row.lower, row.upper) == (pytest.approx(0, abs=1e-14), 0, 0)


def test_classes_of_one_input_leave_nothing_to_know():
    row = by_quantity(sigma_profile(random(6, 2), [0.5], labels=torch.arange(6)), "I(X;T|Y)")[0]
    assert (row.value, row.lower, row.upper) == (pytest.approx(0, abs=1e-14), 0, 0)


# The single pass


def exact_log_sum(own, z, centers, sigma):
    """In 50 digits: log sum_k of the exponents over the own one, and sum_k p_k |e_k|."""
    with mpmath.workdps(50):
        width = mpmath.mpf(sigma)
        differences = [
            [mpmath.mpf(float(a)) - mpmath.mpf(float(b)) for a, b in zip(own, c, strict=True)] for c in centers
        ]
        noise = [mpmath.mpf(float(value)) for value in z]
        exponents = [
            -mpmath.fsum((u / width + v) ** 2 for u, v in zip(row, noise, strict=True)) / 2 for row in differences
        ]
        total = mpmath.fsum(map(mpmath.exp, exponents))
        mean = mpmath.fsum(-mpmath.exp(e) * e for e in exponents) / total
        return float(mpmath.log(total) + mpmath.fsum(v**2 for v in noise) / 2), float(mean)


@pytest.mark.parametrize("sigma", [1e-4, 1e-3, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("points", [random(20, 30), clusters(20, 30)], ids=["cloud", "clusters"])
def test_single_pass_is_as_exact_as_it_says(points, sigma):
    """The bound is made of those of `_pairs`, with |s_i - s_j|^2 <= (4 |e_j| + 2 |z|^2) sigma^2."""
    d, noise = points.shape[1], random(*points[:, None].repeat(1, 2, 1).shape, seed=9)
    pooled, *_ = _log_sums_in_one_pass(points, noise, torch.tensor([0, len(points)]), [sigma])
    for row, query in [(0, 0), (2, 1), (7, 0)]:
        exact, exponent = exact_log_sum(points[row], noise[row, query], points, sigma)
        bound = d * np.finfo(float).eps * (40 * exponent + 22 * float(noise[row, query].square().sum()))
        assert abs(float(pooled[0, row, query]) - exact) <= bound


@pytest.mark.parametrize("chunk", [1, 1000, 10**9])
def test_single_pass_agrees_with_the_kernel_in_chunks_of_any_size(monkeypatch, chunk):
    monkeypatch.setattr("layerbits.estimators.sigma_profiles._CHUNK", chunk)
    points, offsets, sigmas = clusters(41, 20), torch.tensor([0, 10, 13, 41]), [1e-4, 1e-3, 0.5, 5.0]
    arguments = (points, random(41, 3, 20, seed=9), offsets, sigmas)
    for one_pass, kernel in zip(_log_sums_in_one_pass(*arguments), _log_sums_by_sigma(*arguments), strict=True):
        # The bound of the test above, with sum_k p_k |e_k| <= |z|^2 / 2 + log n (the softmax has the least free energy,
        # and the own term has |z|^2 / 2), and |z|^2 < 80 at 20 dimensions. The kernel rounds its points to
        # eps |s|, and its exponents move by |z| |s| eps / sigma < 9 * 6 * 1e4 eps.
        bound = np.finfo(float).eps * (20 * (40 * (40 + math.log(41)) + 22 * 80) + 9 * 6e4)
        torch.testing.assert_close(one_pass, kernel, rtol=0, atol=bound)


def test_exponents_that_grow_beyond_all_floats_do_no_harm():
    for scale, sigma in ((1e150, 1e-150), (1e160, 1e-140)):  # in one pass, and left to the kernel
        row = sigma_profile(scale * random(200, 400), [sigma] * 20).rows[0]
        assert row.value == pytest.approx(math.log(200), abs=1e-12)


def test_wide_layers_are_passed_over_once(monkeypatch):
    passes = []
    monkeypatch.setattr(
        "layerbits.estimators.sigma_profiles._log_sums_in_one_pass",
        lambda *arguments: passes.append(1) or _log_sums_in_one_pass(*arguments),
    )
    sigma_profile(random(200, 400), SIGMAS)
    sigma_profile(random(200, 5), SIGMAS)
    assert passes == [1]


# Intervals and audits


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_interval_covers_the_truth(sigma):
    n_seeds, centers = 100, np.array([-1.0, 0.2, 0.4, 3.0])
    truth, points = information_on_line(centers, sigma), centers.repeat(10)[:, None]
    rows = [next(iter(sigma_profile(points, [sigma], seed=seed))) for seed in range(n_seeds)]
    # With a coverage of 95 % or more, fewer than this happen once in a million.
    assert sum(row.lower <= truth <= row.upper for row in rows) >= stats.binom.ppf(1e-6, n_seeds, 0.95)


@pytest.mark.parametrize("d", [3, 600])
def test_inputs_far_apart_are_certified_by_their_distances(d):
    """By the kernel and in one pass; the Monte Carlo interval of 80 queries alone would be .4 nats wide."""
    for row in sigma_profile(random(20, d), np.geomspace(1e-6, 1e-3, 5)):
        assert math.log(20) - 1e-9 <= row.lower <= row.value <= row.upper <= math.log(20)


def test_interval_narrows_with_queries():
    few, many = (next(iter(sigma_profile(random(50, 2), [1.0], queries=queries))) for queries in (4, 256))
    # 64 times the queries: an eighth, and less of what the first stakes cost.
    assert many.upper - many.lower < (few.upper - few.lower) / 4


def test_interval_stays_between_zero_and_log_n():
    for row in sigma_profile(random(10, 2), [1e-3, 1e3]):
        assert 0 <= row.lower <= row.upper <= math.log(10)


def test_saturation_is_noted():
    saturated, not_saturated = sigma_profile(random(50, 2), [1e-4, 1.0])
    assert "saturated at log N" in saturated.note
    assert not not_saturated.note


def test_information_that_rises_with_sigma_is_noted():
    def row(sigma, value):
        return SigmaRow("", sigma, "I(X;T)", value, 0.01, value - 0.02, value + 0.02)

    notes = [one.note for one in _audited([row(0.1, 1.0), row(0.2, 1.5), row(0.3, 0.9)], math.log(10))]
    assert notes == ["below that at sigma = 0.2: raise queries", "", ""]


# What goes in and comes out


def test_rows_come_by_layer_sigma_and_quantity_in_the_order_given():
    layers = {"b": random(8, 2), "a": random(8, 3)}
    rows = [(row.layer, row.sigma, row.quantity) for row in sigma_profile(layers, [1.0, 0.1], labels=np.arange(8) % 2)]
    quantities = ("I(X;T)", "I(T;Y)", "I(X;T|Y)")
    assert rows == [(layer, sigma, name) for layer in "ba" for sigma in (1.0, 0.1) for name in quantities]


def test_activations_of_a_network_have_a_profile():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    inputs = random(30, 4).float()
    (row,) = sigma_profile(layer_activations(model, inputs), [0.5])
    (same,) = sigma_profile({"1": torch.tanh(model[0](inputs))}, [0.5])
    assert row == same


def test_activations_are_flattened():
    points = random(10, 2, 3)
    assert sigma_profile(points, [1.0]) == sigma_profile(points.flatten(1).numpy(), [1.0])


def test_activations_are_not_written():
    points = random(200, 200)
    before = points.clone()
    sigma_profile(points, SIGMAS)
    assert torch.equal(points, before)


def test_seed_decides_the_values():
    first, again, other = (sigma_profile(random(10, 2), [1.0], seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_another_sigma_in_the_list_changes_no_value():
    alone, together = sigma_profile(random(10, 2), [0.1]), sigma_profile(random(10, 2), [1.0, 0.1])
    assert alone.rows[0] == together.rows[1]


def test_profile_becomes_a_data_frame():
    frame = sigma_profile({"1": random(8, 2)}, [0.1, 1.0]).to_pandas()
    assert list(frame["sigma"]) == [0.1, 1.0]
    assert set(frame) >= {"layer", "quantity", "value", "standard_error", "lower", "upper", "unit", "note"}


def test_profile_converts_to_bits_once():
    profile = sigma_profile(random(8, 2), [1.0])
    (nats,), (bits,) = profile, profile.bits
    assert [bits.value, bits.lower, bits.upper, bits.standard_error] == [
        value / math.log(2) for value in (nats.value, nats.lower, nats.upper, nats.standard_error)
    ]
    assert profile.bits.bits == profile.bits


def test_profile_prints_a_line_for_each_row():
    assert len(str(sigma_profile({"1": random(8, 2)}, [0.1, 1.0])).splitlines()) == 2


POINTS = random(8, 2)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((POINTS, []), {}, "sigmas: got none"),
        ((POINTS, [0.1, 0]), {}, "sigmas: got 0"),
        ((POINTS, [math.inf]), {}, "sigmas: got inf"),
        (({}, [1.0]), {}, "activations: got an empty mapping"),
        ((POINTS[:0], [1.0]), {}, r"activations: got shape \(0, 2\)"),
        ((POINTS / 0, [1.0]), {}, "activations: got NaN or infinity"),
        (({"1": POINTS / 0}, [1.0]), {}, "activations of layer '1': got NaN"),
        ((POINTS, [1.0]), {"labels": torch.arange(7)}, r"labels: got shape \(7,\)"),
        ((POINTS, [1.0]), {"queries": 1}, "queries: got 1"),
        ((POINTS, [1.0]), {"confidence": 1.0}, "confidence: got 1.0"),
        ((POINTS, [1.0]), {"seed": -1}, "seed: got -1"),
    ],
)
def test_argument_out_of_range_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        sigma_profile(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((POINTS.long(), [1.0]), {}, "activations: got dtype"),
        (([[1.0]], [1.0]), {}, "activations: got list"),
        ((POINTS, ["1"]), {}, "sigmas: got str"),
        ((POINTS, 1.0), {}, "sigmas: got float"),
        ((POINTS, [1.0]), {"labels": torch.ones(8)}, "labels: got dtype"),
    ],
)
def test_argument_of_another_type_is_refused(arguments, options, message):
    with pytest.raises(TypeError, match=message):
        sigma_profile(*arguments, **options)
