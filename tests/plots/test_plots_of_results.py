"""Plots of results: curves, bands, rectangles, lines at limits, labels and refusals."""

import dataclasses
import math

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex

from layerbits import (
    InformationHistory,
    InformationRow,
    InformationTable,
    SigmaProfile,
    SigmaRow,
    pairwise_distance_histogram,
    plots,
)

N = 20
LIMITS = {"I(X;T)": math.log(N), "I(T;Y)": math.log(2), "I(X;T|Y)": math.log(N / 2)}
ROW = InformationRow("fc1", "I(X;T)", "draws", 2.0, 0.1, 1.5, 2.5, "nats", 32, 0.5)


def table(value, layers=("fc1", "fc2"), flags=()):
    rows = [
        dataclasses.replace(
            ROW, layer=layer, quantity=quantity, value=scale * value, lower=scale * value - 0.1,
            upper=scale * value + 0.2, flags=flags,
        )
        for layer in layers
        for quantity, scale in (("I(X;T)", 1.0), ("I(T;Y)", 0.25), ("h(T)", -1.0))
    ]  # fmt: skip
    return InformationTable(tuple(rows), LIMITS)


HISTORY = InformationHistory({1: table(1.0), 10: table(2.0), 100: table(1.5, flags=("saturated",))}, 0.95, False)
PROFILE = SigmaProfile(
    tuple(
        SigmaRow("1", sigma, "I(X;T)", value, 0.1, value - 0.1, value + 0.1) for sigma, value in ((1, 0.5), (0.1, 2.0))
    ),
    LIMITS,
)
HISTOGRAM = pairwise_distance_histogram(np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0, 0, 1, 1]), bins=4)


@pytest.mark.parametrize("plot", [plots.curves, plots.information_plane])
@pytest.mark.filterwarnings("error")
def test_infinite_end_reaches_the_edge_of_a_panel_with_finite_axes(plot, ax):
    tables = dict(HISTORY.tables)
    rows = [dataclasses.replace(row, upper=math.inf, lower=-math.inf) for row in tables[100]]
    plot(InformationHistory({**tables, 100: InformationTable(tuple(rows), LIMITS)}, 0.95, False), ax=ax)
    ax.figure.canvas.draw()
    lower, upper = ax.get_ylim()
    assert -2.0 < lower < upper < 4.0
    vertices = np.concatenate([path.vertices for path in ax.collections[0].get_paths()])
    assert np.isfinite(vertices).all()
    assert vertices[:, 1].min() < lower < upper < vertices[:, 1].max()


@pytest.fixture
def ax():
    return plots.new_figure(width=6, height=4).add_subplot()


