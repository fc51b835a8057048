"""What the studies of scalar neurons share: settings, networks of one unit a layer, their training, and its figure.

Knows nothing of any single study. Every layer's truth is known by quadrature, epoch by epoch, and stands in neurons.csv
(epoch, layer, weight, bias, truth: I(X;T) in nats), from which the figure makes the networks again.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.utils import skip_init

from layerbits import plots
from layerbits._base import UsageError, progress
from layerbits.calibration import Channel, quadrature_truths
from layerbits.experiments.framework.configuration import (
    require,
    require_device,
    require_positive,
    require_tolerance,
    require_within,
)
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table
from layerbits.mixtures import mixture_log_density
from layerbits.networks import NoisyModule, evaluating, layer_activations, noisify, propagate
from layerbits.training import (
    Checkpoints,
    Monitor,
    TrainingCurves,
    load_checkpoint,
    log_spaced,
    read_information,
    read_training,
    single_threaded,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Seconds of a step of the optimizer, and what each neuron adds to it, on one core of Zen 5.
_STEP_SECONDS, _NEURON_SECONDS = 7e-5, 5.5e-5
_EVALUATED_DRAWS = 256  # passes of every input in a loss of training.csv: its noise is then a few per cent
_SHOWN_DRAWS, _POINTS = 1024, 1000  # of a density in a figure: passes of every input, places on the line
_LARGEST_LOSS = 1e4  # beyond it there is no training any more, and quadrature would need ever more points

# Weight and bias of each neuron, in the order data meets them.
Parameters = Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings that all studies have. [public code]: that of others, who reproduced the paper; its own is unknown."""

    seed: int = 0
    device: str = "cpu"  # or cuda, cuda:1
    sigma: float = 0.05  # [public code]
    learning_rate: float = 1e-3  # [public code] stochastic gradient descent, mean square error
    momentum: float = 0.0  # [public code] 1, for it never clears its gradients
    epochs: int = 100_000
    evaluations: int = 200
    measurements: int = 60
    tolerance: float = 0.005
    max_draws: int = 16_384
    shown_epochs: tuple[int, ...] = (1, 100_000)

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        require(self, "seed", self.seed >= 0, "at least 0")
        require_device(self)
        require(self, "sigma", 1e-3 <= self.sigma < math.inf, "at least 1e-3, for the grid of the quadrature")
        require_positive(self, "learning_rate", "epochs", "shown_epochs")
        require_tolerance(self)
        require_within(self, max_draws=(32, 2**22), evaluations=(2, 10**6), measurements=(2, 10**6))
        require(self, "momentum", 0 <= self.momentum <= 1, "a number from 0 to 1")

    @property
    def measured_epochs(self) -> tuple[int, ...]:
        """Epochs at which the information is measured."""
        return log_spaced(1, self.epochs, self.measurements)


