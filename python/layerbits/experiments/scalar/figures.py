"""The figure of a training of scalar neurons."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from layerbits import plots
from layerbits.experiments.framework.tables import read_table
from layerbits.experiments.scalar.network import ScalarTask
from layerbits.experiments.scalar.settings import ScalarSettings
from layerbits.experiments.scalar.training import Neuron
from layerbits.mixtures import mixture_log_density
from layerbits.networks import layer_activations, noise_of, propagate
from layerbits.training import nearest_epochs, read_information, read_training

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

_DENSITY_PASSES, _DENSITY_POINTS = 1024, 1000  # passes of every input, and points at which a density is plotted


@dataclasses.dataclass(frozen=True)
class TrainingFigure:
    """The figure of a training, from the tables in a folder, which may be incomplete.

    The upper panels show, at some epochs, the activations of the neurons for all inputs, and the density of T. The
    lower panels show information, loss and parameters over the epochs.

    Attributes
    ----------
    settings, task
        Settings and task of the experiment.
    path : pathlib.Path
        The folder.
    marks : mapping of float to str
        Heights and labels of dashed lines in the panel of the information.
    """

    settings: ScalarSettings
    task: ScalarTask
    path: Path
    marks: Mapping[float, str]

    def plot(self) -> Figure:
        """Plot all panels."""
        neurons = read_table(self.path / "neurons.csv", Neuron)
        epochs = list(dict.fromkeys(neuron.epoch for neuron in neurons))
        columns = nearest_epochs(epochs, self.settings.shown_epochs) if epochs else ()
        layers = list(dict.fromkeys(neuron.layer for neuron in neurons))
        figure = plots.new_figure(width=11, height=7.5 + 1.3 * len(layers))
        height_ratios = (*([0.8] * len(layers)), 2, 1, 1)
        grid = figure.add_gridspec(len(layers) + 3, max(1, len(columns)), height_ratios=height_ratios)
        self._plot_epochs(figure, grid, neurons, columns)
        information = figure.add_subplot(grid[-3, :])
        losses, parameters = (figure.add_subplot(grid[row, :], sharex=information) for row in (-2, -1))
        self._plot_information(information, neurons)
        self._plot_losses(losses)
        _plot_parameters(parameters, neurons)
        for axes, title in ((information, "95 % intervals"), (losses, None), (parameters, None)):
            plots.legend_outside(axes, title=title)
            plots.mark_epochs(axes, list(columns))
            axes.label_outer()
        information.set_xlim(0.9, 5 * self.settings.epochs)  # the right part has space for the labels of the marks
        return figure

    def _plot_epochs(self, figure: Figure, grid: GridSpec, neurons: Sequence[Neuron], epochs: Sequence[int]) -> None:
        """Plot activations and the density of T: a row of panels for each layer, a column for each epoch."""
        layers = list(dict.fromkeys(neuron.layer for neuron in neurons))
        first_column: list[Axes] = []
        for column, epoch in enumerate(epochs):
            panels = [
                figure.add_subplot(grid[row, column], sharex=first_column[row] if first_column else None)
                for row in range(len(layers))
            ]
            first_column = first_column or panels
            self._plot_values(panels, [neuron for neuron in neurons if neuron.epoch == epoch])
            panels[0].set_title(f"epoch {epoch}", fontsize="medium")
            if epoch == epochs[-1]:
                plots.legend_outside(panels[0])
        for panel, layer in zip(first_column, layers, strict=True):
            panel.set_ylabel(layer)

    def _plot_values(self, panels: Sequence[Axes], neurons: Sequence[Neuron]) -> None:
        """Plot the activation of each layer for each input, and the density of T, in the colours of the classes."""
        sigma = self.settings.sigma
        network = self.task.network([(neuron.weight, neuron.bias) for neuron in neurons], sigma)
        inputs, targets, labels = self.task.data()
        signals, activations = propagate(network, inputs, draws=_DENSITY_PASSES), layer_activations(network, inputs)
        for axes, layer in zip(panels, noise_of(network), strict=True):
            margin = 4 * _scale(network, layer)
            lower, upper = signals[layer].min().item() - margin, signals[layer].max().item() + margin
            points = torch.linspace(lower, upper, _DENSITY_POINTS, dtype=torch.float64)
            for label, color in enumerate(plots.CLASS_COLORS):
                in_class = labels == label
                centers = signals[layer][in_class].reshape(-1, 1)
                density = mixture_log_density(points[:, None], centers, _scale(network, layer)).exp()
                axes.fill_between(points, density * in_class.double().mean(), color=color, alpha=0.4, linewidth=0)
                values = activations[layer][in_class, 0]
                name = f"target {targets[in_class][0].item():g}"
                axes.plot(values, torch.zeros(len(values)), "o", color=color, markersize=4, clip_on=False, label=name)
            axes.set_ylim(bottom=0)
            axes.set_yticks([])
            axes.spines[["top", "right", "left"]].set_visible(False)

    def _plot_information(self, axes: Axes, neurons: Sequence[Neuron]) -> None:
        file = self.path / "information.csv"
        tables = read_information(file) if file.exists() else {}
        layers = list(dict.fromkeys(row.layer for table in tables.values() for row in table))
        for layer, color in zip(layers, plots.sequence_colors(len(layers)), strict=True):
            for quantity, linestyle in (("I(X;T)", "-"), ("I(T;Y)", ":")):
                rows = [table[layer, quantity] for table in tables.values()]
                ends = ([getattr(row, name) for row in rows] for name in ("lower", "value", "upper"))
                style = plots.CurveStyle(color=color, label=f"{quantity}, {layer}", linestyle=linestyle)
                plots.band(axes, list(tables), ends, style)
        epochs, truths = [neuron.epoch for neuron in neurons], [neuron.truth for neuron in neurons]
        axes.plot(epochs, truths, "k.", markersize=3, label="I(X;T) by quadrature")
        plots.curve_panel(axes, ylabel="information in nats")
        for height, label in self.marks.items():
            plots.reference_line(axes, height, label)

    def _plot_losses(self, axes: Axes) -> None:
        file = self.path / "training.csv"
        rows = read_training(file) if file.exists() else []
        axes.plot([row.epoch for row in rows], [row.loss for row in rows], color="black", label="mean square error")
        plots.curve_panel(axes, ylabel="loss")
        axes.set_yscale("log")


def _plot_parameters(axes: Axes, neurons: Sequence[Neuron]) -> None:
    layers = list(dict.fromkeys(neuron.layer for neuron in neurons))
    for layer, color in zip(layers, plots.sequence_colors(len(layers)), strict=True):
        curve = [neuron for neuron in neurons if neuron.layer == layer]
        epochs = [neuron.epoch for neuron in curve]
        axes.plot(epochs, [neuron.weight for neuron in curve], "-", color=color, label=f"weight, {layer}")
        axes.plot(epochs, [neuron.bias for neuron in curve], "--", color=color, label=f"bias, {layer}")
    plots.curve_panel(axes, xlabel="epoch, of one step each", ylabel="parameters")


def _scale(network: nn.Module, layer: str) -> float:
    return noise_of(network)[layer].least_deviation
