"""InformationTable: keys, layers, limits, flat names for loggers, data frames and data sets."""

import dataclasses
import importlib.util
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from layerbits import (
    Estimate,
    InformationHistory,
    InformationRow,
    InformationTable,
    SigmaProfile,
    SigmaRow,
    UsageError,
)
from layerbits._base.notebook_tables import _WARNINGS
from layerbits.estimators.audits import SENTENCES

ROW = InformationRow("fc1[mean]", "I(X;T)", "draws", 2.0, 0.5, 1.0, 3.0, "nats", 32, 0.1)
ROWS = (
    ROW,
    dataclasses.replace(ROW, quantity="I(X;T|Y)", value=0.5, lower=0.25, upper=1.0),
    dataclasses.replace(ROW, layer="a.2", note="<raise> draws", flags=("tolerance_missed",)),
    dataclasses.replace(ROW, layer="a.2", quantity="h(T)", value=-1.0, lower=-2.0, upper=0.5),
)
TABLE = InformationTable(ROWS, {"I(X;T)": 4.0, "I(X;T|Y)": 3.0})


def parsed(page):
    return ElementTree.fromstring(f"<div>{page}</div>")


def test_table_of_a_layer_has_its_rows_and_the_limits():
    assert TABLE.layers == ("fc1[mean]", "a.2")
    assert TABLE["a.2"] == InformationTable(ROWS[2:])
    assert TABLE["a.2"].limits == TABLE.limits
    with pytest.raises(KeyError, match=r"no layer 'b'; the table has 'fc1\[mean\]', 'a.2'"):
        TABLE["b"]
    with pytest.raises(KeyError) as refusal:
        TABLE["fc1[mean]", "I(T;Z)"]
    assert "layers: 'fc1[mean]', 'a.2'; quantities: 'I(X;T)', 'I(X;T|Y)', 'h(T)'" in refusal.value.args[0]


def test_table_contains_its_layers_keys_and_rows_alone():
    for key in ("fc1[mean]", ("a.2", "h(T)"), ROW):
        assert key in TABLE
    for key in ("b", ("a.2", "I(X;T|Y)"), dataclasses.replace(ROW, value=1.5), 0, ["a.2"]):
        assert key not in TABLE


def test_refused_keys_list_at_most_twenty_names():
    wide = InformationTable(tuple(dataclasses.replace(ROW, layer=f"layer{i}") for i in range(100)))
    for key in ("b", 0, ("b", "I(X;T)")):
        with pytest.raises(KeyError, match="'layer19' and 80 more"):
            wide[key]


def test_prefix_of_flat_names_is_text():
    with pytest.raises(TypeError, match=r"^prefix: got int, wanted text"):
        TABLE.scalars(3)


def test_limits_in_bits_are_nats_over_log_two():
    assert TABLE.bits.limits["I(X;T)"] == pytest.approx(4 / math.log(2), rel=1e-15)
    assert TABLE.bits.bits.limits == TABLE.bits.limits


def test_a_row_is_a_number():
    assert float(ROW) == 2.0


def test_printed_forms_for_programmers_are_short():
    assert repr(TABLE) == "InformationTable(layers=('fc1[mean]', 'a.2'), rows=4)"
    short = "InformationRow(layer='fc1[mean]', quantity='I(X;T)', value=2.0, lower=1.0, upper=3.0, unit='nats')"
    assert repr(ROW) == short
    assert repr(InformationHistory({3: TABLE}, 0.95, False)) == (
        "InformationHistory(epochs=(3,), layers=('fc1[mean]', 'a.2'))"
    )


def test_flat_names_have_only_characters_that_all_loggers_take():
    scalars = TABLE.scalars("train loss")
    assert len(scalars) == 3 * len(ROWS)
    assert all(re.fullmatch(r"[A-Za-z0-9_./-]+", name) for name in scalars)
    assert scalars["train_loss/fc1_mean_/I_XT"] == 2.0
    assert scalars["train_loss/fc1_mean_/I_XT_given_Y_lower"] == 0.25
    assert scalars["train_loss/a.2/h_T_upper"] == 0.5


