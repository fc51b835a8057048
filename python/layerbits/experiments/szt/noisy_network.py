"""The experiments szt-tanh and szt-linear: one noisy network on the SZT data, layer by layer over its training.

A run writes training.csv, information.csv, scatter.csv (points of the last hidden layer in one noisy pass) and
NAME.png and NAME-plane.png, the figures named after the experiment.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import nn

from layerbits import plots
from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.szt.figures import network_figure
from layerbits.experiments.szt.network import Activation, noisy_network
from layerbits.experiments.szt.scatter import save_scatter
from layerbits.experiments.szt.settings import NoisySettings
from layerbits.experiments.szt.training import summarize, train_network
from layerbits.training import read_history


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NoisyNetworkExperiment(Experiment[NoisySettings]):
    """Information in one noisy network; `activation` is None for a linear network."""

    config_type: type[NoisySettings] = NoisySettings
    activation: Activation | None

    def expected_seconds(self, config: NoisySettings) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        return config.network_seconds

    def network(self, config: NoisySettings) -> nn.Module:
        """Make the untrained noisy network."""
        return noisy_network(config, config.sigma, self.activation)

    def train(self, config: NoisySettings, folder: RunFolder) -> None:
        """Train and measure the network; write training.csv, information.csv and checkpoints."""
        train_network(config, self.network(config), folder)

    def measure(self, config: NoisySettings, folder: RunFolder) -> None:
        """Write scatter.csv, the points of the last hidden layer at the epochs to show, and summarize the tables."""
        save_scatter(config, self.network(config), folder.path)
        folder.summary.update(summarize(folder.path))

    def plot(self, config: NoisySettings, path: Path) -> None:
        """Save NAME.png from the tables in a folder and, once there is an information.csv, NAME-plane.png."""
        save_figure(network_figure(config, path), path / f"{self.name}.png")
        if (path / "information.csv").exists():
            figure = plots.new_figure(width=7, height=5)
            axes = plots.information_plane(read_history(path), ax=figure.add_subplot())
            axes.legend(loc="lower center", frameon=False)
            save_figure(figure, path / f"{self.name}-plane.png")


SZT_TANH = NoisyNetworkExperiment(
    name="szt-tanh",
    description=(
        "Compression in a noisy tanh network on the SZT data, layer by layer over training (Figure 5 of the paper)."
    ),
    activation=nn.Tanh,
    # A larger learning rate gives the same curves in fewer epochs.
    quick={
        "epochs": 4000,
        "learning_rate": 1e-3,
        "batch_size": 256,
        "evaluations": 100,
        "measurements": 20,
        "draws": 16,
    },
)

SZT_LINEAR = NoisyNetworkExperiment(
    name="szt-linear",
    description=(
        "Compression in a noisy linear network on the SZT data: without saturation, because some directions grow "
        "faster than others."
    ),
    activation=None,
    quick={
        "epochs": 1000,
        "learning_rate": 1e-3,
        "batch_size": 256,
        "evaluations": 50,
        "measurements": 15,
        "draws": 16,
    },
)
