"""Legends and names in plots: many of them, long ones, and characters that matplotlib reads as its own."""

import dataclasses
import math

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.text import Text

from layerbits import InformationHistory, InformationRow, InformationTable, SigmaProfile, SigmaRow, plots
from tests.plots.test_plots_of_results import ROW, table


def test_plane_of_many_layers_has_a_legend_below_the_axes_with_different_names():
    names = [f"encoder.layer.{number}.attention.output.dense" for number in range(12)]
    table = InformationTable(
        tuple(
            InformationRow(name, quantity, "draws", 0.5, 0.1, 0.4, 0.6, "nats", 32, 0.5)
            for name in names
            for quantity in ("I(X;T)", "I(T;Y)")
        )
    )
    axes = plots.information_plane(InformationHistory({1: table, 2: table}, 0.95, simultaneous=False))
    assert axes.get_legend() is None
    (legend,) = axes.figure.legends
    axes.figure.canvas.draw()
    assert len({text.get_text() for text in legend.get_texts()}) == 12
    assert legend.get_window_extent().y1 <= axes.get_tightbbox().y0 + 1


@pytest.mark.parametrize("dim", [2, 3])
def test_points_on_own_axes_have_a_legend_of_classes_and_names_of_units(dim):
    axes = plots.scatter(np.eye(3)[:, :dim], np.array([5, 7, 7]))
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["5", "7"]
    assert axes.get_ylabel() == "unit 2"


MANY = [f"encoder.layer.{number}.attention.output.dense" for number in range(30)]


@pytest.mark.parametrize(
    "plot",
    [
        lambda: plots.curves(InformationHistory({1: table(1.0, MANY), 10: table(2.0, MANY)}, 0.95, False)),
        lambda: plots.information_plane(InformationHistory({1: table(1.0, MANY), 10: table(2.0, MANY)}, 0.95, False)),
        lambda: plots.intervals(table(1.0, MANY)),
        lambda: plots.sigma_profile(SigmaProfile(tuple(SigmaRow(name, 1, "I(X;T)", 1, 0.1, 0, 2) for name in MANY))),
        lambda: plots.scatter(np.eye(200)[:, :2], np.arange(200)),
        lambda: plots.scatter(np.eye(200)[:, :3], np.arange(200)),
    ],
    ids=["curves", "information_plane", "intervals", "sigma_profile", "scatter", "scatter-3d"],
)
@pytest.mark.filterwarnings("error")
def test_legend_of_many_names_lies_in_the_figure_and_leaves_room_for_the_panel(plot):
    axes = plot()
    figure = axes.figure
    figure.canvas.draw()
    (legend,) = [*figure.legends, *filter(None, [axes.get_legend()])]
    box, panel = legend.get_window_extent(), axes.get_window_extent()
    assert all(figure.bbox.contains(*corner) for corner in box.corners())
    assert not box.overlaps(panel)
    assert min(panel.width, panel.height) > 200


@pytest.mark.parametrize("name", ["_fc1", "$a$", "a_$b", r"$\frac$", "_a$b$", r"\$", "$" * 4])
@pytest.mark.parametrize(
    "plot",
    [
        lambda rows, name: plots.curves(InformationHistory({1: rows, 10: rows}, 0.95, False), f"I(T;{name})"),
        lambda rows, name: plots.information_plane(
            InformationHistory({1: rows, 10: rows}, 0.95, False), quantities=("I(X;T)", f"I(T;{name})")
        ),
        lambda rows, name: plots.intervals(rows),
        lambda rows, name: plots.sigma_profile(
            SigmaProfile(tuple(SigmaRow(layer, 1, "I(X;T)", 1, 0.1, 0, 2) for layer in rows.layers))
        ),
        lambda rows, name: plots.scatter(np.eye(2), [name, "other"]),
    ],
    ids=["curves", "information_plane", "intervals", "sigma_profile", "scatter"],
)
@pytest.mark.filterwarnings("error")
def test_names_are_shown_as_they_are(plot, name):
    quantities = ("I(X;T)", f"I(T;{name})")
    rows = [dataclasses.replace(ROW, layer=layer, quantity=q) for layer in (name, "fc2") for q in quantities]
    axes = plot(InformationTable(tuple(rows), dict.fromkeys(quantities, 3.0)), name)
    axes.figure.canvas.draw()
    (legend,) = [*axes.figure.legends, *filter(None, [axes.get_legend()])]
    assert len(legend.get_texts()) == 2
    assert not any(is_math_text(text.get_text()) for text in axes.figure.findobj(Text))


def test_legend_of_intervals_ends_below_the_names_of_limits():
    quantities = ["I(X;T)", *(f"I(T;{number})" for number in range(9))]
    rows = tuple(dataclasses.replace(ROW, quantity=quantity, value=4.6, upper=4.7) for quantity in quantities)
    axes = plots.intervals(InformationTable(rows, {"I(X;T)": math.log(100)}))
    axes.figure.canvas.draw()
    (names,) = axes.child_axes
    assert not axes.get_legend().get_window_extent().overlaps(names.get_tightbbox())


@pytest.mark.parametrize(
    ("labels", "names"),
    [(np.array([5, 7, 7]), ["5", "7"]), (["dog", "cat", "dog"], ["cat", "dog"]), (np.array([1.0, 2, 2]), ["1", "2"])],
)
def test_legend_of_points_has_the_labels_that_were_given(labels, names):
    axes = plots.scatter(np.eye(3)[:, :2], labels)
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == names
    assert axes.figure.legends[0].get_title().get_text() == "class"


def test_legend_of_many_classes_has_the_first_and_the_last():
    (legend,) = plots.scatter(np.eye(200)[:, :2], np.arange(200)).figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert (names[0], names[-1], legend.get_title().get_text()) == ("0", "199", "14 of 200 classes")


def test_intervals_join_the_names_of_limits_that_are_near_to_one_another():
    rows = tuple(
        InformationRow("fc1", quantity, "draws", 0.5, 0.1, 0.4, 0.6, "nats", 32, 0.5)
        for quantity in ("I(X;T)", "I(T;Y)", "I(X;T|Y)")
    )
    axes = plots.intervals(InformationTable(rows, {"I(X;T)": math.log(100), "I(T;Y)": 0.7, "I(X;T|Y)": 4.55}))
    (top,) = axes.child_axes
    assert [label.get_text() for label in top.get_xticklabels()] == ["H(Y)", "H(X|Y), log 100"]
