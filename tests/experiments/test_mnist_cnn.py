"""What the paper claims of its convolutional networks, on the digits enlarged to the size of MNIST.

Margins are about half of what seeds 0, 10 and 20 gave at the least.
"""

import json

import numpy as np
import pytest
from torch.nn.functional import interpolate

from layerbits._base import DataError
from layerbits.data import digits_dataset
from layerbits.experiments.cnn import mnist_cnn
from layerbits.experiments.cnn.mnist_cnn import Config
from tests.support.cnn_claims import clustering, error_shares, log_of_images, similarities
from tests.support.idx_files import write_mnist

LAST = 6
LAYERS = ("tanh1", "tanh2", "tanh3")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    def enlarged(part, count):
        pixels = interpolate(part.inputs[:count], size=(28, 28), mode="bilinear")[:, 0]
        return (255 * pixels).round().numpy(), part.labels[:count].numpy()

    train, test = digits_dataset()
    return write_mnist(tmp_path_factory.mktemp("files"), enlarged(train, 500), enlarged(test, 300))


@pytest.fixture(scope="module")
def path(quick_run, files):
    return quick_run("mnist-cnn", data=str(files))


def test_run_says_which_files_it_read(path, files):
    assert json.loads((path / "run.json").read_text())["configuration"]["data"] == str(files)


@pytest.mark.parametrize("layer", LAYERS[:2])
def test_two_bins_tell_all_images_apart_in_the_first_layers(path, layer):
    # 12,544 and 6272 signs an image: none coincide.
    assert clustering(path, "binned_entropy", epoch=LAST, layer=layer) == pytest.approx(log_of_images(path), abs=1e-9)


def test_two_bins_confuse_images_in_the_deepest_layer(path):
    assert clustering(path, "binned_entropy", epoch=LAST, layer="tanh3")[0] < log_of_images(path) - 0.1


def test_distances_within_and_between_classes_part_most_in_the_deepest_layer(path):
    first, last = (
        {layer: clustering(path, "overlap", epoch=epoch, layer=layer)[0] for layer in LAYERS} for epoch in (1, LAST)
    )
    assert last["tanh3"] < min(last["tanh1"], last["tanh2"]) - 0.1
    assert first["tanh3"] - last["tanh3"] > 0.05


@pytest.mark.parametrize("layer", LAYERS)
def test_little_noise_keeps_representations_and_much_noise_does_not(path, layer):
    little, much = (similarities(path, f"noisy-{sigma}", epoch=LAST, layer=layer)[0] for sigma in (0.05, 0.5))
    assert little > 0.95
    assert much < little - 0.01


def test_much_noise_costs_accuracy(path):
    assert error_shares(path, "noisy-0.5")[0] > 1.3 * error_shares(path, "noisy-0.05")[0]


def test_no_more_images_are_taken_than_asked_for(files):
    train, test = mnist_cnn.data(Config(data=str(files), train_images=70, test_images=1000))
    assert (len(train), len(test)) == (70, 300)


def test_time_is_that_of_the_images_there_are(files):
    assert mnist_cnn.expected_seconds(Config(data=str(files))) < mnist_cnn.expected_seconds(Config()) / 50


@pytest.mark.parametrize(
    ("size", "labels", "word"),
    [((2, 3), range(10), "wanted 4 or more"), ((8, 8), [1] * 10, "wanted pairs"), ((8, 8), range(10), "wanted pairs")],
)
def test_images_that_leave_nothing_to_measure_are_refused_beforehand(tmp_path, size, labels, word):
    part = np.zeros((10, *size)), np.array(labels)
    with pytest.raises(DataError, match=word):
        mnist_cnn.expected_seconds(Config(data=str(write_mnist(tmp_path, part, part))))
