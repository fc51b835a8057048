"""The reader of MNIST."""

from pathlib import Path

import numpy as np
import pytest

from layerbits import DataError
from layerbits.data import mnist_dataset, read_labelled_images
from tests.support.idx_files import write_mnist

GENERATOR = np.random.default_rng(0)
TRAIN = GENERATOR.integers(0, 256, (5, 6, 6)), GENERATOR.integers(0, 10, 5)
TEST = GENERATOR.integers(0, 256, (3, 6, 6)), GENERATOR.integers(0, 10, 3)
FOLDER = Path(__file__).parents[3] / "shared/data/mnist"  # optional, beside the repository


@pytest.mark.parametrize("separator", ["-", "."])
@pytest.mark.parametrize("compressed", [True, False])
def test_both_parts_are_read_for_each_spelling(tmp_path, separator, compressed):
    train, test = mnist_dataset(write_mnist(tmp_path, TRAIN, TEST, separator=separator, compressed=compressed))
    for part, (images, labels) in ((train, TRAIN), (test, TEST)):
        np.testing.assert_allclose(part.inputs[:, 0].numpy(), images / 255, rtol=2**-23)
        assert part.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("missing", ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"])
def test_missing_file_is_named_with_its_source(tmp_path, missing):
    write_mnist(tmp_path, TRAIN, TEST)
    (tmp_path / f"{missing}-ubyte.gz").unlink()
    with pytest.raises(DataError, match=f"{missing}-ubyte is missing.*MNIST database") as raised:
        mnist_dataset(tmp_path)
    assert "\n" not in str(raised.value)


def test_missing_folder_is_named_with_its_expected_content(tmp_path):
    with pytest.raises(DataError, match="absent: no such folder, wanted a folder with the four files of the MNIST"):
        mnist_dataset(tmp_path / "absent")


def test_parts_of_different_sizes_are_refused(tmp_path):
    write_mnist(tmp_path, TRAIN, (TEST[0][:, :5], TEST[1]))
    with pytest.raises(DataError, match=r"got images of \(6, 6\) and \(5, 6\) pixels"):
        mnist_dataset(tmp_path)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the MNIST test images are not on this machine")
def test_published_test_images_are_read():
    images = read_labelled_images(FOLDER / "t10k-images-idx3-ubyte.gz", FOLDER / "t10k-labels-idx1-ubyte.gz")
    assert images.inputs.shape == (10_000, 1, 28, 28)
    # The published count of each digit among the test images.
    assert images.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (images.inputs.min(), images.inputs.max()) == (0, 1)


@pytest.mark.parametrize("folder", ["x" * 200_000, "a/" * 3000], ids=["name", "path"])
def test_path_that_is_too_long_is_refused(folder):
    with pytest.raises(DataError, match=r"^\S+: no such folder"):
        mnist_dataset(folder)


def test_control_characters_of_a_path_are_escaped(tmp_path):
    with pytest.raises(DataError, match=r"\\x1b\[31m\\u202e': no such folder"):
        mnist_dataset(tmp_path / "\x1b[31m\u202e")
