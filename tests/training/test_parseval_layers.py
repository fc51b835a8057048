"""The layers that the Parseval step changes, and the refused arguments."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import layerbits as lb
from layerbits._base import LayerSelectionError
from tests.support.random_arrays import normal_tensor
from tests.support.weight_matrices import (
    assert_close,
    convolutional_network,
    linear,
    parseval_step,
)


def test_all_linear_layers_and_convolutions_are_the_default_and_nothing_else_changes():
    model = lb.noisify(convolutional_network(), sigma=0.1)
    model(normal_tensor(3, 2, 4, 4, dtype=torch.float32))  # installs the noise and updates the statistics of batch norm
    before = copy.deepcopy(model.state_dict())
    lb.ParsevalRegularizer(model).step()
    changed = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert changed == {"0.weight", "4.weight", "6.weight"}


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("4", {"4"}), ("[04]", {"0", "4"}), (nn.Linear, {"4", "6"}), (["6", nn.Conv2d], {"0", "6"}),
        (lambda name, module: name != "0", {"4", "6"}),
    ],
    ids=["name", "glob", "type", "sequence", "callable"],
)  # fmt: skip
def test_layers_are_selected_as_for_noise(layers, names):
    model = convolutional_network()
    before = copy.deepcopy(model)
    lb.ParsevalRegularizer(lb.noisify(model, sigma=0.1), layers=layers).step()
    changed = {index for index in (0, 4, 6) if not model[index].weight.equal(before[index].weight)}
    assert set(map(str, changed)) == names


def test_shared_weight_is_stepped_once():
    model = nn.Sequential(linear(normal_tensor(4, 4) / 4), nn.Tanh(), linear(normal_tensor(4, 4)))
    model[2].weight = model[0].weight
    before = model[0].weight.detach().clone()
    lb.ParsevalRegularizer(model, strength=0.3).step()
    assert_close(model[0].weight.detach(), parseval_step(before, 0.3))


def test_shared_layer_is_found_under_its_second_name():
    layer = linear(normal_tensor(4, 4) / 4)
    before = layer.weight.detach().clone()
    lb.ParsevalRegularizer(nn.Sequential(layer, nn.Tanh(), layer), strength=0.3, layers="2").step()
    assert_close(layer.weight.detach(), parseval_step(before, 0.3))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_weight_without_entries_is_left_out():
    layer = linear(normal_tensor(3, 4) / 4)
    before = layer.weight.detach().clone()
    lb.ParsevalRegularizer(nn.Sequential(nn.Linear(3, 0), nn.Linear(0, 4), layer), strength=0.3).step()
    assert_close(layer.weight.detach(), parseval_step(before, 0.3))


def test_step_is_outside_of_autograd_and_does_not_change_gradients():
    layer = linear(normal_tensor(3, 5) / 3)
    layer(normal_tensor(2, 5)).sum().backward()
    weight, gradient = layer.weight, layer.weight.grad.clone()
    lb.ParsevalRegularizer(layer).step()
    assert layer.weight is weight
    assert weight.is_leaf
    assert weight.requires_grad
    assert weight.grad.equal(gradient)


def test_step_in_a_hook_of_the_optimizer_equals_an_explicit_step():
    def train(model, *, in_hook):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        parseval = lb.ParsevalRegularizer(model, strength=0.1)
        if in_hook:
            optimizer.register_step_post_hook(lambda *_: parseval.step())
        for _ in range(3):
            optimizer.zero_grad()
            model(normal_tensor(2, 5)).square().sum().backward()
            optimizer.step()
            if not in_hook:
                parseval.step()
        return model.weight

    layer = linear(normal_tensor(3, 5) / 3)
    assert train(copy.deepcopy(layer), in_hook=True).equal(train(copy.deepcopy(layer), in_hook=False))


def test_global_generator_is_not_used():
    layer = linear(normal_tensor(3, 5))
    before = torch.get_rng_state()
    lb.ParsevalRegularizer(layer).step()
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("strength", [0.0, -0.1, 0.51, math.nan, math.inf])
def test_strength_out_of_range_is_refused(strength):
    with pytest.raises(ValueError, match="strength: got"):
        lb.ParsevalRegularizer(nn.Linear(2, 2), strength=strength)


def test_strength_and_model_of_another_type_are_refused():
    with pytest.raises(TypeError, match="strength: got str"):
        lb.ParsevalRegularizer(nn.Linear(2, 2), strength="0.1")
    with pytest.raises(TypeError, match="model: got int"):
        lb.ParsevalRegularizer(3)


def test_layers_without_a_weight_matrix_are_refused_with_those_that_have_one():
    with pytest.raises(LayerSelectionError, match="layers: '2' matches no layer; available: 0, 4, 6"):
        lb.ParsevalRegularizer(convolutional_network(), layers="2")
    with pytest.raises(LayerSelectionError, match="model: Tanh has no linear layer"):
        lb.ParsevalRegularizer(nn.Tanh())


@pytest.mark.parametrize(
    "change",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        lambda module: prune.l1_unstructured(module, "weight", 1),
    ],
    ids=["weight norm", "spectral norm", "pruning"],
)
def test_weight_that_is_computed_from_other_parameters_is_refused(change):
    model = convolutional_network()
    change(model[4])
    with pytest.raises(LayerSelectionError, match="'4' has no weight that is a parameter of its own"):
        lb.ParsevalRegularizer(model)
    lb.ParsevalRegularizer(model, layers=["0", "6"]).step()


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_weight_without_a_shape_yet_is_refused():
    with pytest.raises(LayerSelectionError, match=r"'0' has no weight .* of known shape"):
        lb.ParsevalRegularizer(nn.Sequential(nn.LazyLinear(3)))
