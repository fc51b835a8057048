"""Rows, units, seeds and arguments of `sigma_profile`."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import layer_activations, sigma_profile
from tests.support.random_arrays import normal_tensor

POINTS = normal_tensor(8, 2)


def test_rows_have_the_order_of_layers_sigmas_and_quantities():
    layers = {"b": normal_tensor(8, 2), "a": normal_tensor(8, 3)}
    profile = sigma_profile(layers, [1.0, 0.1], labels=np.arange(8) % 2)
    quantities = ("I(X;T)", "I(T;Y)", "I(X;T|Y)")
    expected = [(layer, sigma, name) for layer in "ba" for sigma in (1.0, 0.1) for name in quantities]
    assert [(row.layer, row.sigma, row.quantity) for row in profile] == expected


def test_activations_of_a_network_have_a_profile():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    inputs = normal_tensor(30, 4, dtype=torch.float32)
    from_network = sigma_profile(layer_activations(model, inputs), [0.5])
    assert from_network == sigma_profile({"1": torch.tanh(model[0](inputs))}, [0.5])


def test_activations_are_flattened():
    points = normal_tensor(10, 2, 3)
    assert sigma_profile(points, [1.0]) == sigma_profile(points.flatten(1).numpy(), [1.0])


def test_activations_keep_their_values():
    points = normal_tensor(30, 200)
    before = points.clone()
    sigma_profile(points, np.geomspace(0.1, 2, 20))
    assert torch.equal(points, before)


def test_seed_decides_the_values():
    first, second, third = (sigma_profile(normal_tensor(10, 2), [1.0], seed=seed) for seed in (1, 1, 2))
    assert first == second != third


def test_a_further_sigma_in_the_list_changes_no_value():
    (row_of_single_sigma,) = sigma_profile(normal_tensor(10, 2), [0.1])
    assert sigma_profile(normal_tensor(10, 2), [1.0, 0.1]).rows[1] == row_of_single_sigma


def test_profile_becomes_a_data_frame():
    frame = sigma_profile({"1": POINTS}, [0.1, 1.0]).to_pandas()
    assert list(frame["sigma"]) == [0.1, 1.0]
    assert set(frame) >= {"layer", "quantity", "value", "standard_error", "lower", "upper", "unit", "note"}


def test_profile_converts_to_bits_once():
    profile = sigma_profile(POINTS, [1.0])
    (nats,), (bits,) = profile, profile.bits
    for name in ("value", "lower", "upper", "standard_error"):
        assert getattr(bits, name) == pytest.approx(getattr(nats, name) / math.log(2), rel=1e-15, nan_ok=True)
    assert profile.bits.bits == profile.bits


def test_profile_prints_a_line_for_each_row():
    assert len(str(sigma_profile({"1": POINTS}, [0.1, 1.0])).splitlines()) == 2


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
        (({1: POINTS}, [1.0]), {}, "activations: got a mapping with keys that are not str"),
        ((POINTS, ["1"]), {}, "sigmas: got str"),
        ((POINTS, 1.0), {}, "sigmas: got float"),
        ((POINTS, [1.0]), {"labels": torch.ones(8) * 1j}, "labels: got dtype"),
    ],
)
def test_argument_of_another_type_is_refused(arguments, options, message):
    with pytest.raises(TypeError, match=message):
        sigma_profile(*arguments, **options)
