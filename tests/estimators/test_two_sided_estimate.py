"""Point estimates, intervals and causes of their width, from two bounds."""

import dataclasses
import math

import numpy as np
import pytest

from layerbits.estimators.decoder_bound import DecoderBound
from layerbits.estimators.two_sided_estimate import (
    Bounds,
    Point,
    TwoSidedEstimate,
    entropy_estimate,
    information_estimate,
)
from layerbits.statistics import Interval, JackknifeMean

# Each of three parts changes the mean by 0.01 when it is left out: the first-order bias is 2 * 0.01.
PLUG_IN = JackknifeMean(1.3, (np.full((50, 3), 0.01),))


def bounds(decoded, end, *, plug_in=PLUG_IN, own_share=0.1, cost=0.0):
    decoder = DecoderBound("mixture", JackknifeMean(decoded, (np.zeros((50, 2)),)), end, cost)
    return Bounds(plug_in, decoder, own_share)


def information(upper_end, *, loss=0.0, ceiling=2.0, **options):
    return information_estimate(bounds(1.1, 1.0, **options), upper_end, ceiling, loss)


def test_value_is_halfway_between_the_decoder_and_the_plug_in_less_half_of_its_bias():
    assert information(1.4).value == pytest.approx((1.3 - 0.01 + 1.1) / 2, abs=1e-12)


def test_value_restores_the_cost_of_the_prior():
    assert information(1.4, cost=0.04).value == pytest.approx((1.3 - 0.01 + 1.14) / 2, abs=1e-12)


def test_value_of_an_entropy_subtracts_half_of_the_bias_too():
    of_bounds = bounds(1.6, 1.7)
    estimate = entropy_estimate(of_bounds, Interval(1.25, of_bounds.decoder.end), 0.0)
    assert estimate.value == pytest.approx((1.3 - 0.01 + 1.6) / 2, abs=1e-12)


def test_error_is_that_of_a_true_value_anywhere_between_the_bounds():
    """Neither bound has a sampling error here. The value 1.195 lies 0.095 above one bound and 0.105 below the other."""
    mean_square = (0.095**3 + 0.105**3) / (3 * 0.2)
    assert information(1.4).standard_error == pytest.approx(math.sqrt(mean_square), rel=1e-9)


def test_bounds_beyond_the_interval_count_as_its_ends():
    """The plug-in of 1.3 lies above the upper end, so the value is the mean of 1.1 and 1.15."""
    assert information(1.15).value == pytest.approx(1.125)
    assert information(1.15).standard_error == pytest.approx(0.025 / math.sqrt(3))


def test_value_of_a_wide_interval_is_its_midpoint_without_an_error():
    estimate = information(1.6)
    assert estimate.value == pytest.approx(1.3)
    assert math.isnan(estimate.standard_error)
    assert (estimate.plug_in, estimate.decoded) == (1.3, 1.1)


def test_another_value_is_moved_into_the_interval():
    estimate = information(1.4).with_value(3.0, 0.02)
    assert estimate.value == 1.4
    assert estimate.standard_error == pytest.approx(math.hypot(0.02, math.sqrt(0.3**3 / (3 * 0.3))))


def test_ends_of_an_information_lie_between_zero_and_the_ceiling():
    estimate = information_estimate(bounds(-0.5, -1.0), 3.0, 2.0, 0.0)
    assert estimate.interval == Interval(0.0, 2.0)
    assert math.copysign(1, estimate.interval.lower) == 1


@pytest.mark.parametrize("ceiling", [0.0, 2.0])
def test_upper_end_of_an_information_below_zero_by_rounding_is_zero(ceiling):
    of_bounds = bounds(3e-9, -0.1, plug_in=JackknifeMean(-1e-8, (np.zeros((50, 3)),)))
    estimate = information_estimate(of_bounds, -1e-8, ceiling, 0.0)
    assert estimate.interval == Interval(0.0, 0.0)
    assert information_estimate(of_bounds, -0.1, 2.0, 0.0).interval == Interval(0.0, -0.1)


def test_ends_that_cross_by_rounding_are_equal():
    assert information(1.0 - 1e-8).interval == Interval(1.0 - 1e-8, 1.0 - 1e-8)
    assert information(0.9).interval == Interval(1.0, 0.9)


