"""Point estimates, intervals and causes of their width, from two bounds."""

import dataclasses
import math

import numpy as np
import pytest

from layerbits.estimators.decoder_bound import DecoderBound
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate, entropy_estimate, information_estimate
from layerbits.statistics import Interval, JackknifeMean

# Each of three parts changes the mean by 0.01 when it is left out: the first-order bias is 2 * 0.01.
PLUG_IN = JackknifeMean(1.3, (np.full((50, 3), 0.01),))


def decoder(mean, end):
    return DecoderBound("mixture", JackknifeMean(mean, (np.zeros((50, 2)),)), end, cost=0.0)


def information(upper_end, *, loss=0.0, ceiling=2.0):
    return information_estimate(PLUG_IN, decoder(1.1, 1.0), upper_end, ceiling, loss)


def test_value_is_halfway_between_the_decoder_and_the_plug_in_less_half_of_its_bias():
    assert information(1.4).value == pytest.approx((1.3 - 0.01 + 1.1) / 2, abs=1e-12)


def test_value_of_an_entropy_subtracts_half_of_the_bias_too():
    estimate = entropy_estimate(PLUG_IN, decoder(1.6, 1.7), 1.2, 0.0)
    assert estimate.value == pytest.approx((1.3 - 0.01 + 1.6) / 2, abs=1e-12)


def test_value_is_moved_into_the_interval():
    assert information(1.15).value == 1.15


def test_ends_of_an_information_lie_between_zero_and_the_ceiling():
    estimate = information_estimate(PLUG_IN, decoder(-0.5, -1.0), 3.0, 2.0, 0.0)
    assert estimate.interval == Interval(0.0, 2.0)
    assert math.copysign(1, estimate.interval.lower) == 1


def test_ends_that_cross_by_rounding_are_equal():
    assert information(1.0 - 1e-12).interval == Interval(1.0 - 1e-12, 1.0 - 1e-12)
    assert information(0.9).interval == Interval(1.0, 0.9)


@pytest.mark.parametrize(
    ("upper_end", "loss", "cause"),
    # The bounds differ by 0.2: 0.02 through the bias, 0.18 through the decoder. Queries cause the rest of the width.
    [(1.31, 0.0, "decoder"), (1.8, 0.0, "queries"), (1.31, 0.4, "dimensions")],
)
def test_main_cause_of_the_width_is_named(upper_end, loss, cause):
    assert information(upper_end, loss=loss).limited_by == cause


def test_draws_are_the_cause_where_the_bias_makes_the_gap():
    biased_plug_in = JackknifeMean(1.3, (np.full((50, 3), 0.2),))
    assert information_estimate(biased_plug_in, decoder(1.1, 1.09), 1.31, 2.0, 0.0).limited_by == "draws"


def test_shifted_estimate_keeps_its_errors():
    estimate = TwoSidedEstimate(1.2, 0.1, Interval(1.0, 1.5), 1.3, 0.2, 1.1, 0.3, "mixture", "draws")
    assert estimate.shifted(2.0) == dataclasses.replace(
        estimate, value=3.2, interval=Interval(3.0, 3.5), plug_in=3.3, decoded=3.1
    )


def test_loss_beyond_the_ceiling_is_no_cause():
    """The plug-in bound is at the ceiling without the loss: only more draws or a better decoder narrow the interval."""
    estimate = information_estimate(PLUG_IN, decoder(1.1, 1.09), 2.0, 2.0, 100.0)
    assert estimate.interval.upper == 2.0
    assert estimate.limited_by != "dimensions"


def test_value_of_an_entropy_has_half_of_the_loss():
    with_loss, without = (entropy_estimate(PLUG_IN, decoder(1.6, 1.7), 1.2, loss) for loss in (0.5, 0.0))
    assert with_loss.value - without.value == pytest.approx(0.25, abs=1e-12)
