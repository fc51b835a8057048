"""Activations without noise, of networks with and without noisy layers."""

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import LayerSelectionError, layer_activations, noise_of, noise_off, noisify
from tests.support.networks import Twice, tanh_mlp


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


def has_hooks(model):
    return any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_network_is_left_without_hooks():
    model = mlp()
    layer_activations(model, X)
    assert not has_hooks(model)


def test_network_is_left_without_hooks_after_an_error():
    model = mlp()
    with pytest.raises(ValueError, match="inputs"):
        layer_activations(model, X[:, :3])
    assert not has_hooks(model)


def test_state_of_the_generator_does_not_change():
    noisy, before = noisify(mlp(), sigma=0.5), torch.get_rng_state()
    layer_activations(noisy, X)
    assert torch.equal(torch.get_rng_state(), before)


def test_network_with_its_noise_off_gives_activations_without_noise():
    noisy = noisify(mlp(), sigma=0.5, inputs=X)
    with noise_off(noisy):
        assert_activations_are_of(mlp(), layer_activations(noisy, X))


def test_network_stays_noisy():
    noisy = noisify(mlp(), sigma=0.5)
    layer_activations(noisy, X)
    assert list(noise_of(noisy)) == ["1", "3"]
    assert not torch.equal(noisy(X), noisy(X))


@pytest.mark.parametrize("inputs", [None, X])
def test_default_layers_of_a_noisy_network_are_its_noisy_layers(inputs):
    noisy = noisify(mlp(), sigma=0.5, layers=["0", "3"], inputs=inputs)
    assert list(layer_activations(noisy, X)) == ["0", "3"]


def test_network_is_in_evaluation_mode_during_the_pass_only():
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Tanh(), nn.Linear(3, 2))
    assert torch.equal(layer_activations(model, X)["2"], torch.tanh(model[0](X)))
    assert model[1].training


def test_layers_may_be_chosen():
    assert list(layer_activations(mlp(), X, layers=nn.Linear)) == ["0", "2", "4"]
    noisy = noisify(mlp(), sigma=0.5, inputs=X)
    assert list(layer_activations(noisy, X, layers=nn.Linear)) == ["0", "2", "4"]
    assert list(layer_activations(noisy, X, layers="4")) == ["4"]


def test_each_call_of_a_module_has_its_activations():
    activations = layer_activations(Twice(), X, layers="module@*")
    assert torch.equal(activations["module"], X.tanh())
    assert torch.equal(activations["module@2"], X.tanh().tanh())


def test_inputs_are_not_changed_in_place():
    x = -torch.ones(1, 4)
    layer_activations(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)), x)
    assert torch.equal(x, -torch.ones(1, 4))


def test_feature_maps_are_flattened():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 2))
    assert layer_activations(model, torch.zeros(5, 1, 6, 6))["1"].shape == (5, 32)


def test_array_inputs_give_array_activations():
    activations = layer_activations(mlp(), X.numpy())["1"]
    assert isinstance(activations, np.ndarray)
    assert np.array_equal(activations, layer_activations(mlp(), X)["1"].numpy())


@pytest.mark.parametrize("noisy", [False, True])
def test_unknown_layer_is_refused(noisy):
    model = noisify(mlp(), sigma=0.5, inputs=X) if noisy else mlp()
    with pytest.raises(LayerSelectionError, match="absent"):
        layer_activations(model, X, layers="absent")


def test_selector_of_a_wrong_type_is_refused():
    with pytest.raises(TypeError, match="layers: got int"):
        layer_activations(mlp(), X, layers=3)


def test_number_is_no_network():
    with pytest.raises(TypeError, match="model: got int"):
        layer_activations(3, X)
