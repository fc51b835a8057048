"""Compression in a noisy linear network on the SZT data: it needs no saturation, only directions that grow faster.

Writes training.csv, information.csv, scatter.csv (points of the last hidden layer, one noisy pass), szt-linear.png.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.szt import study as szt
from layerbits.networks import NoisyModule

Config = szt.NoisySettings

# Larger steps go the same way in fewer epochs.
QUICK: Mapping[str, Any] = {
    "epochs": 1000,
    "learning_rate": 1e-3,
    "batch_size": 256,
    "evaluations": 50,
    "measurements": 15,
    "draws": 16,
}


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    return szt.study_seconds(config)


def network(config: Config) -> NoisyModule:
    """Make the untrained noisy network, without activations."""
    return szt.noisy_network(config, config.sigma, activation=None)


def run(config: Config, folder: RunFolder) -> None:
    """Train, measure and draw, each going on from what `folder` holds."""
    train(config, folder)
    with folder.phase("figures"):
        measure(config, folder)
        draw(config, folder.path)


def train(config: Config, folder: RunFolder) -> None:
    """Train the network, measuring as it goes; leaves training.csv, information.csv and a checkpoint where measured."""
    folder.summary.update(szt.summary(folder.path, szt.train(config, network(config), folder)))


def measure(config: Config, folder: RunFolder) -> None:
    """Take points of the last hidden layer at the epochs to show; leaves scatter.csv."""
    szt.save_scatter(config, network(config), folder)


def draw(config: Config, path: Path) -> None:
    """Draw szt-linear.png from the tables in a folder, as far as they go."""
    save_figure(szt.study_figure(config, path), path / "szt-linear.png")
