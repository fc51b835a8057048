"""Plots refuse arguments that do not fit, by name, and leave no figure behind."""

import dataclasses
import importlib.util

import numpy as np
import pytest
from matplotlib import pyplot

from layerbits import InformationHistory, InformationTable, UsageError, plots
from tests.plots.test_plots_of_results import HISTORY, ROW, table

EMPTY = InformationHistory({}, 0.95, False)
UNLABELLED = InformationHistory({1: InformationTable((HISTORY[1]["fc1", "I(X;T)"],))}, 0.95, False)
NAMED_SETS = InformationHistory(
    {1: InformationTable((ROW, *(dataclasses.replace(ROW, quantity=f"I(T;{name})") for name in ("cls", "par"))))},
    0.95,
    False,
)


def axes_of(projection):
    return plots.new_figure(width=1, height=1).add_subplot(projection=projection)


REFUSALS = [
    (lambda: plots.curves(HISTORY, "I(X;S)"), r"^quantity: got 'I\(X;S\)', wanted some of 'I\(X;T\)', "),
    (lambda: plots.curves(HISTORY, layers=["fc9"]), r"^layers: got 'fc9', wanted some of 'fc1', 'fc2'"),
    (lambda: plots.curves(EMPTY), "^history: got no epochs, wanted one at least"),
    (lambda: plots.information_plane(EMPTY), "^history: got no epochs, wanted one at least"),
    (lambda: plots.scatter(np.full((5, 2), np.nan)), "^points: got NaN or infinity"),
    (
        lambda: plots.information_plane(HISTORY, quantities=("I(X;T)", "I(T;digit)")),
        r"^quantities: got 'I\(T;digit\)', wanted some of 'I\(X;T\)', 'I\(T;Y\)'",
    ),
    (lambda: plots.information_plane(UNLABELLED), r"^quantities: got 'I\(T;Y\)', .* measure with labels="),
    (
        lambda: plots.information_plane(NAMED_SETS),
        r"^quantities: got 'I\(T;Y\)', "
        r"wanted quantities=\('I\(X;T\)', 'I\(T;cls\)'\) or \('I\(X;T\)', 'I\(T;par\)'\)$",
    ),
    (lambda: plots.intervals(InformationTable(())), "^table: got a result with none"),
    (lambda: plots.scatter(np.eye(4)), r"^points: got shape \(4, 4\)"),
    (lambda: plots.scatter(np.eye(3), ax=plots.new_figure(width=1, height=1).add_subplot()), r"^ax: got rectilinear"),
    (lambda: plots.curves(HISTORY, ax=axes_of("polar")), r"^ax: got polar axes, wanted rectilinear ones"),
    (lambda: plots.information_plane(HISTORY, ax=axes_of("3d")), r"^ax: got 3d axes, wanted rectilinear ones"),
]


@pytest.mark.parametrize(("plot", "message"), REFUSALS)
def test_bad_arguments_are_named(plot, message):
    with pytest.raises(ValueError, match=message):
        plot()
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("ax", [3, plots.new_figure(width=1, height=1)])
def test_other_objects_than_axes_are_refused(ax):
    with pytest.raises(TypeError, match=r"^ax: got (int|Figure), wanted matplotlib Axes"):
        plots.curves(HISTORY, ax=ax)


def test_array_of_quantities_is_refused():
    with pytest.raises(TypeError, match=r"^quantities: got ndarray"):
        plots.information_plane(HISTORY, quantities=np.array(["I(X;T)", "I(T;Y)"]))


@pytest.mark.parametrize("quantity", [["I(X;T)", "I(T;Y)"], None])
def test_a_curve_has_one_quantity(quantity):
    with pytest.raises(TypeError, match=r"^quantity: got (list|NoneType), wanted one name"):
        plots.curves(HISTORY, quantity)


def test_missing_matplotlib_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^matplotlib: not installed.* pip install 'layerbits\[plots\]'"):
        HISTORY.plot()


@pytest.mark.parametrize("plot", [plots.curves, plots.information_plane, lambda history: plots.intervals(history[3])])
def test_rows_in_different_units_are_refused(plot):
    mixed = InformationTable((*table(1.0, ["a"]).rows, *table(1.0, ["b"]).bits.rows))
    with pytest.raises(ValueError, match=r"^(history|table): got rows in nats and in bits, .* plot \1\.bits$"):
        plot(InformationHistory({1: table(1.0), 3: mixed}, 0.95, False))
    assert pyplot.get_fignums() == []
