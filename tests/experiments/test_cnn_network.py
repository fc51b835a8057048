"""The convolutional network and its dropout."""

import math

import pytest
import torch

from layerbits import layer_activations, noise_of
from layerbits.experiments.cnn.digits_cnn import Config
from layerbits.experiments.cnn.network import Dropout, build_network
from layerbits.experiments.cnn.settings import CnnConfig, Variant

DETERMINISTIC, NOISY, DROPOUT = (
    Variant("deterministic"),
    Variant("noisy-0.3", sigma=0.3),
    Variant("dropout", dropout=0.2),
)


def parameters(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_blocks_are_in_the_order_of_the_paper():
    names = [name for name, _ in build_network(Config(), DROPOUT, seed=0, size=(28, 28)).named_children()]
    assert names == [
        "conv1", "norm1", "tanh1", "dropout1", "pool1", "conv2", "norm2", "tanh2", "dropout2", "pool2",
        "flatten", "dense", "norm3", "tanh3", "dropout3", "logits",
    ]  # fmt: skip


def test_layers_have_the_widths_of_the_paper_on_images_of_mnist():
    model = build_network(CnnConfig(), DETERMINISTIC, seed=0, size=(28, 28))
    assert [tuple(p.shape) for p in model.parameters() if p.ndim > 1] == [
        (16, 1, 5, 5), (32, 16, 5, 5), (128, 1568), (10, 128),
    ]  # fmt: skip
    activations = layer_activations(model, torch.zeros(2, 1, 28, 28), layers=CnnConfig().layers)
    assert {name: points.shape[1] for name, points in activations.items()} == {
        "tanh1": 16 * 28 * 28, "tanh2": 32 * 14 * 14, "tanh3": 128,
    }  # fmt: skip


def test_noise_follows_every_tanh():
    noisy = build_network(Config(), NOISY, seed=0, size=(8, 8))
    assert {layer: noise.scale for layer, noise in noise_of(noisy).items()} == dict.fromkeys(Config().layers, 0.3)
    assert Config().layers == ("tanh1", "tanh2", "tanh3")


def test_initial_weights_depend_on_the_seed_and_not_on_the_variant():
    deterministic, *variants = (
        parameters(build_network(Config(), variant, seed=3, size=(8, 8))) for variant in Config().training_variants
    )
    assert len(variants) == 5
    for weights in variants:
        assert all(map(torch.equal, weights, deterministic))
    next_seed = parameters(build_network(Config(), DETERMINISTIC, seed=4, size=(8, 8)))
    assert not torch.equal(next_seed[0], deterministic[0])


def test_parameters_are_within_the_limit_of_torch_and_weights_have_the_spread_of_uniform_values():
    model = build_network(CnnConfig(), DETERMINISTIC, seed=0, size=(28, 28))
    for name, inputs in (("conv1", 25), ("conv2", 400), ("dense", 1568), ("logits", 128)):
        layer = model.get_submodule(name)
        limit = 1 / math.sqrt(inputs)
        for values in layer.parameters():
            assert values.abs().max() <= torch.tensor(limit)  # the limit is rounded to float32
        # The standard deviation of n uniform values has the relative standard error sqrt(.2 / n): 2 % for n = 400.
        assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1)


def test_network_is_made_and_drops_units_without_the_global_generator():
    before = torch.get_rng_state()
    build_network(Config(), NOISY, seed=0, size=(8, 8))
    build_network(Config(), DROPOUT, seed=0, size=(8, 8))(torch.zeros(2, 1, 8, 8))
    assert torch.get_rng_state().equal(before)


def test_dropout_drops_its_share_of_units_and_scales_the_others():
    values = Dropout(0.2, seed=0, layer=1)(torch.ones(100, 1000))
    assert set(values.unique().tolist()) == {0.0, 1.25}
    # Five standard errors of a share of 100,000 units.
    assert (values == 0).double().mean().item() == pytest.approx(0.2, abs=5 * math.sqrt(0.2 * 0.8 / 1e5))


def test_dropout_returns_the_activations_in_evaluation():
    activations = torch.rand(3, 4)
    layer = Dropout(0.2, seed=0, layer=1).eval()
    assert layer(activations) is activations
    assert layer.passes == 0


def test_dropout_continues_from_its_state():
    ones = torch.ones(10, 10)
    layer, restored = Dropout(0.5, seed=0, layer=1), Dropout(0.5, seed=0, layer=1)
    layer(ones)
    restored.load_state_dict(layer.state_dict())
    assert torch.equal(restored(ones), layer(ones))


def test_dropout_differs_between_passes_layers_and_seeds():
    ones = torch.ones(10, 10)
    layer = Dropout(0.5, seed=0, layer=1)
    reference = layer(ones)
    for values in (layer(ones), Dropout(0.5, seed=1, layer=1)(ones), Dropout(0.5, seed=0, layer=2)(ones)):
        assert not torch.equal(values, reference)
