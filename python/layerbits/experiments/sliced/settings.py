"""Settings of the experiment on slices of wide layers."""

from __future__ import annotations

import dataclasses

from layerbits.estimators import MeasurementSettings
from layerbits.experiments.framework.configuration import (
    DeviceConfiguration,
    require,
    require_distinct,
    require_positive,
    require_within,
)
from layerbits.networks import RandomSlices
from layerbits.training import log_spaced

_LEAST_FRAMES = 8  # the least number that RandomSlices accepts

SLICE_DIMS = (1, 4)


@dataclasses.dataclass(frozen=True)
class SlicedConfig(DeviceConfiguration):
    """Settings of the experiment. The networks are measured before the training and after `measured_epochs`.

    Parameters
    ----------
    data
        Folder with the four files of MNIST; if it is empty, the images are the digits of scikit-learn.
    variants
        Networks: deterministic, noisy.
    widths
        Units of each hidden layer; None: 512, 512 for files, and 128, 128 for the digits.
    sigma
        Standard deviation of the noise of the noisy network, and of the measurement of the deterministic one.
    epochs
        Epochs of the training.
    learning_rate
        Learning rate of Adam.
    batch_size
        Images of a step of the optimizer.
    train_images
        Largest number of training images.
    test_images
        Largest number of test images, which are measured too.
    evaluations
        Number of epochs at which loss and accuracy are computed, evenly spaced on a logarithmic axis.
    measurements
        Number of measured epochs, evenly spaced on a logarithmic axis, beside epoch 0.
    draws
        Noisy passes of each image in a measurement.
    frames
        Random slices of each layer and dimension.
    """

    data: str = ""
    variants: tuple[str, ...] = ("deterministic", "noisy")
    widths: tuple[int, ...] | None = None
    sigma: float = 0.05
    epochs: int = 32
    learning_rate: float = 1e-3
    batch_size: int = 64
    train_images: int = 60_000
    test_images: int = 1000
    evaluations: int = 12
    measurements: int = 6
    draws: int = 16
    frames: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        are_known = bool(self.variants) and set(self.variants) <= {"deterministic", "noisy"}
        require(self, "variants", are_known, "deterministic, noisy, or both")
        require_distinct(self, "variants")
        require_positive(self, "epochs", "learning_rate", "batch_size", "train_images")
        require_within(
            self, widths=(max(SLICE_DIMS), 10_000), sigma=(1e-6, 1e6), learning_rate=(0, 1000), test_images=(2, 10**6),
            evaluations=(2, 10_000), measurements=(2, 10_000), draws=(2, 4096), frames=(_LEAST_FRAMES, 10_000),
        )  # fmt: skip

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Number of units of each hidden layer."""
        if self.widths is not None:
            return self.widths
        return (512, 512) if self.data else (128, 128)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the measured layers."""
        return tuple(f"relu{number}" for number in range(1, len(self.hidden_widths) + 1))

    @property
    def measured_epochs(self) -> tuple[int, ...]:
        """Epochs after which the networks are measured; 0 is before the training."""
        return (0, *log_spaced(1, self.epochs, self.measurements))

    @property
    def readouts(self) -> list[RandomSlices | None]:
        """The whole layer, and its slices."""
        return [None, *(RandomSlices(dim, self.frames) for dim in SLICE_DIMS)]

    @property
    def measurement(self) -> MeasurementSettings:
        """Settings of the measurement of one epoch."""
        return MeasurementSettings(draws=self.draws, seed=self.seed)
