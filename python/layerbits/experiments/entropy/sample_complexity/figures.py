"""The figure of the experiment sample-complexity: risks with their bounds, and numbers of samples by dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layerbits import plots
from layerbits.experiments.entropy.bounds import LINE_STYLES, Bound
from layerbits.experiments.entropy.sample_complexity.errors import Risk
from layerbits.experiments.entropy.sample_complexity.rates import LOWER_BOUND, SamplesNeeded
from layerbits.experiments.entropy.sample_complexity.settings import Config
from layerbits.experiments.framework.run_folder import save_figure
from layerbits.experiments.framework.tables import read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SOURCE_STYLES = {**LINE_STYLES, LOWER_BOUND: "-"}
_MEASURED_STYLE = "o"


def plot_figure(config: Config, path: Path, name: str) -> None:
    """Plot the tables in the folder `path`: a row of panels for each probability, a column for each sigma."""
    risks = read_table(path / "risk.csv", Risk)
    bounds = read_table(path / "bounds.csv", Bound)
    needed_rows = read_table(path / "needed.csv", SamplesNeeded)
    rows, columns = len(config.probabilities) + 1, len(config.sigmas)
    figure = plots.new_figure(width=5.5 * columns + 1, height=3.2 * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    for column, sigma in enumerate(config.sigmas):
        sigma_bounds = [bound for bound in bounds if bound.sigma == sigma]
        for axes, probability in zip(panels[:-1, column], config.probabilities, strict=True):
            panel_risks = [risk for risk in risks if (risk.sigma, risk.probability) == (sigma, probability)]
            _plot_risks(axes, panel_risks, sigma_bounds)
            axes.set_title(f"sigma = {sigma:g}, bits +1 with probability {probability:g}", fontsize="medium")
            plots.legend_outside(axes, title="± 2 standard errors,\nbounds dashed as below")
        axes = panels[-1, column]
        _plot_samples_needed(axes, [row for row in needed_rows if row.sigma == sigma], config.error)
        plots.legend_outside(axes)
    save_figure(figure, path / f"{name}.png")


def _plot_risks(axes: Axes, risks: Sequence[Risk], bounds: Sequence[Bound]) -> None:
    dims = sorted({risk.dim for risk in risks})
    for dim, color in zip(dims, plots.sequence_colors(len(dims)), strict=True):
        curve = [(risk.samples, risk.risk, risk.standard_error) for risk in risks if risk.dim == dim]
        samples, value, error = np.array(curve).T
        curves = value - 2 * error, value, value + 2 * error
        plots.band(axes, samples, curves, plots.CurveStyle(color=color, label=f"d = {dim}"))
        for name, style in LINE_STYLES.items():
            plotted_bounds = [bound for bound in bounds if (bound.dim, bound.bound, bound.vacuous) == (dim, name, 0)]
            x, y = [bound.samples for bound in plotted_bounds], [bound.value for bound in plotted_bounds]
            axes.plot(x, y, style, color=color, linewidth=1)
    plots.curve_panel(axes, xlabel="samples n", ylabel="E|plug-in - h(T)| in nats")
    axes.set_yscale("log")
    axes.set_ylim(bottom=min([risk.risk for risk in risks], default=0.01) / 2)
    vacuous_by_name = {name: [dim for dim in dims if _is_vacuous(bounds, dim, name)] for name in LINE_STYLES}
    notes = [
        f"{name} for d = {', '.join(map(str, vacuous_dims))}"
        for name, vacuous_dims in vacuous_by_name.items()
        if vacuous_dims
    ]
    if notes:
        text = "\n".join(["vacuous at every n shown:", *notes])
        axes.text(0.01, 0.02, text, transform=axes.transAxes, fontsize="small")


def _is_vacuous(bounds: Sequence[Bound], dim: int, name: str) -> bool:
    """Return whether a bound is vacuous at every number of samples."""
    return all(bound.vacuous for bound in bounds if (bound.dim, bound.bound) == (dim, name))


def _plot_samples_needed(axes: Axes, needed_rows: Sequence[SamplesNeeded], error: float) -> None:
    sources = list(dict.fromkeys(row.source for row in needed_rows))
    for source, color in zip(sources, plots.class_colors(len(sources)), strict=True):
        points = [(row.dim, row.log_samples / math.log(10)) for row in needed_rows if row.source == source]
        axes.plot(*zip(*points, strict=True), _SOURCE_STYLES.get(source, _MEASURED_STYLE), color=color, label=source)
    plots.curve_panel(axes, xlabel="dimension d", ylabel=f"log10 of the samples for {error:g} nats")
    axes.set_xscale("linear")
    axes.set_ylim(bottom=0)
