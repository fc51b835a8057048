"""What the studies of the SZT network share: settings, the network, training with its measurements, parts of figures.

Knows nothing of any single study. A study of several networks gives each a folder of its own within that of the run.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from layerbits import plots
from layerbits._base import InformationTable, progress, read_csv, write_csv
from layerbits.data import SztData, split, szt_dataset
from layerbits.experiments.framework.configuration import (
    require,
    require_device,
    require_positive,
    require_tolerance,
    require_within,
)
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.kernels import NormalStream
from layerbits.networks import NoisyModule, noisify, propagate
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
from layerbits.training import train as train_epochs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d import Axes3D  # type: ignore[import-untyped]

SCATTER_COLUMNS = ("epoch", "label", "t1", "t2", "t3")

_Labels = npt.NDArray[np.int64]
_Points = npt.NDArray[np.float64]

_SHOWN_NOISE = 0.2  # how far beyond tanh's cube points are still shown in it
_SCATTER_STREAM = (0,)  # not one of those of the estimator, which have three numbers
# Seconds of a step of the optimizer, of a measurement of all layers by one draw, and of figures, on two cores of Zen 5.
_STEP_SECONDS = 4.7e-4
_DRAW_SECONDS = 1.3e-2
_FIGURE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings that all studies have. [B]: the authors' article on the paper. [S]: Shwartz-Ziv and Tishby's code."""

    seed: int = 0
    device: str = "cpu"  # or cuda, cuda:1
    widths: tuple[int, ...] = (10, 7, 5, 4, 3)  # [B]
    epochs: int = 10_000  # [B]
    learning_rate: float = 4e-4  # [S] Adam
    batch_size: int = 512  # [S]
    test_fraction: float = 0.2  # [S]
    evaluations: int = 200
    measurements: int = 40
    draws: int = 32
    queries: int | None = None
    tolerance: float | None = None
    max_seconds: float = 60.0  # of a measurement, with a tolerance
    max_draws: int = 1024
    scatter_epochs: tuple[int, ...] = (1, 28, 80, 500, 10_000)  # [B] names 28 and 80; the nearest measured are taken

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        require(self, "seed", self.seed >= 0, "at least 0")
        require_device(self)
        numbers = [field.name for field in dataclasses.fields(Settings) if field.name not in ("seed", "device")]
        require_positive(self, *numbers)
        require(self, "test_fraction", self.test_fraction < 1, "a number between 0 and 1")
        require(self, "widths", self.widths[-1] == 3, "3 as the last, for the figure shows that layer in space")
        require(self, "evaluations", self.evaluations >= 2, "at least 2, the first epoch and the last")
        require(self, "measurements", self.measurements >= 2, "at least 2, the first epoch and the last")
        require(self, "draws", self.draws >= 2, "at least 2")
        require(self, "queries", self.queries is None or self.queries >= 2, "at least 2, or None")
        require_tolerance(self)
        # Of every input, all draws at all units are held at once.
        require_within(self, widths=(1, 1024), draws=(2, 2**14), max_draws=(1, 2**14))
        require_within(self, evaluations=(2, 10**6), measurements=(2, 10**6))

    @property
    def measured_epochs(self) -> tuple[int, ...]:
        """Epochs at which the information is measured."""
        return log_spaced(1, self.epochs, self.measurements)

    @property
    def shown_epochs(self) -> tuple[int, ...]:
        """The measured epochs nearest to `scatter_epochs`, on a logarithmic axis."""

        def nearest(wanted: int) -> int:
            return min(self.measured_epochs, key=lambda epoch: abs(math.log(epoch / wanted)))

        return tuple(sorted(set(map(nearest, self.scatter_epochs))))


@dataclasses.dataclass(frozen=True)
class NoisySettings(Settings):
    """Settings of a study of one noisy network."""

    sigma: float = 0.005  # [B]

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        super().__post_init__()
        require_sigma(self, "sigma")


