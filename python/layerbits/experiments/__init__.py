"""The experiments of the paper, by name; each is a module of the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from layerbits.experiments.cnn import digits_cnn, mnist_cnn
from layerbits.experiments.entropy import (
    estimator_comparison,
    monte_carlo_error,
    reed_muller,
    sample_complexity,
    spiral,
)
from layerbits.experiments.framework.configuration import require_needed, require_usable_device, with_settings
from layerbits.experiments.framework.run_folder import RunFolder, versions
from layerbits.experiments.scalar import leaky_relu_pair, single_neuron
from layerbits.experiments.szt import szt_binning, szt_linear, szt_relu, szt_tanh, szt_tanh_orthonormal


class Experiment(Protocol):
    """The shape of an experiment's module. The first line of its docstring is its description.

    Inside, a function trains or samples, one measures and one draws; `run` calls them in turn, and each leaves files in
    the folder that the next one reads, so a run can go on wherever it was broken off.
    """

    Config: type[Any]
    """Frozen dataclass of the settings, with the paper's values as defaults and a field ``seed``."""

    QUICK: Mapping[str, Any]
    """The settings of a quick run: seconds, a minute and a half at most, on two cores."""

    def expected_seconds(self, config: Any) -> float:
        """Return about how many seconds a run takes on two cores of Zen 5."""

    def run(self, config: Any, folder: RunFolder) -> None:
        """Run the experiment, or what is left of it, in `folder`."""

    def draw(self, config: Any, path: Path) -> None:
        """Draw every figure from the tables in the folder `path`, as far as they go; a run need not be over."""


EXPERIMENTS: Mapping[str, Experiment] = {
    "szt-tanh": szt_tanh,
    "szt-tanh-orthonormal": szt_tanh_orthonormal,
    "szt-linear": szt_linear,
    "szt-relu": szt_relu,
    "szt-binning": szt_binning,
    "single-neuron": single_neuron,
    "leaky-relu-pair": leaky_relu_pair,
    "digits-cnn": digits_cnn,
    "mnist-cnn": mnist_cnn,
    "estimator-comparison": estimator_comparison,
    "reed-muller": reed_muller,
    "spiral": spiral,
    "monte-carlo-error": monte_carlo_error,
    "sample-complexity": sample_complexity,
}

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "RunFolder",
    "require_needed",
    "require_usable_device",
    "versions",
    "with_settings",
]
