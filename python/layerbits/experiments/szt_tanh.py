"""Compression in a noisy tanh network on the SZT data, layer by layer over training (Figure 5 of the paper).

Writes training.csv, information.csv, scatter.csv (points of the last hidden layer, one noisy pass), szt-tanh.png.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from layerbits import plots
from layerbits.data.split import split
from layerbits.data.szt import szt_dataset
from layerbits.experiments.configuration import require, require_positive
from layerbits.experiments.run_folder import RunFolder
from layerbits.noise import NoisyModule, noisify
from layerbits.progress import progress
from layerbits.propagation import propagate
from layerbits.randomness import standard_normal, stream
from layerbits.results import InformationTable
from layerbits.training.checkpoints import Checkpoints, load_checkpoint
from layerbits.training.evaluation import TrainingCurves, read_training
from layerbits.training.loop import single_threaded
from layerbits.training.loop import train as train_epochs
from layerbits.training.monitor import Monitor, log_spaced, read_information
from layerbits.training.records import read_csv, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Labels = npt.NDArray[np.int64]
_Points = npt.NDArray[np.float64]

_SCATTER_STREAM = (0,)  # not one of those of the estimator, which have three numbers
_SCATTER_COLUMNS = ("epoch", "label", "t1", "t2", "t3")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings. [B]: the authors' article on the paper. [S]: Shwartz-Ziv and Tishby's code, the paper's are unknown."""

    seed: int = 0
    sigma: float = 0.005  # [B]
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
        require(self, "sigma", 1e-30 <= self.sigma <= 1e30, "a number from 1e-30 to 1e30, for float32")
        require_positive(self, *(field.name for field in dataclasses.fields(self) if field.name != "seed"))
        require(self, "test_fraction", self.test_fraction < 1, "a number between 0 and 1")
        require(self, "widths", self.widths[-1] == 3, "3 as the last, for the figure shows that layer in space")
        require(self, "evaluations", self.evaluations >= 2, "at least 2, the first epoch and the last")
        require(self, "measurements", self.measurements >= 2, "at least 2, the first epoch and the last")
        require(self, "draws", self.draws >= 2, "at least 2")
        require(self, "queries", self.queries is None or self.queries >= 2, "at least 2, or None")

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


# Larger steps go the same way in fewer epochs.
QUICK: Mapping[str, Any] = {
    "epochs": 4000,
    "learning_rate": 1e-3,
    "batch_size": 256,
    "evaluations": 100,
    "measurements": 20,
    "draws": 16,
}


def run(config: Config, folder: RunFolder) -> None:
    """Train, measure and draw, each going on from what `folder` holds."""
    train(config, folder)
    measure(config, folder)
    draw(config, folder)


def train(config: Config, folder: RunFolder) -> None:
    """Train the network, measuring as it goes; leaves training.csv, information.csv and a checkpoint where measured."""
    noisy, data = network(config), szt_dataset()
    train_rows, test_rows = split(len(data.labels), test_fraction=config.test_fraction, seed=config.seed)
    splits = {
        "train": (data.inputs[train_rows], data.labels[train_rows]),
        "test": (data.inputs[test_rows], data.labels[test_rows]),
    }
    # Fused Adam takes a quarter off the time of a step of so small a network.
    optimizer = torch.optim.Adam(noisy.parameters(), lr=config.learning_rate, fused=True)
    checkpoints = Checkpoints(noisy, optimizer, at=config.measured_epochs, directory=folder.path)
    resumed = checkpoints.resume()
    evaluated = log_spaced(1, config.epochs, config.evaluations)
    curves = TrainingCurves(noisy, splits, at=evaluated, directory=folder.path, resumed_from=resumed)
    monitor = Monitor(
        noisy,
        data.inputs,
        data.labels,
        at=config.measured_epochs,
        directory=folder.path,
        draws=config.draws,
        queries=config.queries,
        tolerance=config.tolerance,
        max_seconds=config.max_seconds,
        max_draws=config.max_draws,
        seed=config.seed,
    )
    for epoch in [epoch for epoch in monitor.at if epoch <= resumed and epoch not in monitor.tables]:
        load_checkpoint(folder.path, epoch, noisy)  # its rows were lost, its checkpoint was not
        with folder.phase("information"):
            monitor.step(epoch)
    checkpoints.resume()
    epochs = range(resumed + 1, config.epochs + 1)
    trained = train_epochs(
        noisy, optimizer, *splits["train"], epochs=epochs, batch_size=config.batch_size, seed=config.seed
    )
    with folder.phase("training"):
        for epoch in progress(single_threaded(trained), name=f"epochs, {len(monitor.at)} measured", total=len(epochs)):
            curves.step(epoch)
            if epoch in monitor.at:
                with folder.phase("information"):
                    monitor.step(epoch)
            # Last, so that a run killed before it does all of this epoch again.
            checkpoints.step(epoch)
    folder.summary["test_accuracy"] = read_training(folder.path / "training.csv")[-1].accuracy
    folder.summary.update(_summary(noisy, monitor.tables))


