"""MeasurementSettings checks its values when it is made, and converts numbers to those of Python."""

import numpy as np
import pytest

from layerbits import MeasurementSettings, layer_information
from tests.support.answers import information_of_channel
from tests.support.networks import INPUTS, ScalarChain, tanh_network

BAD_SETTINGS = [
    ({"draws": 0}, ValueError),
    ({"draws": 4.0}, TypeError),
    ({"queries": 1}, ValueError),
    ({"queries": True}, TypeError),
    ({"tolerance": 0.0}, ValueError),
    ({"confidence": 1}, ValueError),
    ({"confidence": "95 %"}, TypeError),
    ({"max_seconds": 0.0}, ValueError),
    ({"max_draws": 0}, ValueError),
    ({"seed": -1}, ValueError),
    ({"estimator": "kde"}, ValueError),
]


@pytest.mark.parametrize(("options", "error"), BAD_SETTINGS)
def test_bad_settings_are_named(options, error):
    (name,) = options
    with pytest.raises(error, match=rf"^{name}: got "):
        MeasurementSettings(**options)


def test_max_draws_below_draws_is_refused_with_a_tolerance():
    MeasurementSettings(draws=32, max_draws=8)
    with pytest.raises(
        ValueError, match=r"^max_draws: got 8, wanted at least draws, 32; lower draws or raise max_draws"
    ):
        MeasurementSettings(draws=32, max_draws=8, tolerance=0.1)


def test_numbers_become_python_numbers():
    settings = MeasurementSettings(draws=np.int64(4), tolerance=np.float32(0.5), max_seconds=3, seed=np.uint8(1))
    assert [type(value) for value in (settings.draws, settings.tolerance, settings.max_seconds, settings.seed)] == [
        int,
        float,
        float,
        int,
    ]


def test_risk_is_half_of_one_minus_the_confidence():
    assert MeasurementSettings(confidence=0.9).risk == pytest.approx(0.05)


@pytest.mark.parametrize(("n_inputs", "draws"), [(2, 4096), (4, 4096), (20, 820), (512, 32), (10_000, 32)])
def test_few_inputs_have_more_draws(n_inputs, draws):
    assert MeasurementSettings().draws_for(n_inputs) == draws
    assert MeasurementSettings(draws=8).draws_for(n_inputs) == 8
    assert MeasurementSettings(tolerance=0.1, max_draws=16).draws_for(n_inputs) == 16


def test_two_inputs_have_a_narrow_interval():
    """With 32 draws the interval of two inputs is [0, log 2]."""
    chain = ScalarChain([-1.0, 1.0])
    truth = information_of_channel(chain.densities(2), chain.axis)
    row = layer_information(chain.noisy(), chain.inputs(), layers="3")["3", "I(X;T)"]
    assert row.draws == 4096
    assert row.lower <= truth <= row.upper <= row.lower + 0.1


@pytest.mark.parametrize(("options", "error"), BAD_SETTINGS)
def test_layer_information_refuses_bad_settings(options, error):
    (name,) = options
    with pytest.raises(error, match=rf"^{name}: got "):
        layer_information(tanh_network(), INPUTS, **options)