@pytest.mark.parametrize(("prefix", "first"), [("", "fc1_mean_/I_XT"), ("train/", "train/fc1_mean_/I_XT")])
def test_flat_names_have_no_empty_parts(prefix, first):
    assert next(iter(TABLE.scalars(prefix))) == first


def test_flat_names_that_coincide_are_refused():
    rows = (ROW, dataclasses.replace(ROW, layer="fc1(mean)"))
    with pytest.raises(ValueError, match=r"^layers: got two rows with the flat name 'information/fc1_mean_/I_XT'"):
        InformationTable(rows).scalars()


def test_data_set_of_a_table_has_the_order_of_its_rows_and_nan_where_there_is_no_row():
    data = TABLE.to_xarray()
    assert data.layer.values.tolist() == ["fc1[mean]", "a.2"]
    assert float(data.upper.sel(layer="a.2", quantity="h(T)")) == 0.5
    assert np.isnan(data.value.sel(layer="a.2", quantity="I(X;T|Y)"))


def test_data_set_is_written_to_netcdf_with_its_flags(tmp_path):
    xarray = pytest.importorskip("xarray")
    TABLE.to_xarray().to_netcdf(tmp_path / "table.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "table.nc", engine="scipy") as data:
        assert data.flags.sel(layer="a.2", quantity="I(X;T)") == "tolerance_missed"


def test_data_of_a_history_has_its_epochs():
    history = InformationHistory({10: TABLE, 2: InformationTable(ROWS[:1])}, 0.95, False)
    assert history.to_pandas().epoch.tolist() == [2, 10, 10, 10, 10]
    data = history.to_xarray()
    assert data.value.dims == ("epoch", "layer", "quantity")
    assert np.isnan(data.value.sel(epoch=2, layer="a.2", quantity="I(X;T)"))


def test_data_of_a_profile_has_its_sigmas():
    rows = [SigmaRow("1", sigma, "I(X;T)", value, 0.1, 0.0, 2.0) for sigma, value in ((1.0, 0.5), (0.1, 1.5))]
    profile = SigmaProfile(tuple(rows))
    assert profile.to_xarray().value.sel(layer="1", quantity="I(X;T)").values.tolist() == [0.5, 1.5]
    assert repr(profile) == "SigmaProfile(layers=('1',), sigmas=(1.0, 0.1))"


@pytest.mark.parametrize("package", ["pandas", "xarray"])
def test_missing_package_is_named_with_its_extra(monkeypatch, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(UsageError, match=rf"^{package}: not installed.* pip install 'layerbits\[frames\]'"):
        TABLE.to_xarray()


def test_notebook_table_has_a_bar_for_each_information_on_the_axis_to_the_largest_limit():
    page = parsed(TABLE._repr_html_())
    rows = page.findall(".//tr")
    assert [cell.text for cell in rows[0]] == ["layer", "quantity", "value", "interval", "0 to 4.0000", "notes"]
    bars = [row.find(".//svg") for row in rows[1:]]
    assert [bar is not None for bar in bars] == [True, True, True, False]  # h(T) has no limit
    # The axis takes pixels 4 to 156; ends are at 1/4 and 3/4 of it, the value at 1/2.
    _, limit, interval, value = bars[0].findall("path")
    assert interval.get("d") == "M42.0 7.0H118.0"
    assert limit.get("d") == "M156.0 0v14"
    assert value.get("d") == "M80.0 5.0v4"


def test_notebook_does_not_narrow_the_bars():
    (style,) = parsed(TABLE._repr_html_()).findall("style")
    assert ".layerbits svg {max-width: none !important}" in style.text  # JupyterLab sets 100 % of the cell


def test_notebook_table_escapes_notes_and_marks_warnings():
    notes = [row[-1].text for row in parsed(TABLE._repr_html_()).findall(".//tr")[1:]]
    assert notes == [None, None, "\N{WARNING SIGN} <raise> draws", None]


@pytest.mark.parametrize(("name", "wrapped"), [("fc", None), ("block" * 20, "long")])
def test_notebook_wraps_long_names(name, wrapped):
    page = parsed(InformationTable((dataclasses.replace(ROW, layer=name),))._repr_html_())
    assert page.findall(".//td")[0].get("class") == wrapped
    assert ".layerbits td.long {min-width: 12em; max-width: 24em; overflow-wrap: anywhere}" in page.find("style").text


def test_bar_of_a_narrow_interval_has_a_least_width_around_it():
    row = dataclasses.replace(ROW, lower=2.0, upper=2.0)
    page = parsed(InformationTable((row,), {"I(X;T)": 4.0})._repr_html_())
    assert page.findall(".//svg/path")[2].get("d") == "M78.5 7.0H81.5"


@pytest.mark.parametrize(
    ("result", "titles"),
    [
        (Estimate(2.0, 0.5, 1.0, 3.0, 0.95, 32), []),
        (Estimate(-2.0, 0.5, -3.0, -1.0, 0.95, 32), []),
        (ROW, ["layer", "quantity"]),
        (SigmaRow("1", 0.5, "I(X;T)", 2.0, 0.1, 1.0, 3.0), ["layer", "sigma", "quantity"]),
    ],
)
def test_single_result_without_a_limit_has_no_bar(result, titles):
    heads, cells = parsed(result._repr_html_()).findall(".//tr")
    assert [cell.text for cell in heads] == [*titles, "value", "interval", "notes"]
    assert [cell.text for cell in cells[: len(titles)]] == [
        f"{name:g}" if isinstance(name, float) else name for name in (getattr(result, title) for title in titles)
    ]
    assert cells[len(titles)].text == f"{result.value:.4f} nats"
    assert parsed(result._repr_html_()).find(".//svg") is None


def test_every_flag_that_asks_for_more_draws_is_a_warning():
    asking = {flag for flag, sentence in SENTENCES.items() if "take more" in sentence}
    assert asking
    assert asking <= _WARNINGS


def test_flags_of_all_rows_stand_below_the_notebook_table():
    rows = [dataclasses.replace(row, flags=(*row.flags, "measurement_noise")) for row in ROWS]
    page = parsed(InformationTable(tuple(rows))._repr_html_())
    assert [row[-1].text for row in page.findall(".//tr")[1:]] == [None, None, "\N{WARNING SIGN} <raise> draws", None]
    assert page.find("div").text == "All rows: \N{INFORMATION SOURCE} measurement noise"


def test_notebook_history_has_the_first_and_the_last_epoch():
    history = InformationHistory(dict.fromkeys((1, 5, 10), TABLE), 0.95, False)
    page = parsed(history._repr_html_())
    assert [row[0].text for row in page.findall(".//tr")[1:]] == ["1"] * 4 + ["10"] * 4
    assert history._repr_html_().startswith("3 epochs; the first and the last<")
    assert InformationHistory({1: TABLE}, 0.95, False)._repr_html_().startswith("1 epoch<")


@pytest.mark.parametrize("result", [InformationTable(()), InformationHistory({}, 0.95, False), SigmaProfile(())])
def test_empty_results_have_a_notebook_form(result):
    assert result._repr_html_().endswith("<div>no rows</div>")


def test_printed_values_stand_below_one_another_for_symbols_of_any_length():
    rows = tuple(dataclasses.replace(ROW, quantity=symbol) for symbol in ("h(T)", "I(X;T|digit)", "SI_1(X;T|Y)"))
    profile = SigmaProfile(tuple(SigmaRow("fc1", 0.5, row.quantity, 1.0, 0.1, 0.9, 1.1, "nats") for row in rows))
    for text in (str(InformationTable(rows)), str(profile)):
        assert len({line.index(" nats") for line in text.splitlines()}) == 1
