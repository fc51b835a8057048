"""The experiment digits-cnn, on the digits of scikit-learn.

The files of a run are described in `training` and `representations`; the figures are digits-cnn.png,
digits-cnn-epochs.png, digits-cnn-variants.png and digits-cnn-slices.png.
"""

from __future__ import annotations

import dataclasses

from layerbits.data import digits_dataset
from layerbits.experiments.cnn.experiment import CnnExperiment, DataSize
from layerbits.experiments.cnn.settings import CnnConfig
from layerbits.experiments.cnn.training import TrainTestImages
from layerbits.experiments.framework.configuration import require

_IMAGES, _PIXELS = 1797, 8 * 8


@dataclasses.dataclass(frozen=True)
class Config(CnnConfig):
    """Settings as in `CnnConfig`; the defaults below were chosen for few images of 8 x 8 pixels.

    Parameters
    ----------
    units
        Units of the fully connected layer; the signs of 128 units distinguish all images, even in an untrained network.
    momentum
        Momentum of the optimizer; an epoch has 29 steps, on MNIST 1875.
    shift
        Largest shift of an image, in pixels: about the same share of the width as on MNIST.
    test_fraction
        Share of the images that are left out of the training.
    """

    units: int = 32
    momentum: float = 0.9
    shift: float = 0.5
    test_fraction: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "test_fraction", 0.05 <= self.test_fraction <= 0.95, "a number from 0.05 to 0.95")


def _images(config: Config) -> TrainTestImages:
    return digits_dataset(test_fraction=config.test_fraction, seed=config.seed)


def _data_size(config: Config) -> DataSize:
    test = round(_IMAGES * config.test_fraction)
    return DataSize(_IMAGES - test, test, _PIXELS)


DIGITS_CNN = CnnExperiment(
    name="digits-cnn",
    description="Noise in a convolutional network on scikit-learn's digits: errors, similarity and clusters.",
    config_type=Config,
    quick={
        "repeats": 2,
        "sigmas": (0.05, 0.5),
        "epochs": 20,
        "evaluations": 8,
        "measurements": 5,
        "frames": 32,
        "jobs": 1,
    },
    images=_images,
    data_size=_data_size,
)
