"""The experiment szt-tanh-orthonormal: the network of szt-tanh with and without orthonormal weights.

A run writes the files of szt-tanh, without its figure, into the folders plain and orthonormal, and beside them
singular_values.csv (columns: `SingularValue`), distances.csv (columns: `Distances`; between the points of scatter.csv),
clustering.csv (columns: `Clustering`), szt-tanh-orthonormal.png and szt-tanh-orthonormal-weights.png.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import write_table
from layerbits.experiments.szt.network import noisy_network
from layerbits.experiments.szt.orthonormal_figures import information_figure, weights_figure
from layerbits.experiments.szt.orthonormal_tables import (
    ORTHONORMAL,
    VARIANTS,
    Clustering,
    Distances,
    OrthonormalSettings,
    SingularValue,
    clustering,
    distances,
    singular_values,
)
from layerbits.experiments.szt.scatter import save_scatter
from layerbits.experiments.szt.training import summarize, train_network
from layerbits.training import ParsevalRegularizer

_PARSEVAL_TIME = 0.2  # relative to a training step without it; 0.24 on a busy Zen 3 core


class OrthonormalExperiment(Experiment[OrthonormalSettings]):
    """The same network trained without and with a Parseval step, with the same batches and noise."""

    def expected_seconds(self, config: OrthonormalSettings) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        return len(VARIANTS) * config.network_seconds + _PARSEVAL_TIME * config.training_seconds

    def network(self, config: OrthonormalSettings) -> nn.Module:
        """Make the untrained noisy network of szt-tanh."""
        return noisy_network(config, config.sigma)

    def parseval(self, config: OrthonormalSettings, network: nn.Module) -> ParsevalRegularizer:
        """Make the regularizer of the weight matrices of a network."""
        hidden_layers = [f"linear{number}" for number in range(1, len(config.widths) + 1)]
        layers = hidden_layers if config.regularized == "hidden" else None
        return ParsevalRegularizer(network, strength=config.strength, layers=layers)

    def train(self, config: OrthonormalSettings, folder: RunFolder) -> None:
        """Train and measure both networks; write training.csv, information.csv and checkpoints."""
        for variant in VARIANTS:
            network = self.network(config)
            step = self.parseval(config, network).step if variant == ORTHONORMAL else None
            train_network(config, network, folder, variant=variant, after_step=step)

    def measure(self, config: OrthonormalSettings, folder: RunFolder) -> None:
        """Measure weights and clusters; write each scatter.csv and the three tables of both networks."""
        path, network = folder.path, self.network(config)
        for variant in VARIANTS:
            save_scatter(config, network, path, variant=variant)
            folder.summary.update(summarize(path / variant, prefix=f"{variant}_"))
        write_table(path / "singular_values.csv", SingularValue, singular_values(config, network, path))
        write_table(path / "distances.csv", Distances, distances(config, path))
        rows = list(clustering(config, path))
        write_table(path / "clustering.csv", Clustering, rows)
        for row in rows:  # in ascending epochs, so that the values of the last epoch stay
            folder.summary[f"{row.variant}_scatter_ratio"] = row.scatter_ratio
            folder.summary[f"{row.variant}_binned_entropy"] = row.binned_entropy

    def plot(self, config: OrthonormalSettings, path: Path) -> None:
        """Save both figures from the tables in a folder."""
        save_figure(information_figure(config, path), path / f"{self.name}.png")
        save_figure(weights_figure(path), path / f"{self.name}-weights.png")


SZT_TANH_ORTHONORMAL = OrthonormalExperiment(
    name="szt-tanh-orthonormal",
    description=(
        "The network of szt-tanh with and without orthonormal weights, which remove compression and clusters."
    ),
    config_type=OrthonormalSettings,
    # A learning rate and a strength that are larger by the same factor give the same curves in fewer epochs.
    quick={
        "epochs": 1400,
        "learning_rate": 1e-3,
        "strength": 7.5e-4,
        "batch_size": 256,
        "evaluations": 100,
        "measurements": 10,
        "draws": 16,
    },
)
