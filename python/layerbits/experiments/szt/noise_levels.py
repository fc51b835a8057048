"""The experiment szt-relu: noisy networks of several activation functions and levels of noise on the SZT data.

A run writes a folder ACTIVATION-SIGMA for each network, with training.csv and information.csv, and szt-relu.png.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import nn

from layerbits import plots
from layerbits.experiments.framework.configuration import require, require_distinct
from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.szt.figures import plot_information
from layerbits.experiments.szt.network import Activation, noisy_network
from layerbits.experiments.szt.settings import SztSettings, require_sigma
from layerbits.experiments.szt.training import final_accuracy, summarize, train_network

ACTIVATIONS: Mapping[str, Activation] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


class Variant(NamedTuple):
    """An activation function, by its name in `ACTIVATIONS`, and a level of noise."""

    activation: str
    sigma: float

    @property
    def name(self) -> str:
        """Name of the network and of its folder."""
        return f"{self.activation}-{self.sigma:g}"


@dataclasses.dataclass(frozen=True)
class NoiseLevelSettings(SztSettings):
    """Settings. The paper's levels of noise for these activation functions are unknown.

    Parameters
    ----------
    activations
        Activation functions of the hidden layers; a network for each, with each level of noise.
    sigmas
        Standard deviations of the noise of each unit.
    """

    activations: tuple[str, ...] = ("relu", "leaky-relu")
    sigmas: tuple[float, ...] = (0.005, 0.02, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        are_known = bool(self.activations) and set(self.activations) <= ACTIVATIONS.keys()
        require(self, "activations", are_known, f"some of {', '.join(ACTIVATIONS)}")
        require_sigma(self, "sigmas")
        require_distinct(self, "activations", "sigmas")

    @property
    def variants(self) -> list[Variant]:
        """The networks of the experiment."""
        return [Variant(activation, sigma) for activation in self.activations for sigma in self.sigmas]


class NoiseLevelsExperiment(Experiment[NoiseLevelSettings]):
    """Information in noisy networks of several activation functions, each at several levels of noise."""

    def expected_seconds(self, config: NoiseLevelSettings) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        return len(config.variants) * config.network_seconds

    def network(self, config: NoiseLevelSettings, variant: Variant) -> nn.Module:
        """Make an untrained noisy network; the initial weights are the same for all variants."""
        return noisy_network(config, variant.sigma, ACTIVATIONS[variant.activation])

    def train(self, config: NoiseLevelSettings, folder: RunFolder) -> None:
        """Train and measure each network; write training.csv, information.csv and checkpoints."""
        for variant in config.variants:
            train_network(config, self.network(config, variant), folder, variant=variant.name)

    def measure(self, config: NoiseLevelSettings, folder: RunFolder) -> None:
        """Summarize the tables of each network."""
        for variant in config.variants:
            folder.summary.update(summarize(folder.path / variant.name, prefix=f"{variant.name}_"))

    def plot(self, config: NoiseLevelSettings, path: Path) -> None:
        """Save NAME.png: a row per activation function, a column per level of noise."""
        rows, columns = len(config.activations), len(config.sigmas)
        figure = plots.new_figure(width=3.6 * columns + 1.6, height=2.8 * rows + 0.4)
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, variant in zip(panels.flat, config.variants, strict=True):
            folder = path / variant.name
            if not (folder / "information.csv").exists():
                continue
            plot_information(axes, folder)
            title = f"{variant.activation}, sigma = {variant.sigma:g}\ntest accuracy {final_accuracy(folder):.3f}"
            axes.set(title=title, xlabel="epoch")
            axes.label_outer()
        plots.legend_outside(panels[0, -1], title="95 % intervals")
        save_figure(figure, path / f"{self.name}.png")


SZT_RELU = NoiseLevelsExperiment(
    name="szt-relu",
    description="Information in noisy networks of other activation functions on the SZT data, at several noise levels.",
    config_type=NoiseLevelSettings,
    # A larger learning rate gives the same curves in fewer epochs.
    quick={
        "activations": ("relu",),
        "sigmas": (0.005, 0.1),
        "epochs": 400,
        "learning_rate": 1e-3,
        "batch_size": 256,
        "evaluations": 30,
        "measurements": 12,
        "draws": 16,
    },
)
