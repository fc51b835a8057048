"""InformationHistory: epochs, layers and rows, and intervals for changes between epochs."""

import dataclasses
import math
import pickle

import pytest

from layerbits import InformationHistory, InformationRow, InformationTable

ROW = InformationRow("1", "I(X;T)", "draws", 1.0, 0.1, 0.8, 1.3, "nats", 32, 0.5, flags=("measurement_noise",))


def table(value, lower, upper, **options):
    row = dataclasses.replace(ROW, value=value, lower=lower, upper=upper, **options)
    return InformationTable((row, dataclasses.replace(row, layer="3")))


def history(*, simultaneous=True):
    tables = {
        20: table(0.4, 0.3, 0.6, standard_error=0.05, draws=8, flags=("measurement_noise", "saturated")),
        3: table(1.0, 0.8, 1.3),
    }
    return InformationHistory(tables, confidence=0.9, simultaneous=simultaneous)


def test_epochs_ascend():
    assert history().epochs == (3, 20)
    assert len(history()) == 2
    assert list(history()) == list(history().epochs)
    assert history().epochs[0] in history()
    assert 0.5 not in history()


def test_history_can_be_sent_to_another_process():
    assert pickle.loads(pickle.dumps(history())) == history()


def test_rows_are_those_of_all_tables_with_their_epochs():
    assert [(epoch, row.layer, row.value) for epoch, row in history().rows] == [
        (3, "1", 1.0),
        (3, "3", 1.0),
        (20, "1", 0.4),
        (20, "3", 0.4),
    ]
    assert history().layers == ("1", "3")


def test_change_is_the_last_less_the_first():
    change = history().change("3", "I(X;T)", first=3, last=20)
    assert (change.value, change.lower, change.upper) == pytest.approx((-0.6, 0.3 - 1.3, 0.6 - 0.8))
    assert (change.standard_error, change.draws, change.confidence) == (pytest.approx(0.15), 8, 0.9)
    assert change.flags == ("measurement_noise", "saturated")
    opposite = history().change("3", "I(X;T)", first=20, last=3)
    assert (opposite.value, opposite.lower, opposite.upper) == pytest.approx((0.6, 0.2, 1.0))


def test_change_of_a_value_without_a_standard_error_has_none():
    wide = InformationHistory({1: table(1.0, 0.5, 1.5, standard_error=math.nan), 2: table(1, 0.9, 1.1)}, 0.95, True)
    assert math.isnan(wide.change("1", "I(X;T)", 1, 2).standard_error)


def test_change_in_bits():
    in_nats, in_bits = (each.change("1", "I(X;T)", 3, 20) for each in (history(), history().bits))
    assert in_bits.unit == "bits"
    assert in_bits.lower == pytest.approx(in_nats.lower / math.log(2))


def test_change_of_intervals_that_hold_one_by_one_is_refused():
    with pytest.raises(
        ValueError, match=r"^simultaneous: got .*, wanted True, .*MeasurementSettings\(simultaneous=True"
    ):
        history(simultaneous=False).change("1", "I(X;T)", 3, 20)


def test_unknown_epochs_and_rows_are_named():
    with pytest.raises(KeyError, match="no epoch 4; the history has 3, 20"):
        history()[4]
    with pytest.raises(KeyError, match="no epoch 4"):
        history().change("1", "I(X;T)", 3, 4)
    with pytest.raises(KeyError, match="no row"):
        history().change("2", "I(X;T)", 3, 20)
    with pytest.raises(KeyError, match="the history has none"):
        InformationHistory({}, 0.95, True)[1]
