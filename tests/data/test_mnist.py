"""MNIST from a folder."""

from pathlib import Path

import numpy as np
import pytest

from layerbits import DataError
from layerbits.data import mnist_dataset, read_labelled_images
from tests.support.idx_files import write_mnist

RANDOM = np.random.default_rng(0)
TRAIN = RANDOM.integers(0, 256, (5, 6, 6)), RANDOM.integers(0, 10, 5)
TEST = RANDOM.integers(0, 256, (3, 6, 6)), RANDOM.integers(0, 10, 3)
REAL = Path(__file__).parents[3] / "shared/data/mnist"  # beside the project


@pytest.mark.parametrize("joint", ["-", "."])
@pytest.mark.parametrize("compressed", [True, False])
def test_both_parts_are_read_under_each_spelling(tmp_path, joint, compressed):
    train, test = mnist_dataset(write_mnist(tmp_path, TRAIN, TEST, joint=joint, compressed=compressed))
    for found, (images, labels) in ((train, TRAIN), (test, TEST)):
        np.testing.assert_allclose(found.inputs[:, 0].numpy(), images / 255, rtol=2**-23)
        assert found.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("missing", ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"])
def test_missing_file_is_named_with_where_it_comes_from(tmp_path, missing):
    write_mnist(tmp_path, TRAIN, TEST)
    (tmp_path / f"{missing}-ubyte.gz").unlink()
    with pytest.raises(DataError, match=f"{missing}-ubyte is missing.*MNIST database") as raised:
        mnist_dataset(tmp_path)
    assert "\n" not in str(raised.value)


def test_missing_folder_is_named_with_what_it_should_hold(tmp_path):
    with pytest.raises(DataError, match="absent: no such folder, wanted one with the four files of the MNIST database"):
        mnist_dataset(tmp_path / "absent")


def test_parts_of_different_sizes_are_refused(tmp_path):
    write_mnist(tmp_path, TRAIN, (TEST[0][:, :5], TEST[1]))
    with pytest.raises(DataError, match=r"got images of \(6, 6\) and \(5, 6\) pixels"):
        mnist_dataset(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the MNIST test images are not on this machine")
def test_the_real_files_are_read():
    found = read_labelled_images(REAL / "t10k-images-idx3-ubyte.gz", REAL / "t10k-labels-idx1-ubyte.gz")
    assert found.inputs.shape == (10_000, 1, 28, 28)
    # The published numbers of each digit among the test images.
    assert found.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (found.inputs.min(), found.inputs.max()) == (0, 1)
