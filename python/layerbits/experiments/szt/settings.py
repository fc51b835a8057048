"""Settings of the experiments on the SZT data, and estimates of their durations."""

from __future__ import annotations

import dataclasses
import math

from layerbits.data import SztData, szt_dataset
from layerbits.estimators import MeasurementSettings
from layerbits.experiments.framework.configuration import (
    DeviceConfiguration,
    require,
    require_positive,
    require_tolerance,
    require_within,
)
from layerbits.training import log_spaced, nearest_epochs

# Seconds on two Zen 4 cores: of a step of the optimizer, of measuring all layers with one draw, and of imports and
# figures.
_STEP_SECONDS = 9.2e-4
_DRAW_SECONDS = 4.5e-2
_FIGURE_SECONDS = 6.0


@dataclasses.dataclass(frozen=True)
class SztSettings(DeviceConfiguration):
    """Settings of all experiments on the SZT data.

    Parameters
    ----------
    widths
        Units of the hidden layers. Source: the authors' article on the paper.
    epochs
        Epochs of the training. Source: the authors' article on the paper.
    learning_rate
        Learning rate of Adam. Source: the code of Shwartz-Ziv and Tishby.
    batch_size
        Inputs of a step of the optimizer. Source: the code of Shwartz-Ziv and Tishby.
    test_fraction
        Share of the inputs that are left out of the training. Source: the code of Shwartz-Ziv and Tishby.
    evaluations
        Number of epochs at which loss and accuracy are computed, evenly spaced on a logarithmic axis.
    measurements
        Number of epochs at which the information is measured, evenly spaced on a logarithmic axis.
    draws
        Noisy passes of each input in a measurement.
    queries
        Queries of each input in a measurement; None for the default of `layer_information`.
    tolerance
        Wanted half width of the intervals of I(X;T), in nats; None for a fixed number of draws.
    max_seconds
        With a tolerance: limit of the seconds of a measurement.
    max_draws
        With a tolerance: largest number of noisy passes of each input.
    scatter_epochs
        Epochs whose last hidden layer is plotted; each stands for the nearest measured epoch. Source: the authors'
        article on the paper, for 28 and 80.
    """

    widths: tuple[int, ...] = (10, 7, 5, 4, 3)
    epochs: int = 10_000
    learning_rate: float = 4e-4
    batch_size: int = 512
    test_fraction: float = 0.2
    evaluations: int = 200
    measurements: int = 40
    draws: int = 32
    queries: int | None = None
    tolerance: float | None = None
    max_seconds: float = 60.0
    max_draws: int = 1024
    scatter_epochs: tuple[int, ...] = (1, 28, 80, 500, 10_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = [field.name for field in dataclasses.fields(SztSettings) if field.name not in ("seed", "device")]
        require_positive(self, *numbers)
        require(self, "test_fraction", self.test_fraction < 1, "a number between 0 and 1")
        require(self, "widths", self.widths[-1] == 3, "3 as the last, because the figure of that layer has 3 axes")
        require(self, "evaluations", self.evaluations >= 2, "at least 2, the first epoch and the last")
        require(self, "measurements", self.measurements >= 2, "at least 2, the first epoch and the last")
        require(self, "draws", self.draws >= 2, "at least 2")
        require(self, "queries", self.queries is None or self.queries >= 2, "at least 2, or None")
        require_tolerance(self)
        # The signals of all draws of every input are in memory at the same time.
        require_within(self, widths=(1, 1024), draws=(2, 2**14), max_draws=(1, 2**14))
        require_within(self, evaluations=(2, 10**6), measurements=(2, 10**6))

    @property
    def measured_epochs(self) -> tuple[int, ...]:
        """Epochs at which the information is measured."""
        return log_spaced(1, self.epochs, self.measurements)

    @property
    def shown_epochs(self) -> tuple[int, ...]:
        """The measured epochs nearest to `scatter_epochs`, on a logarithmic axis."""
        return nearest_epochs(self.measured_epochs, self.scatter_epochs)

    @property
    def measurement(self) -> MeasurementSettings:
        """Settings of the measurement of one epoch: by draws, as in the paper."""
        return MeasurementSettings(
            estimator="draws",
            draws=self.draws,
            queries=self.queries,
            tolerance=self.tolerance,
            max_seconds=self.max_seconds,
            max_draws=self.max_draws,
            seed=self.seed,
        )

    def data(self) -> SztData:
        """Return the SZT data on the device of the settings."""
        return szt_dataset().to(self.device)

    @property
    def training_seconds(self) -> float:
        """Expected seconds of a training on two Zen 4 cores, without measurements."""
        steps_per_epoch = math.ceil(4096 * (1 - self.test_fraction) / self.batch_size)
        return self.epochs * steps_per_epoch * _STEP_SECONDS

    @property
    def measuring_seconds(self) -> float:
        """Expected seconds of the measurements of a training; with a tolerance, the limit of these seconds."""
        per_measurement = _DRAW_SECONDS * self.draws if self.tolerance is None else self.max_seconds
        return self.measurements * per_measurement

    @property
    def network_seconds(self) -> float:
        """Expected seconds to train, measure and plot one noisy network."""
        return self.training_seconds + self.measuring_seconds + _FIGURE_SECONDS


@dataclasses.dataclass(frozen=True)
class NoisySettings(SztSettings):
    """Settings of an experiment with one level of noise.

    Parameters
    ----------
    sigma
        Standard deviation of the noise of each unit. Source: the authors' article on the paper.
    """

    sigma: float = 0.005

    def __post_init__(self) -> None:
        super().__post_init__()
        require_sigma(self, "sigma")


def require_sigma(settings: SztSettings, name: str) -> None:
    """Require the noise level in the field `name`, or each item of a tuple, to be in the range of float32."""
    value = getattr(settings, name)
    items = value if isinstance(value, tuple) else (value,)
    in_range = bool(items) and all(1e-30 <= item <= 1e30 for item in items)
    require(settings, name, in_range, "from 1e-30 to 1e30, for float32")