def curve(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line.get_xdata(), line.get_ydata()


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_curves_have_the_values_of_each_layer_over_the_epochs(ax):
    assert plots.curves(HISTORY, ax=ax) is ax
    epochs, values = curve(ax, "fc2")
    assert list(epochs) == [1, 10, 100]
    assert list(values) == [1.0, 2.0, 1.5]
    assert ax.get_xscale() == "log"
    assert ax.get_ylabel() == "I(X;T) in nats"
    assert texts(ax) == ["log 20"]
    assert ax.get_legend() is None


def test_curves_of_chosen_layers_and_another_quantity(ax):
    plots.curves(HISTORY, "I(T;Y)", layers=["fc2"], ax=ax)
    assert list(curve(ax, "fc2")[1]) == [0.25, 0.5, 0.375]
    assert "fc1" not in [line.get_label() for line in ax.lines]
    assert texts(ax) == ["H(Y)"]


def test_curves_in_bits(ax):
    plots.curves(HISTORY.bits, ax=ax)
    assert ax.get_ylabel() == "I(X;T) in bits"
    assert texts(ax) == ["log 20"]
    assert ax.lines[-1].get_ydata()[0] == pytest.approx(math.log2(N))


@pytest.mark.parametrize("epochs", [(0,), (0, 5)])
def test_curves_from_epoch_0_have_a_linear_axis(ax, epochs):
    plots.curves(InformationHistory(dict.fromkeys(epochs, table(1.0)), 0.95, False), ax=ax)
    assert ax.get_xscale() == "linear"


@pytest.mark.filterwarnings("error")
def test_single_epoch_has_intervals_and_a_whole_number(ax):
    plots.curves(InformationHistory({0: table(1.0)}, 0.95, False), ax=ax)
    assert all(bar.get_linewidth()[0] > 0 for bar in ax.collections)
    assert all(position == round(position) for position in ax.get_xticks())


def test_plane_has_a_path_and_a_rectangle_of_both_intervals_at_each_epoch(ax):
    assert plots.information_plane(HISTORY, layers=["fc1"], ax=ax) is ax
    path = ax.lines[0]
    assert (list(path.get_xdata()), list(path.get_ydata())) == ([1.0, 2.0, 1.5], [0.25, 0.5, 0.375])
    corners = [rectangle.vertices for rectangle in ax.collections[0].get_paths()]
    assert np.min(corners[1], axis=0) == pytest.approx([1.9, 0.4])
    assert np.max(corners[1], axis=0) == pytest.approx([2.2, 0.7])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("I(X;T) in nats", "I(T;Y) in nats")
    assert texts(ax) == ["log 20", "H(Y)"]


def test_plane_has_hollow_markers_where_information_is_saturated(ax):
    plots.information_plane(HISTORY, layers=["fc1"], ax=ax)
    markers = ax.collections[1]
    faces = [to_hex(color) for color in markers.get_facecolors()]
    edges = [to_hex(color) for color in markers.get_edgecolors()]
    assert faces[:2] == edges[:2]
    assert faces[2] == "#ffffff" != edges[2]


def test_plane_has_a_marker_for_each_layer_and_a_bar_of_epochs(ax):
    plots.information_plane(HISTORY, ax=ax)
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["fc1", "fc2"]
    assert handles[0].get_marker() != handles[1].get_marker()
    (bar,) = [axes for axes in ax.figure.axes if axes is not ax]
    assert bar.get_ylabel() == "epoch"
    assert bar.get_ylim() == pytest.approx((1, 100))


@pytest.mark.parametrize("epochs", [(0, 1, 2), (1, 2, 5), (1, 3, 40), (3, 4, 5), (99, 100, 101)])
@pytest.mark.parametrize("plot", [plots.curves, plots.information_plane])
def test_epochs_are_labelled_by_whole_numbers(ax, plot, epochs):
    plot(InformationHistory(dict.fromkeys(epochs, table(1.0)), 0.95, False), ax=ax)
    ax.figure.canvas.draw()
    axis = ax.xaxis if plot is plots.curves else ax.figure.axes[1].yaxis
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    shown = [tick for tick in ticks if epochs[0] <= tick.get_loc() <= epochs[-1]]
    labels = [tick.label1.get_text() for tick in shown]
    assert len(list(filter(None, labels))) >= 2
    assert all(label.isdecimal() for label in labels if label)


def test_coinciding_curves_differ_in_dashes_and_markers_alone(ax):
    plots.curves(HISTORY, ax=ax)
    first, second = ax.lines[:2]
    assert first.get_linewidth() == second.get_linewidth()
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_marker() != second.get_marker()


@pytest.mark.parametrize("plot", [plots.curves, plots.information_plane])
def test_legend_of_given_axes_has_the_layers(ax, plot):
    plot(HISTORY, ax=ax)
    assert [text.get_text() for text in ax.legend().get_texts()] == ["fc1", "fc2"]


def test_plane_of_a_single_epoch_has_no_bar_of_epochs(ax):
    plots.information_plane(InformationHistory({0: table(1.0)}, 0.95, False), ax=ax)
    assert ax.figure.axes == [ax]


def test_intervals_have_a_line_from_end_to_end_for_each_layer(ax):
    plots.intervals(table(1.0), ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fc1", "fc2"]
    lines = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 4]
    assert np.array(lines) == pytest.approx(np.array([(0.9, 1.2)] * 2 + [(0.15, 0.45)] * 2))
    assert ax.get_legend_handles_labels()[1] == ["I(X;T)", "I(T;Y)"]
    assert ax.yaxis_inverted()


def test_intervals_name_each_limit_above_its_line(ax):
    plots.intervals(table(1.0), ax=ax)
    (names,) = ax.child_axes
    assert [label.get_text() for label in names.get_xticklabels()] == ["H(Y)", "log 20"]
    lines = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
    assert list(names.get_xticks()) == pytest.approx(sorted(lines))
    plots.intervals(InformationTable(table(1.0).rows), ax=plots.new_figure(width=3, height=2).add_subplot())


def test_profile_has_a_curve_over_sigma(ax):
    plots.sigma_profile(PROFILE, ax=ax)
    assert [list(values) for values in curve(ax, "1")] == [[0.1, 1], [2.0, 0.5]]
    assert texts(ax) == ["log 20"]


def test_distances_are_shares_of_the_pairs_of_each_kind(ax):
    plots.distances(HISTOGRAM, ax)
    within, between = ax.patches
    assert list(within.get_data().values) == [1, 0, 0, 0]
    assert list(between.get_data().values) == [0, 0, 0, 1]
    assert ax.get_legend_handles_labels()[1] == ["within classes", "between classes"]


def test_points_have_the_colours_of_their_classes(ax):
    plots.scatter(np.eye(2), np.array([0, 1]), limit=3, ax=ax)
    assert [to_hex(color) for color in ax.collections[0].get_facecolors()] == [
        color.lower() for color in plots.CLASS_COLORS
    ]
    assert ax.get_xlim() == ax.get_ylim() == (-3, 3)
    assert plots.scatter(np.eye(3), np.arange(3)).name == "3d"


@pytest.mark.parametrize("result", [HISTORY, HISTORY[1], PROFILE, HISTOGRAM], ids=lambda result: type(result).__name__)
def test_plot_of_a_result_makes_a_figure_of_pyplot(result):
    axes = result.plot()
    assert pyplot.get_fignums() == [axes.figure.number]
    assert axes.get_legend() is not None


@pytest.mark.parametrize("plot", [plots.curves, plots.information_plane])
def test_layers_without_rows_at_some_epochs_are_plotted_where_they_have_rows(ax, plot):
    plot(InformationHistory({1: table(1.0), 10: table(2.0, ["fc2"]), 100: table(3.0, ["fc1"])}, 0.95, False), ax=ax)
    assert ax.get_legend_handles_labels()[1] == ["fc1", "fc2"]
    assert [list(line.get_ydata()) for line in ax.lines if len(line.get_ydata()) == 2][:2] in (
        [[1.0, 3.0], [1.0, 2.0]],
        [[0.25, 0.75], [0.25, 0.5]],
    )


def test_plane_of_quantities_that_no_epoch_has_together_has_no_points(ax):
    tables = [InformationTable((dataclasses.replace(ROW, quantity=name),)) for name in ("I(X;T)", "I(T;Y)")]
    plots.information_plane(InformationHistory(dict(enumerate(tables)), 0.95, False), ax=ax)
    assert ax.get_legend_handles_labels()[1] == ["fc1"]
