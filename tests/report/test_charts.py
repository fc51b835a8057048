"""The charts of a report."""

import math

import plotly.graph_objects
import pytest

from layerbits._base import InformationRow, InformationTable, write_csv
from layerbits.report.charts import information_chart, training_chart
from layerbits.training.history import TrainingRow, write_information


def row(layer="tanh1", quantity="I(X;T)", estimator="pooled", value=1.0, lower=0.5, upper=2.0, note=""):
    return InformationRow(layer, quantity, estimator, value, 0.1, lower, upper, "nats", 3, 0.1, note)


@pytest.fixture
def chart(tmp_path):
    """Return a function that makes the chart of rows by epoch."""

    def chart_of(rows_by_epoch):
        path = tmp_path / "information.csv"
        write_information(path, {epoch: InformationTable(tuple(rows)) for epoch, rows in rows_by_epoch.items()})
        return information_chart(path)

    return chart_of


def curves(view):
    return {trace["name"]: trace for trace in view["data"] if trace["hoverinfo"] == "text"}


def bands(view):
    return {trace["name"]: trace for trace in view["data"] if trace["hoverinfo"] == "skip"}


def test_band_covers_the_intervals(chart):
    view = chart({1: [row(lower=0.5, upper=2)], 4: [row(lower=0.75, upper=3)]})["I(X;T)"]
    band = bands(view)["tanh1"]
    assert set(zip(band["x"], band["y"], strict=True)) == {(1, 0.5), (1, 2), (4, 0.75), (4, 3)}
    assert band["x"] == [1, 4, 4, 1]
    assert curves(view)["tanh1"]["x"] == [1, 4]


def test_hovering_shows_value_interval_and_note(chart):
    view = chart({3: [row(value=1.25, lower=0.5, upper=2, note="saturated at log N")]})["I(X;T)"]
    (text,) = curves(view)["tanh1"]["text"]
    assert text == "tanh1, epoch 3<br>I(X;T) 1.2500 nats<br>interval 0.5000 to 2.0000<br>saturated at log N"


def test_curve_and_band_of_a_layer_share_a_legend_entry(chart):
    view = chart({1: [row("a"), row("b")]})["I(X;T)"]
    assert [trace["legendgroup"] for trace in view["data"]] == ["a", "a", "b", "b"]
    assert [trace.get("showlegend", True) for trace in view["data"]] == [False, True, False, True]


def test_markup_in_names_is_escaped_in_the_legend(chart):
    view = chart({1: [row("<b>a</b> & b")]})["I(X;T)"]
    escaped = "&lt;b&gt;a&lt;/b&gt; &amp; b"
    assert [(trace["name"], trace["legendgroup"]) for trace in view["data"]] == [(escaped, escaped)] * 2


def test_each_quantity_has_its_own_view(chart):
    views = chart({1: [row(), row(quantity="h(T)", value=-3)]})
    assert views.keys() == {"I(X;T)", "h(T)"}
    assert curves(views["h(T)"])["tanh1"]["y"] == [-3]
    assert views["h(T)"]["layout"]["yaxis"]["title"]["text"] == "h(T) in nats"


def test_estimators_of_the_same_layer_have_separate_curves(chart):
    assert curves(chart({1: [row(), row(estimator="paper")]})["I(X;T)"]).keys() == {"tanh1, pooled", "tanh1, paper"}


def test_nan_and_infinity_leave_gaps(chart):
    view = chart({1: [row()], 2: [row(value=math.nan, upper=math.inf)], 3: [row()]})["I(X;T)"]
    assert curves(view)["tanh1"]["y"] == [1, None, 1]
    assert bands(view)["tanh1"]["x"] == [1, 3, 3, 1]


@pytest.mark.parametrize(("epoch", "scale"), [(0, "linear"), (1, "log")])
def test_axis_of_epochs_is_logarithmic_unless_it_begins_at_0(chart, epoch, scale):
    assert chart({epoch: [row()], 10: [row()]})["I(X;T)"]["layout"]["xaxis"]["type"] == scale


def test_training_has_loss_and_accuracy_of_each_split(tmp_path):
    rows = [TrainingRow(1, "train", 0.5, 0.9), TrainingRow(1, "test", 0.75, 0.8)]
    write_csv(tmp_path / "training.csv", TrainingRow._fields, rows)
    views = training_chart(tmp_path / "training.csv")
    values = {name: {split: curve["y"] for split, curve in curves(view).items()} for name, view in views.items()}
    assert values == {"loss": {"train": [0.5], "test": [0.75]}, "accuracy": {"train": [0.9], "test": [0.8]}}


def test_axis_of_losses_has_no_unit(tmp_path):
    """A loss is not always a cross-entropy in nats."""
    write_csv(tmp_path / "training.csv", TrainingRow._fields, [TrainingRow(1, "train", 0.5, 0.9)])
    view = training_chart(tmp_path / "training.csv")["loss"]
    assert view["layout"]["yaxis"]["title"]["text"] == "loss"


def test_table_without_rows_has_no_views(chart, tmp_path):
    assert chart({}) == {}
    write_csv(tmp_path / "training.csv", TrainingRow._fields, [])
    assert training_chart(tmp_path / "training.csv") == {}


def test_plotly_accepts_the_views(chart, tmp_path):
    write_csv(tmp_path / "training.csv", TrainingRow._fields, [TrainingRow(1, "train", 0.5, 0.9)])
    for view in (*chart({1: [row()]}).values(), *training_chart(tmp_path / "training.csv").values()):
        plotly.graph_objects.Figure(view)  # raises an error for an unknown property
