"""MeasurementSettings checks its values when it is made, and converts numbers to those of Python."""

import numpy as np
import pytest

from layerbits import MeasurementSettings, layer_information
from tests.support.networks import INPUTS, tanh_network

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


@pytest.mark.parametrize(("options", "error"), BAD_SETTINGS)
def test_layer_information_refuses_bad_settings(options, error):
    (name,) = options
    with pytest.raises(error, match=rf"^{name}: got "):
        layer_information(tanh_network(), INPUTS, **options)
