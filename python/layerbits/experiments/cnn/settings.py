"""Settings of the experiments with a convolutional network on images, and the variants of its training."""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

from layerbits.experiments.framework.configuration import (
    DeviceConfiguration,
    require,
    require_distinct,
    require_positive,
    require_within,
)
from layerbits.training import log_spaced

_VARIANTS = ("deterministic", "noisy", "dropout")


class Variant(NamedTuple):
    """A variant of the training; `sigma` is 0 without noise, and `dropout` is 0 without dropout."""

    name: str
    sigma: float = 0.0
    dropout: float = 0.0


@dataclasses.dataclass(frozen=True)
class CnnConfig(DeviceConfiguration):
    """Settings of the experiments with a convolutional network.

    Parameters
    ----------
    repeats
        Trainings of each variant, with consecutive seeds from `seed`.
    variants
        Variants of the training: deterministic, noisy, dropout.
    sigmas
        Standard deviations of the noise, a noisy variant for each. Source: a secondary account of the paper.
    dropout
        Probability with which dropout drops a unit. Source: a secondary account of the paper.
    channels
        Channels of the convolution layers. Source: a secondary account of the paper.
    units
        Units of the fully connected layer. Source: a secondary account of the paper.
    epochs
        Epochs of the training. Source: a secondary account of the paper.
    batch_size
        Images of a step of the optimizer. Source: a secondary account of the paper.
    first_learning_rate
        Learning rate in the first epoch. Source: a secondary account of the paper.
    last_learning_rate
        Learning rate in the last epoch; it falls geometrically. Source: a secondary account of the paper.
    momentum
        Momentum of the optimizer; the value of the paper is unknown.
    degrees
        Largest rotation of an image, in degrees. Source: a secondary account of the paper.
    shear
        Largest shear of an image, in degrees. Source: a secondary account of the paper.
    shift
        Largest shift of an image, in pixels. Source: a secondary account of the paper.
    evaluations
        Number of epochs at which loss and accuracy are computed, evenly spaced on a logarithmic axis.
    measurements
        Number of epochs at which the representations are measured, evenly spaced on a logarithmic axis.
    bins
        Bins of the histograms of distances.
    frames
        Random slices of each layer.
    slice_sigma
        Standard deviation of the noise of the slices, in the measurement alone.
    jobs
        Trainings at a time on the CPU, each in a process of its own; the results are the same for any number.
    """

    repeats: int = 3
    variants: tuple[str, ...] = _VARIANTS
    sigmas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5)
    dropout: float = 0.2
    channels: tuple[int, ...] = (16, 32)
    units: int = 128
    epochs: int = 128
    batch_size: int = 32
    first_learning_rate: float = 5e-3
    last_learning_rate: float = 5e-4
    momentum: float = 0.0
    degrees: float = 10.0
    shear: float = 10.0
    shift: float = 2.0
    evaluations: int = 20
    measurements: int = 8
    bins: int = 200
    frames: int = 128
    slice_sigma: float = 0.1
    jobs: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        are_known = bool(self.variants) and set(self.variants) <= set(_VARIANTS)
        require(self, "variants", are_known, f"some of {', '.join(_VARIANTS)}")
        require(self, "variants", "deterministic" in self.variants, "deterministic among them, for comparison")
        require_positive(self, "epochs", "first_learning_rate", "last_learning_rate")
        require_distinct(self, "variants", "sigmas")
        require_within(
            self, repeats=(1, 1000), sigmas=(1e-30, 10**6), channels=(1, 256), units=(1, 10_000),
            first_learning_rate=(0, 1000), last_learning_rate=(0, 1000), shift=(0, 28), evaluations=(2, 10_000),
            measurements=(2, 10_000), bins=(1, 10_000), frames=(8, 10_000), slice_sigma=(1e-6, 1e6), jobs=(1, 1000),
        )  # fmt: skip
        require(self, "channels", len(self.channels) <= 3, "at most 3 layers, because each halves the image")
        require(self, "batch_size", self.batch_size >= 2, "at least 2, for batch norm")
        require(self, "dropout", 0 < self.dropout < 1, "a number between 0 and 1")
        require(self, "momentum", 0 <= self.momentum < 1, "at least 0 and below 1")
        for name in ("degrees", "shear"):
            require(self, name, 0 <= getattr(self, name) < 90, "at least 0 and below 90")

    @property
    def training_variants(self) -> tuple[Variant, ...]:
        """The variants that are trained; the deterministic variant comes first."""
        by_name = {
            "deterministic": [Variant("deterministic")],
            "noisy": [Variant(f"noisy-{sigma:g}", sigma=sigma) for sigma in self.sigmas],
            "dropout": [Variant("dropout", dropout=self.dropout)],
        }
        return tuple(itertools.chain.from_iterable(by_name[name] for name in _VARIANTS if name in self.variants))

    @property
    def trainings(self) -> list[tuple[int, Variant]]:
        """Seed and variant of each training."""
        return list(itertools.product(self.seeds, self.training_variants))

    @property
    def seeds(self) -> range:
        """Seeds of the trainings of a variant."""
        return range(self.seed, self.seed + self.repeats)

    @property
    def measured_epochs(self) -> tuple[int, ...]:
        """Epochs after which the representations are measured."""
        return log_spaced(1, self.epochs, self.measurements)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the measured layers; convolution layers are measured before their pooling."""
        return tuple(f"tanh{number}" for number in range(1, len(self.channels) + 2))
