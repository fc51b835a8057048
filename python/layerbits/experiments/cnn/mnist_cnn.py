"""The experiment mnist-cnn, on images from the four IDX files of MNIST.

The files of a run are described in `training` and `representations`; the figures are mnist-cnn.png,
mnist-cnn-epochs.png, mnist-cnn-variants.png and mnist-cnn-slices.png.
"""

from __future__ import annotations

import dataclasses

from layerbits._base import DataError
from layerbits.data import MNIST_SOURCE, mnist_dataset
from layerbits.experiments.cnn.experiment import CnnExperiment, DataSize
from layerbits.experiments.cnn.settings import CnnConfig
from layerbits.experiments.cnn.training import TrainTestImages
from layerbits.experiments.framework.configuration import needed, require_positive

_PIXELS = 28 * 28


@dataclasses.dataclass(frozen=True)
class Config(CnnConfig):
    """Settings as in `CnnConfig`. If the files hold fewer images than the settings say, all are used.

    Parameters
    ----------
    data
        Folder with the four files of MNIST; needed.
    train_images, test_images
        Number of images, the first ones in the file.
    """

    data: str = needed(f"the folder with the four files of {MNIST_SOURCE}")
    train_images: int = 60_000
    test_images: int = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "train_images", "test_images")


def _images(config: Config) -> TrainTestImages:
    """Read the images.

    Raises
    ------
    DataError
        The files are missing or damaged, the images are too small, or the test images have no pairs to compare.
    """
    train, test = mnist_dataset(config.data)
    train, test = train.first(config.train_images), test.first(config.test_images)
    min_side = 2 ** len(config.channels)  # each pooling halves the size
    if min(test.size) < min_side:
        raise DataError(f"{config.data}: got images of {test.size} pixels, wanted {min_side} x {min_side} or more")
    class_sizes = test.labels.bincount()
    if (class_sizes > 0).sum() < 2 or class_sizes.max() < 2:
        raise DataError(
            f"{config.data}: got {len(test)} test images, wanted pairs of one class and pairs of two classes to "
            "compare; raise test_images, or use other files"
        )
    return train, test


def _data_size(config: Config) -> DataSize:
    if not config.data:
        return DataSize(config.train_images, config.test_images, _PIXELS)
    train, test = _images(config)
    return DataSize(len(train), len(test), train.inputs[0].numel())


MNIST_CNN = CnnExperiment(
    name="mnist-cnn",
    description="Noise in a convolutional network on MNIST: errors, similarity and clusters; needs --set data=FOLDER.",
    config_type=Config,
    quick={
        "repeats": 1,
        "sigmas": (0.05, 0.5),
        "units": 32,  # as in digits-cnn: the signs of 128 units distinguish this many images
        "momentum": 0.9,  # few epochs
        "epochs": 6,
        "evaluations": 4,
        "measurements": 3,
        "frames": 32,
        "jobs": 1,
        "train_images": 1000,
        "test_images": 500,
    },
    # All images and the widths of the paper: 107 minutes on two busy Zen 4 cores.
    presets={"paper-small": {"repeats": 1, "epochs": 32, "evaluations": 8, "measurements": 5}},
    images=_images,
    data_size=_data_size,
)
