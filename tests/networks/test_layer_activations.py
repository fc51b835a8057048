"""Activations without noise, of networks with and without noisy layers."""

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import LayerSelectionError, layer_activations, noisify
from tests.support.networks import tanh_mlp


def mlp():
    return tanh_mlp(4, 3, 3, 2)


X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def assert_activations_are_of(model, activations):
    assert list(activations) == ["1", "3"]
    assert torch.equal(activations["1"], model[:2](X))
    assert torch.equal(activations["3"], model[:4](X))


def test_network_without_noise_gives_its_hidden_activations():
    model = mlp()
    assert_activations_are_of(model, layer_activations(model, X))


def test_noisy_network_gives_activations_without_noise():
    assert_activations_are_of(mlp(), layer_activations(noisify(mlp(), sigma=0.5), X))


def test_network_is_left_without_hooks():
    model = mlp()
    layer_activations(model, X)
    assert not any(module._forward_hooks for module in model.modules())


def test_network_is_left_without_hooks_after_an_error():
    model = mlp()
    with pytest.raises(ValueError, match="inputs"):
        layer_activations(model, X[:, :3])
    assert not any(module._forward_hooks for module in model.modules())


def test_noise_of_training_is_not_used_up():
    noisy, twin = noisify(mlp(), sigma=0.5), noisify(mlp(), sigma=0.5)
    layer_activations(noisy, X)
    assert torch.equal(noisy(X), twin(X))


def test_network_is_in_evaluation_mode_during_the_pass_only():
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Tanh(), nn.Linear(3, 2))
    assert torch.equal(layer_activations(model, X)["2"], torch.tanh(model[0](X)))
    assert model[1].training


def test_layers_may_be_chosen():
    assert list(layer_activations(mlp(), X, layers=nn.Linear)) == ["0", "2", "4"]
    assert list(layer_activations(noisify(mlp()), X, layers="3")) == ["3"]


def test_feature_maps_are_flattened():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 2))
    assert layer_activations(model, torch.zeros(5, 1, 6, 6))["1"].shape == (5, 32)


def test_arrays_come_out_when_arrays_go_in():
    activations = layer_activations(mlp(), X.numpy())["1"]
    assert isinstance(activations, np.ndarray)
    assert np.array_equal(activations, layer_activations(mlp(), X)["1"].numpy())


@pytest.mark.parametrize("model", [mlp(), noisify(mlp())], ids=["plain", "noisy"])
def test_unknown_layer_is_refused(model):
    with pytest.raises(LayerSelectionError, match="absent"):
        layer_activations(model, X, layers="absent")


@pytest.mark.parametrize("layers", [nn.Tanh, 3])
def test_layers_of_a_noisy_network_go_by_name(layers):
    with pytest.raises(TypeError, match="layers: got"):
        layer_activations(noisify(mlp()), X, layers=layers)


def test_number_is_no_network():
    with pytest.raises(TypeError, match="model: got int"):
        layer_activations(3, X)