@pytest.mark.parametrize(
    ("upper_end", "loss", "cause"),
    # The bounds differ by 0.2: 0.02 through the bias, 0.18 through the decoder. Queries cause the rest of the width.
    [(1.31, 0.0, "decoder"), (1.8, 0.0, "queries"), (1.31, 0.4, "dimensions")],
)
def test_main_cause_of_the_width_is_named(upper_end, loss, cause):
    assert information(upper_end, loss=loss).limited_by == cause


def test_only_the_gap_within_the_interval_counts_as_a_part_of_its_width():
    """The bounds differ by 0.24, of which 0.1 lies above 0: less than half of the width of 0.25."""
    of_bounds = bounds(-0.14, -0.3, plug_in=JackknifeMean(0.1, (np.zeros((50, 3)),)))
    estimate = information_estimate(of_bounds, 0.25, 2.0, 0.0)
    assert estimate.interval == Interval(0.0, 0.25)
    assert estimate.limited_by == "queries"


@pytest.mark.parametrize(
    ("ends", "cause"),
    # The width is 0.2: the gap between the bounds has a part of 0.2 or 0.05, the omitted dimensions 0, 0.15 or 0.2.
    [((1.1, 1.3), "decoder"), ((0.95, 1.15), "queries"), ((1.35, 1.55), "dimensions"), ((1.1, 1.1), "")],
)
def test_ends_of_other_layers_leave_other_causes(ends, cause):
    estimate = information(1.35, loss=0.4)
    assert estimate.limited_by == "dimensions"
    assert estimate.with_interval(Interval(*ends)).limited_by == cause


@pytest.mark.parametrize(("upper_end", "has_error"), [(1.4, True), (1.8, False)])
def test_value_has_an_error_if_its_own_interval_is_narrow(upper_end, has_error):
    """Ends of other layers, which make the interval narrower, do not make the own terms reliable."""
    estimate = information(upper_end).with_interval(Interval(1.1, 1.3))
    assert math.isfinite(estimate.standard_error) == has_error
    assert has_error or estimate.value == pytest.approx(1.2)


def test_nothing_limits_an_interval_whose_ends_are_equal():
    assert information(1.0).interval == Interval(1.0, 1.0)
    assert information(1.0).limited_by == ""


def test_draws_are_the_cause_where_the_bias_makes_the_gap():
    biased_plug_in = JackknifeMean(1.3, (np.full((50, 3), 0.2),))
    assert information(1.31, plug_in=biased_plug_in).limited_by == "draws"


def test_bounds_do_not_tell_the_cause_where_queries_meet_little_but_their_own_draws():
    assert information(1.31, own_share=0.9).limited_by == "draws or decoder"
    of_bounds = bounds(1.6, 1.61, own_share=0.9)
    ends = Interval(1.29, of_bounds.decoder.end)
    assert entropy_estimate(of_bounds, ends, 0.0).limited_by == "draws or decoder"


def test_shifted_estimate_keeps_its_errors():
    point = Point(Interval(1.15, 1.25), 0.1, Interval(1.1, 1.3))
    estimate = TwoSidedEstimate(Interval(1.0, 1.5), 1.3, 0.2, 1.1, 0.3, "mixture", "draws", point)
    shifted = estimate.shifted(2.0)
    assert (shifted.value, shifted.standard_error) == pytest.approx((3.2, estimate.standard_error), abs=1e-14)
    assert shifted == dataclasses.replace(
        estimate,
        interval=Interval(3.0, 3.5),
        plug_in=3.3,
        decoded=3.1,
        point=Point(Interval(3.15, 3.25), 0.1, Interval(3.1, 3.3)),
    )


def test_loss_beyond_the_ceiling_is_no_cause():
    """The plug-in bound is at the ceiling without the loss: only more draws or a better decoder narrow the interval."""
    estimate = information(2.0, loss=100.0)
    assert estimate.interval.upper == 2.0
    assert estimate.limited_by != "dimensions"


def test_interval_that_rounding_closes_is_limited_by_nothing():
    estimate = dataclasses.replace(information(1.4), interval=Interval(0.0, 1e-20))
    assert (estimate.limited_by, estimate.shifted(1.0).limited_by) == ("queries", "")