def require_sigma(settings: Settings, name: str) -> None:
    """Require the noise in the field `name`, or each item where it is a tuple, to be of a size that float32 takes."""
    value = getattr(settings, name)
    items = value if isinstance(value, tuple) else (value,)
    holds = bool(items) and all(1e-30 <= item <= 1e30 for item in items)
    require(settings, name, holds, "from 1e-30 to 1e30, for float32")


def training_seconds(settings: Settings) -> float:
    """Return the seconds that a training takes on two cores of Zen 5, without measurements."""
    return settings.epochs * math.ceil(4096 * (1 - settings.test_fraction) / settings.batch_size) * _STEP_SECONDS


def measuring_seconds(settings: Settings) -> float:
    """Return the seconds that the measurements of a training take; the most that they may, with a tolerance."""
    of_one = _DRAW_SECONDS * settings.draws if settings.tolerance is None else settings.max_seconds
    return settings.measurements * of_one


def study_seconds(settings: Settings) -> float:
    """Return about how many seconds it takes to train, measure and draw a noisy network on two cores of Zen 5."""
    return training_seconds(settings) + measuring_seconds(settings) + _FIGURE_SECONDS


def network(settings: Settings, activation: Callable[[], nn.Module] | None = nn.Tanh) -> nn.Sequential:
    """Make the untrained network, without noise: hidden layers of the given widths, two logits.

    Its modules are ``linear1``, ``tanh1``, ``linear2`` and so on, by the name of the activation's class in lower case;
    without an activation, the hidden layers are linear. Weights are normal with standard deviation
    1 / sqrt(inputs of the layer), cut off at two of them, and biases are zero: the initialization of Shwartz-Ziv and
    Tishby's own code.
    """
    sizes = (12, *settings.widths, 2)
    generator = torch.Generator().manual_seed(settings.seed)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for place, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        # Without the initialization by torch, which would draw from the global generator.
        linear: nn.Linear = skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
        std = inputs**-0.5
        nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        nn.init.zeros_(linear.bias)
        layers[f"linear{place}"] = linear
        if activation is not None and place < len(sizes) - 1:
            module = activation()
            layers[f"{type(module).__name__.lower()}{place}"] = module
    return nn.Sequential(layers)


def noisy_network(
    settings: Settings, sigma: float, activation: Callable[[], nn.Module] | None = nn.Tanh
) -> NoisyModule:
    """Make the network with noise on every hidden unit."""
    plain = network(settings, activation)
    hidden = [name for name, _ in plain.named_children()][(1 if activation else 0) : -1 : (2 if activation else 1)]
    return noisify(plain, sigma=sigma, layers=hidden, seed=settings.seed)


