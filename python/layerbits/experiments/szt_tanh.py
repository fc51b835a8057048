"""Compression in a noisy tanh network on the SZT data, layer by layer over training (Figure 5 of the paper).

Writes training.csv, information.csv, scatter.csv (points of the last hidden layer, one noisy pass), szt-tanh.png.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerbits import plots
from layerbits.experiments import szt
from layerbits.experiments.run_folder import RunFolder, save_figure
from layerbits.noise import NoisyModule


@dataclasses.dataclass(frozen=True)
class Config(szt.Settings):
    """Settings. [B]: the authors' article on the paper; those of the paper's optimizer are unknown."""

    sigma: float = 0.005  # [B]

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        super().__post_init__()
        szt.require_sigma(self, "sigma")


# Larger steps go the same way in fewer epochs.
QUICK: Mapping[str, Any] = {
    "epochs": 4000,
    "learning_rate": 1e-3,
    "batch_size": 256,
    "evaluations": 100,
    "measurements": 20,
    "draws": 16,
}


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    return szt.training_seconds(config) + szt.measuring_seconds(config)


def network(config: Config) -> NoisyModule:
    """Make the untrained noisy network."""
    return szt.noisy_network(config, config.sigma)


def run(config: Config, folder: RunFolder) -> None:
    """Train, measure and draw, each going on from what `folder` holds."""
    train(config, folder)
    with folder.phase("figures"):
        measure(config, folder)
        draw(config, folder.path)


def train(config: Config, folder: RunFolder) -> None:
    """Train the network, measuring as it goes; leaves training.csv, information.csv and a checkpoint where measured."""
    tables = szt.train(config, network(config), folder)
    folder.summary["test_accuracy"] = szt.final_accuracy(folder.path)
    folder.summary.update(szt.summary(tables))


def measure(config: Config, folder: RunFolder) -> None:
    """Take points of the last hidden layer at the epochs to show; leaves scatter.csv."""
    szt.save_scatter(config, network(config), folder)


def draw(config: Config, path: Path) -> None:
    """Draw szt-tanh.png from the tables in a folder, as far as they go."""
    shown = config.shown_epochs
    figure = plots.new_figure(width=11, height=8.5)
    grid = figure.add_gridspec(3, len(shown), height_ratios=(1.1, 1.3, 1))
    if (path / "scatter.csv").exists():
        szt.draw_scatter([figure.add_subplot(grid[0, i], projection="3d") for i in range(len(shown))], path)
    information = figure.add_subplot(grid[1, :])
    losses = figure.add_subplot(grid[2, :], sharex=information)
    szt.draw_information(information, path)
    plots.legend_outside(information, title="95 % intervals")
    szt.draw_losses(losses, path)
    plots.legend_outside(losses)
    for axes in (information, losses):
        plots.mark_epochs(axes, list(shown))
        axes.label_outer()
    save_figure(figure, path / "szt-tanh.png")
