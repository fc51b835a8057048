"""Figures of the experiments with a convolutional network, from the tables of a finished or unfinished run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layerbits import plots
from layerbits.experiments.cnn.distance_figures import plot_distances
from layerbits.experiments.cnn.representations import Clustering, Distances, Similarity
from layerbits.experiments.cnn.settings import CnnConfig
from layerbits.experiments.cnn.slice_figures import plot_slices
from layerbits.experiments.cnn.slices import SlicedInformation
from layerbits.experiments.cnn.training import Errors, training_folder
from layerbits.experiments.framework.run_folder import save_figure
from layerbits.experiments.framework.tables import read_table
from layerbits.training import read_training

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Colors = Mapping[str, plots.Color]

_MAX_EPOCH_COLUMNS = 4  # columns of the figure of distances by epoch


def plot(config: CnnConfig, path: Path, name: str) -> None:
    """Plot the tables in the folder `path`.

    The figures are NAME.png and, if there are such tables, NAME-slices.png of the slices, NAME-epochs.png and
    NAME-variants.png of the distances.
    """
    _plot_overview(config, path, path / f"{name}.png")
    slices = read_table(path / "slices.csv", SlicedInformation)
    if slices:
        plot_slices(slices, _layer_colors(config), _variant_colors(config), path / f"{name}-slices.png")
    distances = read_table(path / "distances.csv", Distances)
    epochs = sorted({row.epoch for row in distances if row.variant == "deterministic"})
    if not epochs:
        return
    indices = sorted({round(index) for index in np.linspace(0, len(epochs) - 1, _MAX_EPOCH_COLUMNS)})
    columns = [("deterministic", epochs[index]) for index in indices]
    plot_distances(config.layers, distances, columns, path / f"{name}-epochs.png")
    variants = dict.fromkeys(row.variant for row in distances if row.epoch == epochs[-1])
    columns = [(variant, epochs[-1]) for variant in variants]
    plot_distances(config.layers, distances, columns, path / f"{name}-variants.png")


def _plot_overview(config: CnnConfig, path: Path, figure_path: Path) -> None:
    errors, clustering = read_table(path / "errors.csv", Errors), read_table(path / "clustering.csv", Clustering)
    figure = plots.new_figure(width=14, height=7)
    panels = figure.subplots(2, 3)
    variant_colors = _variant_colors(config)
    layer_colors = _layer_colors(config)
    if errors:
        _plot_errors(panels[0, 0], errors, variant_colors)
    _plot_error_curves(panels[0, 1], config, path, variant_colors)
    _plot_similarities(panels[0, 2], config, read_table(path / "similarity.csv", Similarity), variant_colors)
    overlap, entropy, deepest_entropy = panels[1]
    deterministic_rows = [row for row in clustering if row.variant == "deterministic"]
    deepest_rows = [row for row in clustering if row.layer == config.layers[-1]]
    _plot_clustering(overlap, deterministic_rows, layer_colors, lambda row: row.overlap)
    _plot_clustering(entropy, deterministic_rows, layer_colors, lambda row: row.binned_entropy)
    _plot_clustering(deepest_entropy, deepest_rows, variant_colors, lambda row: row.binned_entropy)
    plots.curve_panel(overlap, xlabel="epoch", ylabel="overlap of the distances\nwithin and between classes")
    for axes in (entropy, deepest_entropy):
        plots.curve_panel(axes, xlabel="epoch", ylabel="H(Bin(T)), two bins, in nats")
        axes.ticklabel_format(axis="y", useOffset=False)  # the entropies of many images hardly differ
        if errors:
            plots.reference_line(axes, math.log(errors[0].images), f"log {errors[0].images}")
        plots.legend_outside(axes)
    for axes, title in zip(panels[1], ("deterministic", "deterministic", config.layers[-1]), strict=True):
        axes.set_title(title, fontsize="medium")
    save_figure(figure, figure_path)


def _layer_colors(config: CnnConfig) -> _Colors:
    return dict(zip(config.layers, plots.sequence_colors(len(config.layers)), strict=True))


def _variant_colors(config: CnnConfig) -> dict[str, plots.Color]:
    noisy_variants = [variant.name for variant in config.training_variants if variant.sigma]
    dropout_variants = [variant.name for variant in config.training_variants if variant.dropout]
    colors: dict[str, plots.Color] = {"deterministic": "black"}
    colors |= zip(noisy_variants, plots.sequence_colors(len(noisy_variants)), strict=True)
    return colors | dict.fromkeys(dropout_variants, plots.CLASS_COLORS[1])


def _plot_errors(axes: Axes, errors: Sequence[Errors], colors: _Colors) -> None:
    """Plot the test errors after the last epoch: a dot for each seed, the mean and the standard deviation."""
    for position, (variant, color) in enumerate(colors.items()):
        percent = [100 * row.errors / row.images for row in errors if row.variant == variant]
        axes.plot([position + 0.12] * len(percent), percent, ".", color=color, alpha=0.6)
        if percent:
            deviation = np.std(percent, ddof=1) if len(percent) > 1 else 0.0
            axes.errorbar(position - 0.12, np.mean(percent), deviation, fmt="o", color=color, capsize=3)
    plots.curve_panel(axes, ylabel="test error in %\nseeds, mean ± standard deviation")
    axes.set_xscale("linear")
    axes.set_xticks(range(len(colors)), list(colors), rotation=30, ha="right")
    _set_log_percent_scale(axes)
    axes.margins(x=0.1)


def _plot_error_curves(axes: Axes, config: CnnConfig, path: Path, colors: _Colors) -> None:
    for variant in config.training_variants:
        files = [training_folder(path, variant, seed) / "training.csv" for seed in config.seeds]
        rows = itertools.chain.from_iterable(read_training(file) for file in files if file.exists())
        points = [(row.epoch, 100 * (1 - row.accuracy)) for row in rows if row.split == "test"]
        _plot_over_seeds(axes, points, plots.CurveStyle(color=colors[variant.name], label=variant.name))
    plots.curve_panel(axes, xlabel="epoch", ylabel="test error in %\nmean and range over seeds")
    _set_log_percent_scale(axes)
    plots.legend_outside(axes)


def _set_log_percent_scale(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _plot_similarities(axes: Axes, config: CnnConfig, similarities: Sequence[Similarity], colors: _Colors) -> None:
    """Plot the mean similarity of each layer after the last epoch; lines are dashed where noise is on."""
    for (variant, color), (noise, style) in itertools.product(colors.items(), {"off": "-o", "on": "--o"}.items()):
        rows = [row for row in similarities if (row.variant, row.noise, row.epoch) == (variant, noise, config.epochs)]
        if rows:
            means = [np.mean([row.mean for row in rows if row.layer == layer]) for layer in config.layers]
            axes.plot(range(len(means)), means, style, color=color, markersize=4)
    axes.plot([], [], "-", color="black", label="noise off")
    axes.plot([], [], "--", color="black", label="noise on")
    plots.curve_panel(axes, ylabel="cosine similarity\nto the deterministic network")
    axes.set_xscale("linear")
    axes.set_xticks(range(len(config.layers)), config.layers)
    axes.margins(x=0.1)
    axes.set_title(f"epoch {config.epochs}", fontsize="medium")
    plots.legend_outside(axes)


def _plot_clustering(
    axes: Axes, rows: Sequence[Clustering], colors: _Colors, value: Callable[[Clustering], float]
) -> None:
    """Plot a curve for each layer or variant in `colors`."""
    # Curves coincide at the largest entropy, log of the number of images: thinner lines are plotted over thicker ones.
    for (label, color), width in zip(colors.items(), np.linspace(3, 1.5, len(colors)), strict=True):
        points = [(row.epoch, value(row)) for row in rows if label in (row.layer, row.variant)]
        _plot_over_seeds(axes, points, plots.CurveStyle(color=color, label=label, linewidth=width))


def _plot_over_seeds(axes: Axes, points: Iterable[tuple[int, float]], style: plots.CurveStyle) -> None:
    """Plot the mean of the values at each epoch over the band between their minimum and maximum."""
    by_epoch: dict[int, list[float]] = {}
    for epoch, number in points:
        by_epoch.setdefault(epoch, []).append(number)
    if not by_epoch:  # matplotlib finds no limits of a logarithmic axis for an empty curve
        return
    epochs = sorted(by_epoch)
    curves = ([float(reduce(by_epoch[epoch])) for epoch in epochs] for reduce in (min, np.mean, max))
    plots.band(axes, epochs, curves, style)
