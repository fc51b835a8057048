"""Figures of the studies of a convolutional network, from the tables in the folder of a run, as far as they go."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layerbits import plots
from layerbits.experiments.cnn.measures import Clustering, Distances, Similarity
from layerbits.experiments.cnn.study import CnnConfig, Errors, training_folder
from layerbits.experiments.framework.run_folder import save_figure
from layerbits.experiments.framework.tables import read_table
from layerbits.training import read_training

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Color = tuple[float, float, float, float]

_SHOWN_EPOCHS = 4
_SHOWN_SHARE = 1e-3  # of the pairs of a panel that may lie beyond its ends
_KINDS = dict(zip(("within", "between"), plots.CLASS_COLORS, strict=True))


def draw(config: CnnConfig, path: Path, name: str) -> None:
    """Draw NAME.png, and of the first seed's distances NAME-epochs.png and NAME-variants.png."""
    _draw_curves(config, path, path / f"{name}.png")
    distances = read_table(path / "distances.csv", Distances)
    epochs = sorted({row.epoch for row in distances if row.variant == "deterministic"})
    if not epochs:
        return
    places = sorted({round(place) for place in np.linspace(0, len(epochs) - 1, _SHOWN_EPOCHS)})
    columns = {f"deterministic, epoch {epochs[place]}": ("deterministic", epochs[place]) for place in places}
    _draw_distances(config, distances, columns, path / f"{name}-epochs.png")
    variants = dict.fromkeys(row.variant for row in distances if row.epoch == epochs[-1])
    columns = {f"{variant}, epoch {epochs[-1]}": (variant, epochs[-1]) for variant in variants}
    _draw_distances(config, distances, columns, path / f"{name}-variants.png")


def _draw_curves(config: CnnConfig, path: Path, to: Path) -> None:
    errors, clustering = read_table(path / "errors.csv", Errors), read_table(path / "clustering.csv", Clustering)
    figure = plots.new_figure(width=14, height=7)
    grid = figure.add_gridspec(2, 3)
    ends, curves, similarity, overlap, entropy, last = (figure.add_subplot(grid[place]) for place in np.ndindex(2, 3))
    variants = _variant_colors(config)
    layers = dict(zip(config.layers, plots.sequence_colors(len(config.layers)), strict=True))
    if errors:
        _draw_errors(ends, errors, variants)
    _draw_error_curves(curves, config, path, variants)
    _draw_similarities(similarity, config, read_table(path / "similarity.csv", Similarity), variants)
    deterministic = [row for row in clustering if row.variant == "deterministic"]
    deepest = [row for row in clustering if row.layer == config.layers[-1]]
    for axes, title, rows, colors, value in (
        (overlap, "deterministic", deterministic, layers, lambda row: row.overlap),
        (entropy, "deterministic", deterministic, layers, lambda row: row.binned_entropy),
        (last, config.layers[-1], deepest, variants, lambda row: row.binned_entropy),
    ):
        _draw_rows(axes, rows, colors, value)
        axes.set_title(title, fontsize="medium")
        plots.curve_panel(axes, xlabel="epoch", ylabel="H(Bin(T)), two bins, in nats")
        if axes is not overlap and errors:
            plots.reference_line(axes, math.log(errors[0].images), f"log {errors[0].images}")
    overlap.set_ylabel("overlap of the distances\nwithin and between classes")
    plots.legend_outside(entropy)
    plots.legend_outside(last)
    save_figure(figure, to)


def _variant_colors(config: CnnConfig) -> dict[str, _Color]:
    from matplotlib.colors import to_rgba

    noisy = [variant.name for variant in config.trained if variant.sigma]
    colors = {"deterministic": to_rgba("black")}
    colors |= zip(noisy, plots.sequence_colors(len(noisy)), strict=True)
    return colors | {variant.name: to_rgba(plots.CLASS_COLORS[1]) for variant in config.trained if variant.dropout}


def _draw_errors(axes: Axes, errors: Sequence[Errors], colors: Mapping[str, _Color]) -> None:
    """Draw the errors after the last epoch, a dot a seed, with mean and standard deviation."""
    for place, (variant, color) in enumerate(colors.items()):
        percent = [100 * row.errors / row.images for row in errors if row.variant == variant]
        axes.plot([place + 0.12] * len(percent), percent, ".", color=color, alpha=0.6)
        if percent:
            spread = np.std(percent, ddof=1) if len(percent) > 1 else 0.0
            axes.errorbar(place - 0.12, np.mean(percent), spread, fmt="o", color=color, capsize=3)
    plots.curve_panel(axes, ylabel="test error in %\nseeds, mean ± standard deviation")
    axes.set_xscale("linear")
    axes.set_xticks(range(len(colors)), list(colors), rotation=30, ha="right")
    _log_percent(axes)
    axes.margins(x=0.1)


