"""The experiment sliced-information on few images of the digits."""

import json
import math

import numpy as np
import pytest

from layerbits._base import DataError, UsageError
from layerbits.experiments.sliced.experiment import SLICED_INFORMATION
from layerbits.experiments.sliced.settings import SlicedConfig
from layerbits.experiments.sliced.training import build_network, read_images
from layerbits.networks import is_noisy
from layerbits.training import read_history
from tests.support.idx_files import write_mnist

VARIANTS = ("deterministic", "noisy")
LAYERS = [name + view for name in ("relu1", "relu2") for view in ("", "[random 1 x 8]", "[random 4 x 8]")]


@pytest.fixture(scope="module")
def path(quick_run):
    settings = {"widths": (32, 24), "epochs": 8, "measurements": 2, "evaluations": 2, "test_images": 40}
    return quick_run("sliced-information", **settings, draws=4, frames=8)


def values(path, variant, layer, quantity):
    """Return the values of a quantity of a layer at the measured epochs."""
    rows = read_history(path / variant).rows
    return [row.value for _, row in rows if row.layer.startswith(layer) and row.quantity == quantity]


def test_run_writes_all_its_files(path):
    figures = {"sliced-information.png", "sliced-information-planes.png"}
    assert {file.name for file in path.glob("[!.]*")} == {"run.json", *VARIANTS, *figures}
    for variant in VARIANTS:
        assert {file.name for file in (path / variant).glob("[!.]*")} == {
            "training.csv", "information.csv", "information.json", "checkpoints",
        }  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_layers_and_slices_are_measured_before_the_training_and_at_the_chosen_epochs(path, variant):
    history = read_history(path / variant)
    assert history.epochs == (0, 1, 8)
    assert list(history.layers) == LAYERS
    quantities = {row.quantity for _, row in history.rows}
    assert {f"{symbol}({pair})" for symbol in ("I", "SI_1", "SI_4") for pair in ("X;T", "T;Y")} <= quantities


@pytest.mark.parametrize(
    ("variant", "layer"), [("deterministic", "relu1"), ("deterministic", "relu2"), ("noisy", "relu1")]
)
@pytest.mark.parametrize("quantity", ["SI_1(X;T)", "SI_1(T;Y)"])
def test_slices_tell_more_after_the_training(path, variant, layer, quantity):
    """The slices of these layers are computed by quadrature; 8 frames say nothing of relu2 behind noise."""
    before, _, after = values(path, variant, layer, quantity)
    assert after > 1.1 * before


def test_layer_tells_all_images_apart_where_its_slices_do_not(path):
    whole, slices = (values(path, "deterministic", "relu2", f"{symbol}(X;T)")[-1] for symbol in ("I", "SI_1"))
    assert whole > math.log(40) - 0.05
    assert slices < math.log(40) / 2


def test_first_layer_of_both_networks_has_the_same_channel_before_the_training(path):
    for deterministic, noisy in zip(*(read_history(path / variant)[0] for variant in VARIANTS), strict=True):
        if deterministic.layer.startswith("relu1"):
            # The same queries and frames: h(T|X) and sums of logarithms differ by rounding in float32.
            assert (deterministic.quantity, noisy.value) == (
                noisy.quantity,
                pytest.approx(deterministic.value, abs=1e-4),
            )


def test_summary_has_the_values_of_the_last_layer(path):
    summary = json.loads((path / "run.json").read_text())["summary"]
    for symbol, place in (("I", 0), ("SI_1", -1)):
        name = f"noisy_{symbol}_{'first' if place == 0 else 'last'}"
        assert summary[name] == values(path, "noisy", "relu2", f"{symbol}(X;T)")[place]


def test_network_has_noise_behind_every_relu_and_the_same_weights():
    deterministic, noisy = (build_network(SlicedConfig(), variant, pixels=64) for variant in VARIANTS)
    assert (is_noisy(deterministic), is_noisy(noisy)) == (False, True)
    assert [tuple(weights.shape) for weights in deterministic.parameters()][::2] == [(128, 64), (128, 128), (10, 128)]
    for weights, others in zip(deterministic.parameters(), noisy.parameters(), strict=True):
        assert weights.equal(others)


def test_folder_replaces_the_digits_and_widens_the_layers(tmp_path):
    part = np.zeros((12, 28, 28)), np.arange(12) % 10
    config = SlicedConfig(data=str(write_mnist(tmp_path, part, part)), test_images=5)
    assert [len(images) for images in read_images(config)] == [12, 5]
    assert config.hidden_widths == (512, 512)
    with pytest.raises(DataError, match="no such folder"):
        SLICED_INFORMATION.expected_seconds(SlicedConfig(data=str(tmp_path / "nowhere")))


@pytest.mark.parametrize(
    "change",
    [
        {"variants": ()}, {"variants": ("quiet",)}, {"variants": ("noisy", "noisy")}, {"widths": (3,)}, {"widths": ()},
        {"sigma": 0.0}, {"epochs": 0}, {"learning_rate": 0.0}, {"batch_size": 0}, {"train_images": 0},
        {"test_images": 1}, {"evaluations": 1}, {"measurements": 1}, {"draws": 1}, {"frames": 7},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        SlicedConfig(**change)
