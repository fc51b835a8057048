"""Intervals, and values by condition."""

from layerbits.statistics import QUANTITIES, ByCondition, Condition, Interval


def test_shift_moves_both_ends_and_half_width_is_half_their_distance():
    assert Interval(1.0, 4.0).half_width == 1.5
    assert Interval(1.0, 4.0).shifted(2.0) == Interval(3.0, 6.0)


def test_clipping_moves_both_ends():
    assert Interval(-1.0, 4.0).clipped(0.0, 3.0) == Interval(0.0, 3.0)
    assert Interval(5.0, 6.0).clipped(0.0, 3.0) == Interval(3.0, 3.0)
    assert Interval(-2.0, -1.0).clipped(0.0, 3.0) == Interval(0.0, 0.0)
    assert str(Interval(-0.0, -0.0).clipped(-1.0, 3.0)) == "Interval(lower=0.0, upper=0.0)"


def test_overlap_is_the_length_of_the_common_part():
    assert Interval(0.0, 3.0).overlap(-1.0, 1.0) == 1.0
    assert Interval(0.0, 3.0).overlap(1.0, 2.5) == 1.5
    assert Interval(0.0, 3.0).overlap(4.0, 5.0) == 0.0
    assert Interval(0.0, 3.0).overlap(2.0, 1.0) == 0.0


def test_values_are_found_by_condition():
    values = ByCondition(given_input=1, given_class=2, marginal=3)
    assert [values[condition] for condition in (Condition.INPUT, Condition.CLASS, Condition.NONE)] == [1, 2, 3]
    assert values.map(lambda value: 10 * value) == ByCondition(10, 20, 30)


def test_information_about_the_input_is_the_sum_of_its_parts():
    """A term of I(X;T) is the sum of the terms of I(T;Y) and I(X;T|Y); a term is a difference of surprisals."""
    surprisals = ByCondition(given_input=0.25, given_class=1.0, marginal=4.0)
    terms = {x.name: surprisals[x.minuend] - surprisals[x.subtrahend] for x in QUANTITIES if x.subtrahend is not None}
    assert terms == {"I(X;T)": 3.75, "I(T;Y)": 3.0, "I(X;T|Y)": 0.75}
    assert [x.name for x in QUANTITIES if x.is_entropy] == ["h(T)", "h(T|X)"]
