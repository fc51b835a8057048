"""Figures of the experiment estimator-comparison: estimates and errors against the number of samples."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layerbits import plots
from layerbits.experiments.entropy.bounds import COVERING, LINE_STYLES, PAPER, Bound
from layerbits.experiments.entropy.entropy_estimators import COLORS, PLUG_IN, plot_entropies
from layerbits.experiments.entropy.estimator_comparison.mixture import coordinate_entropy
from layerbits.experiments.entropy.estimator_comparison.rates import MeanError, Slope, mean_errors
from layerbits.experiments.entropy.estimator_comparison.settings import Config, EstimateRow
from layerbits.experiments.framework.run_folder import save_figure
from layerbits.experiments.framework.tables import read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_estimates(config: Config, path: Path, name: str) -> None:
    """Plot estimates.csv beside the true entropies."""
    rows = read_table(path / "estimates.csv", EstimateRow)

    def plot_panel(axes: Axes, sigma: float, dim: int) -> None:
        entropy = dim * coordinate_entropy(sigma, config.spread)
        panel_rows = [row for row in rows if (row.sigma, row.dim) == (sigma, dim)]
        plot_entropies(axes, panel_rows, lower=entropy, upper=entropy)

    _plot_panels(config, plot_panel, path / f"{name}.png")


def plot_errors(config: Config, path: Path, name: str) -> None:
    """Plot the mean errors of estimates.csv beside the bounds of bounds.csv and the exponents of slopes.csv."""
    rows = read_table(path / "estimates.csv", EstimateRow)
    bounds = read_table(path / "bounds.csv", Bound)
    slopes = read_table(path / "slopes.csv", Slope)

    def plot_panel(axes: Axes, sigma: float, dim: int) -> None:
        _plot_mean_errors(axes, mean_errors(rows, sigma, dim))
        panel_bounds = [bound for bound in bounds if (bound.sigma, bound.dim) == (sigma, dim)]
        panel_slopes = [slope for slope in slopes if (slope.sigma, slope.dim) == (sigma, dim)]
        _plot_bounds(axes, panel_bounds)
        plots.curve_panel(axes, ylabel="mean |estimate - h(T)| in nats")
        axes.set_yscale("log")
        axes.text(0.02, 0.02, _notes(panel_bounds, panel_slopes), transform=axes.transAxes, fontsize="small")

    _plot_panels(config, plot_panel, path / f"{name}-errors.png")


def _plot_panels(config: Config, plot_panel: Callable[[Axes, float, int], None], figure_path: Path) -> None:
    """Plot a panel for each dimension (rows) and sigma (columns)."""
    rows, columns = len(config.dims), len(config.sigmas)
    figure = plots.new_figure(width=3.3 * columns + 2.1, height=3 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for (row, dim), (column, sigma) in itertools.product(enumerate(config.dims), enumerate(config.sigmas)):
        axes = grid[row, column]
        plot_panel(axes, sigma, dim)
        axes.set_title(f"d = {dim}, sigma = {sigma:g}", fontsize="medium")
        axes.set_xlabel("samples n" if row == rows - 1 else "")
        axes.set_ylabel("" if column else axes.get_ylabel())
    plots.legend_outside(grid[0, -1])
    save_figure(figure, figure_path)


def _plot_mean_errors(axes: Axes, errors: Sequence[MeanError]) -> None:
    for estimator in dict.fromkeys(point.estimator for point in errors):
        curve = [(point.samples, point.error) for point in errors if point.estimator == estimator]
        axes.plot(*zip(*curve, strict=True), "o-", color=COLORS[estimator], markersize=3, label=estimator)


def _plot_bounds(axes: Axes, bounds: Sequence[Bound]) -> None:
    for name in (COVERING, PAPER):
        curve = [bound for bound in bounds if bound.bound == name and not bound.vacuous]
        samples, values = [bound.samples for bound in curve], [bound.value for bound in curve]
        axes.plot(samples, values, LINE_STYLES[name], marker=".", color="black", label=f"{name} bound")


def _notes(bounds: Sequence[Bound], slopes: Sequence[Slope]) -> str:
    notes = [f"plug-in: n to the {slope.slope:.2f}" for slope in slopes if slope.estimator == PLUG_IN]
    vacuous_names = [
        name for name in (COVERING, PAPER) if bounds and all(bound.vacuous for bound in bounds if bound.bound == name)
    ]
    return "\n".join(notes + [f"{name} bound: vacuous for all n" for name in vacuous_names])