def train(
    settings: Settings,
    model: nn.Module,
    folder: RunFolder,
    *,
    variant: str = "",
    after_step: Callable[[], None] | None = None,
) -> dict[int, InformationTable]:
    """Train a network, or what is left of it, measuring a noisy one as it goes.

    Leaves training.csv, a checkpoint at each measured epoch and, for a noisy network, information.csv in the folder
    `variant` of the run.

    Parameters
    ----------
    settings : Settings
        Of the study.
    model : torch.nn.Module
        Untrained, as `network` or `noisy_network` makes it; in the end in its state after the last epoch, on the device
        of the settings.
    folder : RunFolder
        Of the run.
    variant : str, optional
        Name of the network within the run, where there are several.
    after_step : callable, optional
        Called after each step of the optimizer; a regularizer of the weights.

    Returns
    -------
    dict of int to InformationTable
        What was measured, by epoch.
    """
    path, data = folder.path / variant, szt_dataset().to(settings.device)
    model.to(settings.device)
    train_rows, test_rows = split(len(data.labels), test_fraction=settings.test_fraction, seed=settings.seed)
    splits = {
        "train": (data.inputs[train_rows], data.labels[train_rows]),
        "test": (data.inputs[test_rows], data.labels[test_rows]),
    }
    # Fused Adam takes a quarter off the time of a step of so small a network.
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    if after_step is not None:
        optimizer.register_step_post_hook(lambda *_: after_step())
    checkpoints = Checkpoints(model, optimizer, at=settings.measured_epochs, directory=path)
    resumed = checkpoints.resume()
    evaluated = log_spaced(1, settings.epochs, settings.evaluations)
    curves = TrainingCurves(model, splits, at=evaluated, directory=path, resumed_from=resumed)
    monitor = _monitor(settings, model, data, path) if isinstance(model, NoisyModule) else None
    if monitor is not None:
        for epoch in [epoch for epoch in monitor.at if epoch <= resumed and epoch not in monitor.tables]:
            load_checkpoint(path, epoch, model)  # its rows were lost, its checkpoint was not
            with folder.phase("information"):
                monitor.step(epoch)
        checkpoints.resume()
    epochs = range(resumed + 1, settings.epochs + 1)
    trained = train_epochs(
        model, optimizer, *splits["train"], epochs=epochs, batch_size=settings.batch_size, seed=settings.seed
    )
    name = f"{variant} epochs, {len(settings.measured_epochs)} measured".lstrip()
    with folder.phase("training"):
        for epoch in progress(single_threaded(trained), name=name, total=len(epochs)):
            curves.step(epoch)
            if monitor is not None and epoch in monitor.at:
                with folder.phase("information"):
                    monitor.step(epoch)
            # Last, so that a run killed before it does all of this epoch again.
            checkpoints.step(epoch)
    return dict(monitor.tables) if monitor is not None else {}


def save_scatter(settings: Settings, noisy: NoisyModule, folder: RunFolder, *, variant: str = "") -> None:
    """Take points of the last hidden layer, one noisy pass, at the epochs to show; leaves scatter.csv."""
    path, data, last = folder.path / variant, szt_dataset().to(settings.device), noisy.layer_names[-1]
    noisy.to(settings.device)
    rows: list[tuple[float, ...]] = []
    for epoch in settings.shown_epochs:
        load_checkpoint(path, epoch, noisy)
        signals: Tensor = propagate(noisy, data.inputs, draws=1, seed=settings.seed, layers=last)[last]
        noise = NormalStream(settings.seed, *_SCATTER_STREAM).like(signals[:, 0])
        points = noisy.noise[last].add(signals[:, 0], noise)
        rows += [(epoch, *row) for row in zip(data.labels.tolist(), *points.T.tolist(), strict=True)]
    write_csv(path / "scatter.csv", SCATTER_COLUMNS, rows)


def read_scatter(path: Path) -> dict[int, tuple[_Labels, _Points]]:
    """Read the scatter.csv in a folder: labels of shape (n,) and points of shape (n, 3), by epoch."""
    table = np.array(read_csv(path / "scatter.csv", SCATTER_COLUMNS), dtype=np.float64)
    epochs = table[:, 0].astype(np.int64)
    return {
        int(epoch): (table[epochs == epoch, 1].astype(np.int64), table[epochs == epoch, 2:])
        for epoch in np.unique(epochs)
    }


def summary(path: Path, tables: Mapping[int, InformationTable], *, prefix: str = "") -> dict[str, float]:
    """Return what a training comes down to: the last test accuracy, the information of the first and last layers."""
    final = max(tables)
    layers = [row.layer for row in tables[final]]
    first, last = layers[0], layers[-1]
    peak = max(tables, key=lambda epoch: tables[epoch][last, "I(X;T)"].value)
    numbers = {"test_accuracy": final_accuracy(path)}
    for name, epoch, layer in (
        ("first_layer_final", final, first),
        ("last_layer_peak", peak, last),
        ("last_layer_final", final, last),
    ):
        row = tables[epoch][layer, "I(X;T)"]
        numbers |= {f"{name}_information": row.value, f"{name}_lower": row.lower, f"{name}_upper": row.upper}
    numbers |= {
        "last_layer_peak_epoch": peak,
        "last_layer_fall": numbers["last_layer_peak_information"] - numbers["last_layer_final_information"],
        "last_layer_least_fall": numbers["last_layer_peak_lower"] - numbers["last_layer_final_upper"],
    }
    return {f"{prefix}{name}": value for name, value in numbers.items()}


