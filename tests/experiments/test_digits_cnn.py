"""Claims of the paper on its convolutional networks, tested on the digits.

The margins also hold for the seeds 1, 10 and 11.
"""

import pytest

from tests.support.cnn_tables import clustering, error_shares, log_test_images, similarities

LAST_EPOCH = 8
LAYERS = ("tanh1", "tanh2", "tanh3")


@pytest.fixture(scope="module")
def path(quick_run):
    return quick_run(
        "digits-cnn",
        repeats=1,
        variants=("deterministic", "noisy"),
        epochs=LAST_EPOCH,
        evaluations=2,
        measurements=2,
        frames=8,
        bins=40,
    )


@pytest.mark.parametrize("layer", LAYERS[:2])
@pytest.mark.parametrize("epoch", [1, LAST_EPOCH])
def test_two_bins_distinguish_all_images_in_the_first_layers(path, layer, epoch):
    # The layers have 1024 and 512 signs for an image: no two images have equal signs.
    entropy = clustering(path, "binned_entropy", epoch=epoch, layer=layer)
    assert entropy == pytest.approx(log_test_images(path), abs=1e-9)


def test_two_bins_distinguish_fewer_images_after_training_in_the_deepest_layer(path):
    first, last = (clustering(path, "binned_entropy", epoch=epoch, layer="tanh3").mean() for epoch in (1, LAST_EPOCH))
    assert last < first - 0.2
    assert last < log_test_images(path) - 0.3


def test_distances_within_and_between_classes_separate_most_in_the_deepest_layer(path):
    falls = {
        layer: clustering(path, "overlap", epoch=1, layer=layer)
        - clustering(path, "overlap", epoch=LAST_EPOCH, layer=layer)
        for layer in LAYERS
    }
    assert (falls["tanh3"] > 0.1).all()
    assert (falls["tanh3"] > 2 * falls["tanh2"]).all()
    assert (falls["tanh3"] > 2 * falls["tanh1"]).all()


def test_classes_separate_most_in_the_deepest_layer(path):
    def ratio(epoch, layer):
        between, within = (clustering(path, kind, epoch=epoch, layer=layer) for kind in ("between", "within"))
        return between / within

    growth = {layer: ratio(LAST_EPOCH, layer) / ratio(1, layer) for layer in LAYERS}
    assert (growth["tanh3"] > 1.15).all()
    assert (growth["tanh3"] > growth["tanh2"]).all()
    assert (growth["tanh3"] > growth["tanh1"]).all()


@pytest.mark.parametrize("layer", LAYERS)
def test_representations_are_similar_with_little_noise_and_less_similar_with_much_noise(path, layer):
    little_noise, much_noise = (
        similarities(path, f"noisy-{sigma}", epoch=LAST_EPOCH, layer=layer) for sigma in (0.05, 0.5)
    )
    # The similarity of two trainings with little noise is .89 to .99, depending on the seed. Much noise lowers the
    # similarity by .04 to .39.
    assert little_noise.mean() > 0.5
    assert much_noise.mean() < little_noise.mean() - 0.03


def test_accuracy_is_nearly_equal_with_little_noise_and_lower_with_much_noise(path):
    deterministic, little_noise, much_noise = (
        error_shares(path, variant).mean() for variant in ("deterministic", "noisy-0.05", "noisy-0.5")
    )
    # A share of 6 % of 898 images has a standard error of 0.8 %; the difference of two such shares has 1.1 %.
    assert abs(little_noise - deterministic) < 0.03
    assert much_noise > 3 * little_noise
