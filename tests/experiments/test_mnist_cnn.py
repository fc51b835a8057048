"""The experiment mnist-cnn on enlarged digits; test_digits_cnn.py has the claims of the paper."""

import json
import math

import numpy as np
import pytest
from torch.nn.functional import interpolate

from layerbits._base import DataError, UsageError
from layerbits.data import digits_dataset
from layerbits.experiments.cnn.mnist_cnn import MNIST_CNN, Config
from tests.support.cnn_tables import clustering, log_test_images
from tests.support.idx_files import write_mnist

TRAIN_IMAGES, TEST_IMAGES, LAST_EPOCH = 320, 300, 3


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write the digits, enlarged to the size of MNIST, and return their folder."""

    def enlarged(part, count):
        pixels = interpolate(part.inputs[:count], size=(28, 28), mode="bilinear")[:, 0]
        return (255 * pixels).round().numpy(), part.labels[:count].numpy()

    train, test = digits_dataset()
    folder = tmp_path_factory.mktemp("files")
    return write_mnist(folder, enlarged(train, TRAIN_IMAGES), enlarged(test, TEST_IMAGES))


@pytest.fixture(scope="module")
def path(quick_run, files):
    return quick_run("mnist-cnn", data=str(files), variants=("deterministic",), epochs=LAST_EPOCH, measurements=2)


def test_run_records_the_folder_of_its_images(path, files):
    assert json.loads((path / "run.json").read_text())["configuration"]["data"] == str(files)


@pytest.mark.parametrize("layer", ["tanh1", "tanh2"])
def test_two_bins_distinguish_all_images_in_the_first_layers(path, layer):
    # The layers have 12,544 and 6272 signs for an image: no two images have equal signs.
    entropy = clustering(path, "binned_entropy", epoch=LAST_EPOCH, layer=layer)
    assert entropy == pytest.approx(log_test_images(path), abs=1e-9)


def test_two_bins_do_not_distinguish_all_images_in_the_deepest_layer(path):
    # Two images with equal signs lower the entropy of n images by 2 log 2 / n, and the sum rounds it by less than 1e-9.
    deficit = log_test_images(path) - clustering(path, "binned_entropy", epoch=LAST_EPOCH, layer="tanh3")[0]
    assert deficit > 2 * math.log(2) / TEST_IMAGES - 1e-9


def test_numbers_of_images_are_limited_by_the_settings_and_the_files(files):
    train, test = MNIST_CNN.images(Config(data=str(files), train_images=70, test_images=1000))
    assert (len(train), len(test)) == (70, TEST_IMAGES)


def test_preset_uses_all_images_and_the_widths_of_the_paper(files):
    settings = MNIST_CNN.configuration({"data": str(files)}, preset="paper-small")
    assert (settings.train_images, settings.test_images, settings.channels, settings.units) == (
        60_000,
        10_000,
        (16, 32),
        128,
    )
    assert len(settings.training_variants) == 6


def test_unknown_preset_is_refused(files):
    with pytest.raises(UsageError, match="preset: got paper, wanted one of paper-small"):
        MNIST_CNN.configuration({"data": str(files)}, preset="paper")


def test_expected_duration_depends_on_the_images_in_the_files(files):
    assert MNIST_CNN.expected_seconds(Config(data=str(files))) < MNIST_CNN.expected_seconds(Config()) / 50


@pytest.mark.parametrize(
    ("size", "labels", "message"),
    [
        ((2, 3), range(10), "wanted 4 x 4 or more"),
        ((8, 8), [1] * 10, "wanted pairs"),
        ((8, 8), range(10), "wanted pairs"),
    ],
)
def test_images_that_cannot_be_measured_are_refused_before_the_run(tmp_path, size, labels, message):
    part = np.zeros((10, *size)), np.array(labels)
    with pytest.raises(DataError, match=message):
        MNIST_CNN.expected_seconds(Config(data=str(write_mnist(tmp_path, part, part))))
