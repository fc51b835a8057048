"""Results: printed forms, conversion to bits, and immutability."""

import dataclasses
import math

import pytest

from layerbits import Estimate, InformationRow, InformationTable

ESTIMATE = Estimate(4.123, 0.004, 4.115, 4.131, 0.95, 8192)
ROW = InformationRow(
    "1", "I(X;T)", "draws", 2.0, 0.5, 1.0, 3.0, "nats", 32, 0.1, "a note", 2.5, 0.4, 1.5, 0.6, "Gaussian", "draws"
)
NATS = ["value", "standard_error", "lower", "upper", "plug_in", "plug_in_error", "decoded", "decoded_error"]
TABLE = InformationTable((ROW, dataclasses.replace(ROW, layer="tanh", quantity="h(T)", value=-1.0, note="")))


def test_estimate_prints_value_error_and_interval():
    assert str(ESTIMATE) == "4.123 +- 0.004 nats (95 %: 4.115 to 4.131)"


def test_estimate_without_an_error_prints_value_and_interval():
    text = str(dataclasses.replace(ESTIMATE, standard_error=math.nan))
    assert text == "4.123 nats (95 %: 4.115 to 4.131)"


@pytest.mark.parametrize("result", [ESTIMATE, ROW])
def test_results_without_an_error_are_equal(result):
    first, second = (dataclasses.replace(result, standard_error=float("nan")) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first.bits == second.bits
    assert math.isnan(first.bits.standard_error)
    assert first not in (result, dataclasses.replace(first, value=0.0), None)


def test_zero_prints_without_a_sign_and_in_ascii():
    negative = dataclasses.replace(ESTIMATE, value=-1e-7, standard_error=0.0, lower=-0.0, upper=-4e-4)
    assert str(negative) == "0.000 +- 0.000 nats (95 %: 0.000 to 0.000)"
    row = str(dataclasses.replace(ROW, value=-1e-7, lower=-4e-5, upper=-0.0))
    assert row == "I(X;T)       0.0000 nats  [0.0000, 0.0000]  (a note)"
    assert str(negative).isascii()
    assert row.isascii()


def test_level_of_the_interval_prints_without_trailing_zeros():
    assert "(99.9 %:" in str(dataclasses.replace(ESTIMATE, confidence=0.999))


def test_estimate_that_did_not_converge_says_so():
    text = str(dataclasses.replace(ESTIMATE, converged=False))
    assert text == "4.123 +- 0.004 nats (95 %: 4.115 to 4.131), tolerance not reached in 8192 draws"


def test_estimate_names_the_assumption_of_its_ends():
    estimate = dataclasses.replace(ESTIMATE, flags=("tail_assumed",))
    assert estimate.note == "assumes that no signal lies 10 times as far from the center as in a pilot"
    assert str(estimate).endswith(f", {estimate.note}")
    assert estimate.note in estimate._repr_html_()
    assert dataclasses.replace(estimate, converged=False).note.endswith(f" in 8192 draws; {estimate.note}")
    assert ESTIMATE.note == ""


def test_estimate_in_bits_prints_bits():
    assert str(ESTIMATE.bits) == "5.948 +- 0.006 bits (95 %: 5.937 to 5.960)"


@pytest.mark.parametrize("field", ["value", "standard_error", "lower", "upper"])
def test_estimate_in_bits_is_nats_over_log_two(field):
    assert getattr(ESTIMATE.bits, field) == pytest.approx(getattr(ESTIMATE, field) / math.log(2), rel=1e-15)


@pytest.mark.parametrize("field", ["confidence", "draws", "converged"])
def test_conversion_to_bits_keeps_the_other_fields(field):
    assert getattr(ESTIMATE.bits, field) == getattr(ESTIMATE, field)


@pytest.mark.parametrize("result", [ESTIMATE, ROW, TABLE])
def test_conversion_to_bits_is_idempotent(result):
    assert result.bits.bits == result.bits


@pytest.mark.parametrize("field", NATS)
def test_row_in_bits_is_nats_over_log_two(field):
    assert getattr(ROW.bits, field) == pytest.approx(getattr(ROW, field) / math.log(2), rel=1e-15)


@pytest.mark.parametrize(("result", "field"), [(ESTIMATE, "value"), (ROW, "value"), (TABLE, "rows")])
def test_results_are_frozen(result, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, field, 0)


def test_table_is_indexed_by_layer_and_quantity():
    assert TABLE["tanh", "h(T)"].value == -1


def test_error_for_an_unknown_row_lists_layers_and_quantities():
    with pytest.raises(KeyError, match=r"no row \('2', 'h\(T\)'\).*layers: '1', 'tanh'; quantities: 'I\(X;T\)'"):
        TABLE["2", "h(T)"]


def test_table_is_a_sequence_of_its_rows():
    assert (len(TABLE), list(TABLE)) == (2, list(TABLE.rows))


def test_table_in_bits_converts_every_row():
    assert [row.unit for row in TABLE.bits] == ["bits", "bits"]


def test_table_prints_a_line_for_each_row():
    assert str(TABLE).splitlines() == [
        "1     I(X;T)       2.0000 nats  [1.0000, 3.0000]  (a note)",
        "tanh  h(T)        -1.0000 nats  [1.0000, 3.0000]",
    ]


def test_row_prints_as_in_a_table_without_its_layer():
    assert str(ROW.bits) == "I(X;T)       2.8854 bits  [1.4427, 4.3281]  (a note)"


def test_empty_table_prints_nothing():
    assert str(InformationTable(())) == ""


COLUMNS = [
    "layer", "quantity", "estimator", "value", "standard_error", "lower", "upper", "unit", "draws", "seconds", "note",
    "plug_in", "plug_in_error", "decoded", "decoded_error", "decoder", "limited_by", "flags",
]  # fmt: skip


@pytest.mark.parametrize("table", [TABLE, InformationTable(())])
def test_data_frame_has_a_column_for_each_field(table):
    assert list(table.to_pandas().columns) == COLUMNS


def test_data_frame_has_the_values_of_the_rows():
    assert [tuple(row) for row in TABLE.to_pandas().itertuples(index=False)] == [
        dataclasses.astuple(row) for row in TABLE
    ]