def measure(config: Config, folder: RunFolder) -> None:
    """Take points of the last hidden layer at the epochs to show; leaves scatter.csv."""
    noisy, data = network(config), szt_dataset()
    last = noisy.layer_names[-1]
    noise = standard_normal((len(data.inputs), 3), stream(config.seed, *_SCATTER_STREAM), torch.float32)
    rows: list[tuple[float, ...]] = []
    with folder.phase("figures"):
        for epoch in config.shown_epochs:
            load_checkpoint(folder.path, epoch, noisy)
            signals: Tensor = propagate(noisy, data.inputs, draws=1, seed=config.seed, layers=last)[last]
            points = signals[:, 0] + config.sigma * noise
            rows += [(epoch, *row) for row in zip(data.labels.tolist(), *points.T.tolist(), strict=True)]
    write_csv(folder.path / "scatter.csv", _SCATTER_COLUMNS, rows)


def draw(config: Config, folder: RunFolder) -> None:
    """Draw szt-tanh.png from the tables in the folder."""
    with folder.phase("figures"):
        shown = _read_scatter(folder.path)
        figure = plots.new_figure(width=11, height=8.5)
        grid = figure.add_gridspec(3, len(shown), height_ratios=(1.1, 1.3, 1))
        for column, (epoch, (labels, points)) in enumerate(shown.items()):
            space = figure.add_subplot(grid[0, column], projection="3d")
            plots.scatter_panel(space, points, labels, title=f"epoch {epoch}")
        information = figure.add_subplot(grid[1, :])
        losses = figure.add_subplot(grid[2, :], sharex=information)
        _draw_information(information, folder.path)
        _draw_losses(losses, folder.path)
        for axes in (information, losses):
            plots.mark_epochs(axes, list(shown))
            axes.label_outer()
        folder.save_figure(figure, "szt-tanh.png")


def network(config: Config) -> NoisyModule:
    """Make the untrained noisy network: tanh layers ``tanh1``, ``tanh2``, ... of the given widths, two logits.

    Weights are normal with standard deviation 1 / sqrt(inputs of the layer), cut off at two of them, and biases are
    zero: the initialization of Shwartz-Ziv and Tishby's own code.
    """
    sizes = (12, *config.widths, 2)
    generator = torch.Generator().manual_seed(config.seed)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for place, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        # Without the initialization by torch, which would draw from the global generator.
        linear: nn.Linear = skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
        std = inputs**-0.5
        nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        nn.init.zeros_(linear.bias)
        layers[f"linear{place}"] = linear
        layers[f"tanh{place}"] = nn.Tanh()
    layers.popitem()  # no tanh on the logits
    return noisify(nn.Sequential(layers), sigma=config.sigma, seed=config.seed)


def _read_scatter(folder: Path) -> dict[int, tuple[_Labels, _Points]]:
    table = np.array(read_csv(folder / "scatter.csv", _SCATTER_COLUMNS), dtype=np.float64)
    epochs = table[:, 0].astype(np.int64)
    return {
        int(epoch): (table[epochs == epoch, 1].astype(np.int64), table[epochs == epoch, 2:])
        for epoch in np.unique(epochs)
    }


def _summary(noisy: NoisyModule, tables: Mapping[int, InformationTable]) -> dict[str, float]:
    first, last = noisy.layer_names[0], noisy.layer_names[-1]
    final = max(tables)
    peak = max(tables, key=lambda epoch: tables[epoch][last, "I(X;T)"].value)
    summary: dict[str, float] = {}
    for name, epoch, layer in (
        ("first_layer_final", final, first),
        ("last_layer_peak", peak, last),
        ("last_layer_final", final, last),
    ):
        row = tables[epoch][layer, "I(X;T)"]
        summary |= {f"{name}_information": row.value, f"{name}_lower": row.lower, f"{name}_upper": row.upper}
    return summary | {
        "last_layer_peak_epoch": peak,
        "last_layer_fall": summary["last_layer_peak_information"] - summary["last_layer_final_information"],
        "last_layer_least_fall": summary["last_layer_peak_lower"] - summary["last_layer_final_upper"],
    }


def _draw_information(axes: Axes, folder: Path) -> None:
    tables = read_information(folder / "information.csv")
    layers = dict.fromkeys(row.layer for table in tables.values() for row in table)
    # The first layers coincide at log 4096: thinner lines go on top of thicker ones.
    widths = np.linspace(4, 1.5, len(layers))
    for layer, color, width in zip(layers, plots.sequence_colors(len(layers)), widths, strict=True):
        rows = [table[layer, "I(X;T)"] for table in tables.values()]
        ends = ([getattr(row, name) for row in rows] for name in ("lower", "value", "upper"))
        plots.band(axes, list(tables), *ends, color=color, label=layer, linewidth=width)
    plots.curve_panel(axes, ylabel="I(X;T) in nats")
    plots.reference_line(axes, math.log(2**12), "log 4096")
    plots.legend_outside(axes, title="95 % intervals")


def _draw_losses(axes: Axes, folder: Path) -> None:
    rows = read_training(folder / "training.csv")
    for split_name, color in zip(("train", "test"), plots.CLASS_COLORS, strict=True):
        curve = [row for row in rows if row.split == split_name]
        axes.plot([row.epoch for row in curve], [row.loss for row in curve], color=color, label=split_name)
    plots.curve_panel(axes, xlabel="epoch", ylabel="cross-entropy in nats")
    axes.set_ylim(bottom=0)
    plots.legend_outside(axes)
