"""The experiments of the paper, by name.

To add one, derive a class from `Experiment`, make an instance of it, and list the instance here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layerbits.experiments.framework.configuration import (
    Configuration,
    require_needed,
    require_usable_device,
    with_settings,
)
from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.framework.run_folder import RunFolder, versions
from layerbits.experiments.scalar.leaky_relu_pair import LEAKY_RELU_PAIR
from layerbits.experiments.scalar.single_neuron import SINGLE_NEURON
from layerbits.experiments.szt.noisy_network import SZT_LINEAR, SZT_TANH
from layerbits.experiments.szt.noise_levels import SZT_RELU
from layerbits.experiments.szt.szt_binning import SZT_BINNING
from layerbits.experiments.szt.szt_tanh_orthonormal import SZT_TANH_ORTHONORMAL

_ALL: tuple[Experiment[Any], ...] = (
    SZT_TANH,
    SZT_TANH_ORTHONORMAL,
    SZT_LINEAR,
    SZT_RELU,
    SZT_BINNING,
    SINGLE_NEURON,
    LEAKY_RELU_PAIR,
)

EXPERIMENTS: Mapping[str, Experiment[Any]] = {experiment.name: experiment for experiment in _ALL}

__all__ = [
    "EXPERIMENTS",
    "Configuration",
    "Experiment",
    "RunFolder",
    "require_needed",
    "require_usable_device",
    "versions",
    "with_settings",
]
