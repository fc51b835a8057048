"""The experiments, by name.

To add an experiment, derive a class from `Experiment`, make an instance, and list the instance here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layerbits._base import UsageError, check_type, shown
from layerbits.experiments.cnn.digits_cnn import DIGITS_CNN
from layerbits.experiments.cnn.mnist_cnn import MNIST_CNN
from layerbits.experiments.entropy.estimator_comparison.experiment import ESTIMATOR_COMPARISON
from layerbits.experiments.entropy.monte_carlo_error import MONTE_CARLO_ERROR
from layerbits.experiments.entropy.reed_muller import REED_MULLER
from layerbits.experiments.entropy.sample_complexity.experiment import SAMPLE_COMPLEXITY
from layerbits.experiments.entropy.spiral.experiment import SPIRAL
from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.scalar.leaky_relu_pair import LEAKY_RELU_PAIR
from layerbits.experiments.scalar.single_neuron import SINGLE_NEURON
from layerbits.experiments.sliced.experiment import SLICED_INFORMATION
from layerbits.experiments.szt.binning import SZT_BINNING
from layerbits.experiments.szt.noise_levels import SZT_RELU
from layerbits.experiments.szt.noisy_network import SZT_LINEAR, SZT_TANH
from layerbits.experiments.szt.orthonormal import SZT_TANH_ORTHONORMAL

_ALL: tuple[Experiment[Any], ...] = (
    SZT_TANH,
    SZT_TANH_ORTHONORMAL,
    SZT_LINEAR,
    SZT_RELU,
    SZT_BINNING,
    SINGLE_NEURON,
    LEAKY_RELU_PAIR,
    DIGITS_CNN,
    MNIST_CNN,
    SLICED_INFORMATION,
    ESTIMATOR_COMPARISON,
    REED_MULLER,
    SPIRAL,
    MONTE_CARLO_ERROR,
    SAMPLE_COMPLEXITY,
)

EXPERIMENTS: Mapping[str, Experiment[Any]] = {experiment.name: experiment for experiment in _ALL}


def experiment_named(name: str) -> Experiment[Any]:
    """Return the experiment with a name; raise UsageError if there is none."""
    check_type("experiment", name, str, wanted="the name of an experiment")
    if name not in EXPERIMENTS:
        raise UsageError(f"{shown(name) or repr(name)}: no such experiment; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
