"""Information in noisy networks of other activations on the SZT data, each at several levels of noise.

A network has a folder of its own, ACTIVATION-SIGMA, with training.csv and information.csv. Writes szt-relu.png.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from layerbits import plots
from layerbits.experiments.framework.configuration import require, require_distinct
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.szt import study as szt
from layerbits.networks import NoisyModule

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


@dataclasses.dataclass(frozen=True)
class Config(szt.Settings):
    """Settings. Which levels of noise the paper took for these activations is unknown."""

    activations: tuple[str, ...] = ("relu", "leaky-relu")
    sigmas: tuple[float, ...] = (0.005, 0.02, 0.1)

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        super().__post_init__()
        known = bool(self.activations) and all(name in ACTIVATIONS for name in self.activations)
        require(self, "activations", known, f"some of {', '.join(ACTIVATIONS)}")
        szt.require_sigma(self, "sigmas")
        require_distinct(self, "activations", "sigmas")


# Larger steps go the same way in fewer epochs.
QUICK: Mapping[str, Any] = {
    "activations": ("relu",),
    "sigmas": (0.005, 0.1),
    "epochs": 400,
    "learning_rate": 1e-3,
    "batch_size": 256,
    "evaluations": 30,
    "measurements": 12,
    "draws": 16,
}


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    return len(list(variants(config))) * szt.study_seconds(config)


def variants(config: Config) -> Iterator[tuple[str, str, float]]:
    """Yield name, activation and sigma of each network."""
    for activation, sigma in itertools.product(config.activations, config.sigmas):
        yield f"{activation}-{sigma:g}", activation, sigma


def network(config: Config, activation: str, sigma: float) -> NoisyModule:
    """Make an untrained noisy network; all start from the same weights."""
    return szt.noisy_network(config, sigma, ACTIVATIONS[activation])


def run(config: Config, folder: RunFolder) -> None:
    """Train and draw, going on from what `folder` holds."""
    measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def measure(config: Config, folder: RunFolder) -> None:
    """Train each network, measuring as it goes."""
    for variant, activation, sigma in variants(config):
        tables = szt.train(config, network(config, activation, sigma), folder, variant=variant)
        folder.summary.update(szt.summary(folder.path / variant, tables, prefix=f"{variant}_"))


def draw(config: Config, path: Path) -> None:
    """Draw szt-relu.png from the tables in a folder, as far as they go: a row an activation, a column a sigma."""
    rows, columns = len(config.activations), len(config.sigmas)
    figure = plots.new_figure(width=3.6 * columns + 1.6, height=2.8 * rows + 0.4)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (variant, activation, sigma) in zip(panels.flat, variants(config), strict=True):
        if not (path / variant / "information.csv").exists():
            continue
        szt.draw_information(axes, path / variant)
        accuracy = szt.final_accuracy(path / variant)
        axes.set(title=f"{activation}, sigma = {sigma:g}\ntest accuracy {accuracy:.3f}", xlabel="epoch")
        axes.label_outer()
    plots.legend_outside(panels[0, -1], title="95 % intervals")
    save_figure(figure, path / "szt-relu.png")
