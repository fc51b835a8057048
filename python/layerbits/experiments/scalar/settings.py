"""Settings of the experiments on scalar neurons, and estimates of their durations."""

from __future__ import annotations

import dataclasses
import math

from layerbits.estimators import MeasurementSettings
from layerbits.experiments.framework.configuration import (
    DeviceConfiguration,
    require,
    require_positive,
    require_tolerance,
    require_within,
)
from layerbits.training import log_spaced

# Seconds of a step of the optimizer, and the additional seconds per neuron, on one Zen 4 core.
_STEP_SECONDS, _NEURON_SECONDS = 1.4e-4, 1.1e-4


@dataclasses.dataclass(frozen=True)
class ScalarSettings(DeviceConfiguration):
    """Settings of all experiments on scalar neurons; the settings of the paper are unknown.

    Parameters
    ----------
    sigma
        Standard deviation of the noise of each neuron. Source: an independent reproduction of the paper.
    learning_rate
        Learning rate of stochastic gradient descent on the mean square error. Source: an independent reproduction of
        the paper.
    momentum
        Momentum of stochastic gradient descent; in effect 1 in the independent reproduction, which never clears
        gradients.
    epochs
        Steps of the training, each over all inputs.
    evaluations
        Number of epochs at which the loss is computed, evenly spaced on a logarithmic axis.
    measurements
        Number of epochs at which the information is measured, evenly spaced on a logarithmic axis.
    tolerance
        Wanted half width of the intervals of I(X;T), in nats.
    max_draws
        Largest number of noisy passes of each input in a measurement.
    shown_epochs
        Epochs whose values the figure shows; each stands for the nearest measured epoch.
    """

    sigma: float = 0.05
    learning_rate: float = 1e-3
    momentum: float = 0.0
    epochs: int = 100_000
    evaluations: int = 200
    measurements: int = 60
    tolerance: float = 0.005
    max_draws: int = 16_384
    shown_epochs: tuple[int, ...] = (1, 100_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "sigma", 1e-3 <= self.sigma < math.inf, "at least 1e-3, for the grid of the quadrature")
        require_positive(self, "learning_rate", "epochs", "shown_epochs")
        require_tolerance(self)
        require_within(self, max_draws=(32, 2**22), evaluations=(2, 10**6), measurements=(2, 10**6))
        require(self, "momentum", 0 <= self.momentum <= 1, "a number from 0 to 1")

    @property
    def measured_epochs(self) -> tuple[int, ...]:
        """Epochs at which the information is measured."""
        return log_spaced(1, self.epochs, self.measurements)

    @property
    def evaluated_epochs(self) -> set[int]:
        """Epochs at which the loss is evaluated."""
        return {*self.measured_epochs, *log_spaced(1, self.epochs, self.evaluations)}

    @property
    def measurement(self) -> MeasurementSettings:
        """Settings of the measurement of one epoch: by draws, which suffice for one unit."""
        return MeasurementSettings(
            estimator="draws", draws=32, tolerance=self.tolerance, max_draws=self.max_draws, seed=self.seed
        )

    def training_seconds(self, *, neurons: int) -> float:
        """Estimate the seconds of a training on one Zen 4 core, without measurements."""
        return self.epochs * (_STEP_SECONDS + neurons * _NEURON_SECONDS)