@dataclasses.dataclass(frozen=True)
class Study:
    """What a network is trained to do, and what is known of it.

    Attributes
    ----------
    inputs, targets : tuple of float
        The values of X, equally likely, and what the network shall give for each: one of two numbers.
    activation : callable
        Makes the module behind each linear map.
    channels : callable
        Gives the channels from X to each neuron, of the network's parameters and sigma.
    """

    inputs: tuple[float, ...]
    targets: tuple[float, ...]
    activation: Callable[[], nn.Module]
    channels: Callable[[Parameters, float], Sequence[Channel]]

    def data(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs and targets, of shape (n, 1), and labels, (n,)."""
        inputs, targets = (torch.tensor(values, dtype=torch.float64)[:, None] for values in (self.inputs, self.targets))
        return inputs, targets, (targets[:, 0] > targets.mean()).long()


class Neuron(NamedTuple):
    """A row of neurons.csv; `truth` is I(X;T) by quadrature, in nats."""

    epoch: int
    layer: str
    weight: float
    bias: float
    truth: float


def training_seconds(settings: Settings, *, neurons: int) -> float:
    """Return the seconds that a training takes on one core of Zen 5, without measurements."""
    return settings.epochs * (_STEP_SECONDS + neurons * _NEURON_SECONDS)


def network(study: Study, parameters: Parameters, sigma: float, *, seed: int = 0) -> NoisyModule:
    """Make the neurons, in float64, each with noise; the layers are called ``neuron1``, ``neuron2``, ..."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for place, (weight, bias) in enumerate(parameters, start=1):
        # Without the initialization by torch, which would draw from the global generator.
        linear: nn.Linear = skip_init(nn.Linear, 1, 1, dtype=torch.float64)  # type: ignore[no-untyped-call]
        nn.init.constant_(linear.weight, weight)
        nn.init.constant_(linear.bias, bias)
        layers |= {f"linear{place}": linear, f"neuron{place}": study.activation()}
    return noisify(nn.Sequential(layers), sigma=sigma, layers="neuron*", seed=seed)


def train(settings: Settings, study: Study, start: Parameters, folder: RunFolder) -> None:
    """Train the neurons, or go on with it, measuring as it goes.

    An epoch is one step, by the mean square error over all inputs with fresh noise. Leaves training.csv,
    information.csv, neurons.csv and a checkpoint at each measured epoch; loss and accuracy are means over many passes,
    an output being right if it is nearer to its own target than to the other.
    """
    noisy = network(study, start, settings.sigma, seed=settings.seed).to(settings.device)
    inputs, targets, labels = (one.to(settings.device) for one in study.data())
    optimizer = torch.optim.SGD(noisy.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    checkpoints = Checkpoints(noisy, optimizer, at=settings.measured_epochs, directory=folder.path)
    resumed = checkpoints.resume()
    curves = TrainingCurves(
        noisy,
        {"train": (inputs.repeat(_EVALUATED_DRAWS, 1), targets.repeat(_EVALUATED_DRAWS, 1))},
        at={*settings.measured_epochs, *log_spaced(1, settings.epochs, settings.evaluations)},
        directory=folder.path,
        resumed_from=resumed,
        by=_evaluate,
    )
    monitor = Monitor(
        noisy,
        inputs,
        labels,
        at=settings.measured_epochs,
        directory=folder.path,
        tolerance=settings.tolerance,
        max_draws=settings.max_draws,
        seed=settings.seed,
    )
    for epoch in [epoch for epoch in monitor.at if epoch <= resumed and epoch not in monitor.tables]:
        load_checkpoint(folder.path, epoch, noisy)  # its rows were lost, its checkpoint was not
        with folder.phase("information"):
            monitor.step(epoch)
    checkpoints.resume()
    epochs = range(resumed + 1, settings.epochs + 1)
    steps = single_threaded(_steps(noisy, optimizer, inputs, targets, epochs))
    with folder.phase("training"):
        for epoch in progress(steps, name=f"epochs, {len(monitor.at)} measured", total=len(epochs)):
            curves.step(epoch)
            if epoch in monitor.at:
                with folder.phase("information"):
                    monitor.step(epoch)
            # After all but what is made of checkpoints, so that a run killed before it does all of this epoch again.
            checkpoints.step(epoch)
            if epoch in monitor.at:
                trace(settings, study, start, folder.path, upto=epoch)
    trace(settings, study, start, folder.path, upto=settings.epochs)  # where the table was lost


def trace(settings: Settings, study: Study, start: Parameters, path: Path, *, upto: int) -> list[Neuron]:
    """Work out the truths of the measured epochs up to one from the checkpoints in a folder; leaves neurons.csv."""
    noisy = network(study, start, settings.sigma)

    def look(cell: tuple[int, int]) -> Neuron:
        epoch, place = cell
        load_checkpoint(path, epoch, noisy)
        values = [parameter.item() for parameter in noisy.parameters()]
        parameters = list(zip(values[::2], values[1::2], strict=True))
        truth = quadrature_truths(study.channels(parameters, settings.sigma)[place])["I(X;T)"]
        return Neuron(epoch, noisy.layer_names[place], *parameters[place], truth.value)

    cells = [(epoch, place) for epoch in settings.measured_epochs if epoch <= upto for place in range(len(start))]
    return fill_table(path / "neurons.csv", Neuron, cells, look, name="quadrature")


def summary(settings: Settings, path: Path) -> dict[str, float]:
    """Return what the information of each layer comes down to: its peak and its end, as intervals beside the truths."""
    tables, neurons = read_information(path / "information.csv"), read_table(path / "neurons.csv", Neuron)
    numbers: dict[str, float] = {}
    for layer in dict.fromkeys(neuron.layer for neuron in neurons):
        truths = {neuron.epoch: neuron.truth for neuron in neurons if neuron.layer == layer}
        peak = max(truths, key=truths.__getitem__)
        numbers[f"{layer}_peak_epoch"] = peak
        for name, epoch in (("peak", peak), ("final", settings.epochs)):
            row = tables[epoch][layer, "I(X;T)"]
            numbers |= {f"{layer}_{name}_lower": row.lower, f"{layer}_{name}_upper": row.upper}
            numbers[f"{layer}_{name}_truth"] = truths[epoch]
    held = [n for n in neurons if (row := tables[n.epoch][n.layer, "I(X;T)"]).lower <= n.truth <= row.upper]
    return numbers | {"intervals": len(neurons), "intervals_that_hold_the_truth": len(held)}


def draw(settings: Settings, study: Study, path: Path, *, file: str, marks: Mapping[float, str]) -> None:
    """Draw a training from the tables in a folder, as far as they go.

    Above where the neurons have put the inputs, at some epochs, with the density of T; below it information, loss and
    parameters over the epochs. `marks` are the labels of dashed lines in the panel of the information, by height.
    """
    neurons = read_table(path / "neurons.csv", Neuron)
    by_epoch: dict[int, list[Neuron]] = {}
    for neuron in neurons:
        by_epoch.setdefault(neuron.epoch, []).append(neuron)
    shown = _nearest(settings.shown_epochs, by_epoch) if by_epoch else []
    layers = list(dict.fromkeys(neuron.layer for neuron in neurons))
    figure = plots.new_figure(width=11, height=7.5 + 1.3 * len(layers))
    grid = figure.add_gridspec(len(layers) + 3, max(1, len(shown)), height_ratios=(*([0.8] * len(layers)), 2, 1, 1))
    panels: list[Axes] = []  # of the layers, in the first column
    for column, epoch in enumerate(shown):
        parameters = [(neuron.weight, neuron.bias) for neuron in by_epoch[epoch]]
        of_epoch = [
            figure.add_subplot(grid[row, column], sharex=panels[row] if panels else None) for row in range(len(layers))
        ]
        panels = panels or of_epoch
        _draw_constellations(of_epoch, network(study, parameters, settings.sigma), study)
        of_epoch[0].set_title(f"epoch {epoch}", fontsize="medium")
        if epoch == shown[-1]:
            plots.legend_outside(of_epoch[0])
    for panel, layer in zip(panels, layers, strict=True):
        panel.set_ylabel(layer)
    information = figure.add_subplot(grid[-3, :])
    losses, values = (figure.add_subplot(grid[row, :], sharex=information) for row in (-2, -1))
    _draw_information(information, path, neurons, marks)
    rows = read_training(path / "training.csv") if (path / "training.csv").exists() else []
    losses.plot([row.epoch for row in rows], [row.loss for row in rows], color="black", label="mean square error")
    plots.curve_panel(losses, ylabel="loss")
    losses.set_yscale("log")
    for layer, color in zip(layers, _colors(layers), strict=True):
        line = [neuron for neuron in neurons if neuron.layer == layer]
        for name, style in (("weight", "-"), ("bias", "--")):
            values.plot(
                [neuron.epoch for neuron in line], [getattr(neuron, name) for neuron in line], style, color=color,
                label=f"{name}, {layer}",
            )  # fmt: skip
    plots.curve_panel(values, xlabel="epoch, of one step each", ylabel="parameters")
    for axes, title in ((information, "95 % intervals"), (losses, None), (values, None)):
        plots.legend_outside(axes, title=title)
        plots.mark_epochs(axes, shown)
        axes.label_outer()
    information.set_xlim(0.9, 5 * settings.epochs)  # room for the labels of the marks
    save_figure(figure, path / file)


def _colors(layers: Collection[str]) -> list[tuple[float, float, float, float]]:
    return plots.sequence_colors(len(layers) + 1)[1:]  # without the lightest


def _nearest(wanted: Sequence[int], epochs: Collection[int]) -> list[int]:
    """Return those of the epochs that are nearest to the wanted ones, on a logarithmic axis."""
    return sorted({min(epochs, key=lambda epoch: abs(math.log(epoch / one))) for one in wanted})


def _draw_constellations(panels: Sequence[Axes], noisy: NoisyModule, study: Study) -> None:
    """Draw where each layer puts the inputs, and the density of T, in the colours of the classes."""
    inputs, targets, labels = study.data()
    signals, places = propagate(noisy, inputs, draws=_SHOWN_DRAWS), layer_activations(noisy, inputs)
    for axes, layer in zip(panels, noisy.layer_names, strict=True):
        scale = noisy.noise[layer].scale
        low, high = (f(signals[layer]).item() + g * 4 * scale for f, g in ((torch.min, -1), (torch.max, 1)))
        line = torch.linspace(low, high, _POINTS, dtype=torch.float64)
        for label, color in enumerate(plots.CLASS_COLORS):
            own = labels == label
            density = mixture_log_density(line[:, None], signals[layer][own].reshape(-1, 1), scale).exp()
            axes.fill_between(line, density * own.double().mean(), color=color, alpha=0.4, linewidth=0)
            axes.plot(
                places[layer][own, 0], torch.zeros(int(own.sum())), "o", color=color, markersize=4, clip_on=False,
                label=f"target {targets[own][0].item():g}",
            )  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_information(axes: Axes, path: Path, neurons: Sequence[Neuron], marks: Mapping[float, str]) -> None:
    tables = read_information(path / "information.csv") if (path / "information.csv").exists() else {}
    layers = dict.fromkeys(row.layer for table in tables.values() for row in table)
    for layer, color in zip(layers, _colors(layers), strict=True):
        for quantity, style in (("I(X;T)", "-"), ("I(T;Y)", ":")):
            rows = [table[layer, quantity] for table in tables.values()]
            ends = ([getattr(row, name) for row in rows] for name in ("lower", "value", "upper"))
            plots.band(axes, list(tables), *ends, color=color, label=f"{quantity}, {layer}", linestyle=style)
    axes.plot(
        [neuron.epoch for neuron in neurons], [neuron.truth for neuron in neurons], "k.", markersize=3,
        label="I(X;T) by quadrature",
    )  # fmt: skip
    plots.curve_panel(axes, ylabel="information in nats")
    for height, label in marks.items():
        plots.reference_line(axes, height, label)


def _steps(
    noisy: NoisyModule, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor, epochs: range
) -> Iterator[int]:
    for epoch in epochs:
        optimizer.zero_grad()
        mse_loss(noisy(inputs), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield epoch


def _evaluate(model: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[float, float]:
    with evaluating(model), torch.no_grad():
        outputs = model(inputs)
    loss = mse_loss(outputs, targets).item()
    if loss > _LARGEST_LOSS:
        raise UsageError(f"learning_rate: training diverges, with a loss of {loss:g}; wanted a lower rate")
    right = (outputs > targets.mean()) == (targets > targets.mean())
    return loss, right.double().mean().item()