def final_accuracy(path: Path) -> float:
    """Return the last accuracy on the test split in the training.csv of a folder."""
    return read_training(path / "training.csv")[-1].accuracy


def study_figure(settings: Settings, path: Path) -> Figure:
    """Draw what the tables in the folder of one network hold: points of the last layer, information, losses."""
    shown = settings.shown_epochs
    figure = plots.new_figure(width=11, height=8.5)
    grid = figure.add_gridspec(3, len(shown), height_ratios=(1.1, 1.3, 1))
    draw_scatter([figure.add_subplot(grid[0, column], projection="3d") for column in range(len(shown))], path)
    information = figure.add_subplot(grid[1, :])
    losses = figure.add_subplot(grid[2, :], sharex=information)
    draw_information(information, path)
    plots.legend_outside(information, title="95 % intervals")
    draw_losses(losses, path)
    plots.legend_outside(losses)
    for axes in (information, losses):
        plots.mark_epochs(axes, list(shown))
        axes.label_outer()
    return figure


def draw_scatter(axes: Sequence[Axes3D], path: Path) -> None:
    """Draw the points of the last hidden layer that a folder has, an epoch to a panel, in the cube that they fill."""
    scatter = read_scatter(path) if (path / "scatter.csv").exists() else {}
    for panel, (epoch, (labels, points)) in zip(axes, scatter.items(), strict=False):
        farthest = np.abs(points).max()
        limit = 1.0 if farthest < 1 + _SHOWN_NOISE else math.ceil(farthest)
        plots.scatter_panel(panel, points, labels, title=f"epoch {epoch}", limit=limit)


def draw_information(axes: Axes, path: Path) -> None:
    """Draw I(X;T) of the layers in the information.csv of a folder, if any, over the epochs, as bands."""
    tables = read_information(path / "information.csv") if (path / "information.csv").exists() else {}
    layers = dict.fromkeys(row.layer for table in tables.values() for row in table)
    # The first layers coincide at log 4096: thinner lines go on top of thicker ones.
    widths = np.linspace(4, 1.5, len(layers))
    for layer, color, width in zip(layers, plots.sequence_colors(len(layers)), widths, strict=True):
        rows = [table[layer, "I(X;T)"] for table in tables.values()]
        ends = ([getattr(row, name) for row in rows] for name in ("lower", "value", "upper"))
        plots.band(axes, list(tables), *ends, color=color, label=layer, linewidth=width)
    plots.curve_panel(axes, ylabel="I(X;T) in nats")
    plots.reference_line(axes, math.log(2**12), "log 4096")


def draw_losses(axes: Axes, path: Path) -> None:
    """Draw the cross-entropies in the training.csv of a folder, if any, over the epochs."""
    rows = read_training(path / "training.csv") if (path / "training.csv").exists() else []
    for split_name, color in zip(("train", "test"), plots.CLASS_COLORS, strict=True):
        curve = [row for row in rows if row.split == split_name]
        axes.plot([row.epoch for row in curve], [row.loss for row in curve], color=color, label=split_name)
    plots.curve_panel(axes, xlabel="epoch", ylabel="cross-entropy in nats")
    axes.set_ylim(bottom=0)


def _monitor(settings: Settings, noisy: NoisyModule, data: SztData, path: Path) -> Monitor:
    return Monitor(
        noisy,
        data.inputs,
        data.labels,
        at=settings.measured_epochs,
        directory=path,
        draws=settings.draws,
        queries=settings.queries,
        tolerance=settings.tolerance,
        max_seconds=settings.max_seconds,
        max_draws=settings.max_draws,
        seed=settings.seed,
    )
