"""The experiments of the paper, by name.

To add one, derive a class from `Experiment`, make an instance of it, and list the instance here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layerbits.experiments.cnn.digits_cnn import DIGITS_CNN
from layerbits.experiments.cnn.mnist_cnn import MNIST_CNN
from layerbits.experiments.framework.configuration import (
    Configuration,
    require_needed,
    require_usable_device,
    with_settings,
)
from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.framework.run_folder import RunFolder, versions

_ALL: tuple[Experiment[Any], ...] = (DIGITS_CNN, MNIST_CNN)

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