def _draw_error_curves(axes: Axes, config: CnnConfig, path: Path, colors: Mapping[str, _Color]) -> None:
    for variant in config.trained:
        files = [training_folder(path, variant, seed) / "training.csv" for seed in config.seeds]
        rows = itertools.chain.from_iterable(read_training(file) for file in files if file.exists())
        points = [(row.epoch, 100 * (1 - row.accuracy)) for row in rows if row.split == "test"]
        _draw_over_seeds(axes, points, color=colors[variant.name], label=variant.name)
    plots.curve_panel(axes, xlabel="epoch", ylabel="test error in %\nmean and range over seeds")
    _log_percent(axes)
    plots.legend_outside(axes)


def _log_percent(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_similarities(
    axes: Axes, config: CnnConfig, similarities: Sequence[Similarity], colors: Mapping[str, _Color]
) -> None:
    """Draw the mean similarity after the last epoch, layer by layer; noise on as a dashed line."""
    for (variant, color), (noise, style) in itertools.product(colors.items(), {"off": "-o", "on": "--o"}.items()):
        rows = [row for row in similarities if (row.variant, row.noise, row.epoch) == (variant, noise, config.epochs)]
        means = [[row.mean for row in rows if row.layer == layer] for layer in config.layers]
        if rows:
            axes.plot(range(len(means)), [np.mean(each) for each in means], style, color=color, markersize=4)
    axes.plot([], [], "-", color="black", label="noise off")
    axes.plot([], [], "--", color="black", label="noise on")
    plots.curve_panel(axes, ylabel="cosine similarity\nto the deterministic network")
    axes.set_xscale("linear")
    axes.set_xticks(range(len(config.layers)), config.layers)
    axes.margins(x=0.1)
    axes.set_title(f"epoch {config.epochs}", fontsize="medium")
    plots.legend_outside(axes)


def _draw_rows(
    axes: Axes, rows: Sequence[Clustering], colors: Mapping[str, _Color], value: Callable[[Clustering], float]
) -> None:
    # Those at the ceiling coincide: thinner lines go on top of thicker ones.
    for (label, color), width in zip(colors.items(), np.linspace(3, 1.5, len(colors)), strict=True):
        points = [(row.epoch, value(row)) for row in rows if label in (row.layer, row.variant)]
        _draw_over_seeds(axes, points, color=color, label=label, linewidth=width)


def _draw_over_seeds(
    axes: Axes, points: Iterable[tuple[int, float]], *, color: _Color, label: str, linewidth: float = 1.5
) -> None:
    """Draw the mean of the values at each epoch over the range of them."""
    by_epoch: dict[int, list[float]] = {}
    for epoch, value in points:
        by_epoch.setdefault(epoch, []).append(value)
    if not by_epoch:  # a logarithmic axis takes no curve without points
        return
    epochs = sorted(by_epoch)
    ends = ([float(of(by_epoch[epoch])) for epoch in epochs] for of in (min, np.mean, max))
    plots.band(axes, epochs, *ends, color=color, label=label, linewidth=linewidth)


def _draw_distances(
    config: CnnConfig, distances: Sequence[Distances], columns: Mapping[str, tuple[str, int]], to: Path
) -> None:
    """Draw the distributions of the distances, layers by columns; a column is a variant at an epoch."""
    figure = plots.new_figure(width=1.5 + 3 * len(columns), height=2.3 * len(config.layers))
    panels = figure.subplots(len(config.layers), len(columns), squeeze=False, sharex="row", sharey="row")
    for (row, layer), (column, (title, (variant, epoch))) in itertools.product(
        enumerate(config.layers), enumerate(columns.items())
    ):
        axes = panels[row, column]
        for kind, color in _KINDS.items():
            bins = [
                bin_ for bin_ in distances
                if (bin_.variant, bin_.epoch, bin_.layer, bin_.kind) == (variant, epoch, layer, kind)
            ]  # fmt: skip
            _draw_distribution(axes, bins, color=color, label=f"{kind} classes")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(yticks=[], xlabel=f"distance at {layer}")
        if row == 0:
            axes.set_title(title, fontsize="medium")
    for row, layer in enumerate(config.layers):
        shown = [bin_ for bin_ in distances if bin_.layer == layer and (bin_.variant, bin_.epoch) in columns.values()]
        panels[row, 0].set_xlim(_reach(shown))
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    save_figure(figure, to)


def _draw_distribution(axes: Axes, bins: Sequence[Distances], *, color: str, label: str) -> None:
    edges = sorted({edge for bin_ in bins for edge in (bin_.lower, bin_.upper)})
    places, counts = [(bin_.lower + bin_.upper) / 2 for bin_ in bins], [bin_.pairs for bin_ in bins]
    axes.hist(places, edges, weights=counts, density=True, histtype="stepfilled", color=color, alpha=0.5, label=label)


def _reach(bins: Sequence[Distances]) -> tuple[float, float]:
    """Return the distances below and above which there are few pairs."""
    lower, upper, pairs = (np.array([getattr(bin_, name) for bin_ in bins]) for name in ("lower", "upper", "pairs"))
    order = np.argsort(lower)
    share = np.cumsum(pairs[order]) / pairs.sum()
    first, last = np.searchsorted(share, (_SHOWN_SHARE, 1 - _SHOWN_SHARE))
    return float(lower[order][first]), float(upper[order][min(last, len(share) - 1)])
