"""The layers of a network, their order, and selections of them."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from layerbits import LayerSelectionError
from layerbits.networks import choose_layers
from layerbits.networks.layer_selection import layer_calls


def selected(model, layers=None):
    return [call.name for call in choose_layers(layer_calls(model), layers)]


def mlp():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(dim=1))


class Reversed(nn.Module):
    """A network that registers its modules in the reverse order of the data."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.second = nn.Tanh()
        self.first = nn.Tanh()
        self.body = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.body(self.first(x))))


class Reusing(nn.Module):
    """A network that calls one activation function three times; the last call is the output."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Tanh()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.linear(self.act(self.linear(self.act(x)))))


class Branching(nn.Module):
    """A network that branches on its data, so that torch.fx cannot trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Sigmoid()])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x) if x.sum() < 1e9 else x
        return x


class Optional(nn.Module):
    """A network with a flag that stores an activation as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)
        self.hidden = None

    def forward(self, x: Tensor, features_only: bool = False) -> Tensor:
        self.hidden = self.act(self.first(x))
        if features_only:
            return self.hidden
        return self.last(self.hidden)


class Squeezing(nn.Module):
    """A binary classifier that drops the last axis of its sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.act, self.head, self.sigmoid = nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self.sigmoid(self.head(self.act(self.body(x)))).squeeze(-1)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)))


def test_hidden_activation_functions_are_the_default():
    assert selected(mlp()) == ["1", "3"]


def test_order_is_that_of_the_data():
    assert selected(Reversed()) == ["first", "second"]


def test_each_call_of_a_module_is_a_layer_and_the_output_is_not_selected():
    assert selected(Reusing()) == ["act", "act@2"]


def test_name_with_a_number_selects_one_call():
    assert selected(Reusing(), "act@3") == ["act@3"]


def test_name_of_a_module_selects_all_its_calls():
    assert selected(Reusing(), "act") == ["act", "act@2", "act@3"]


def test_activation_before_a_final_reshape_is_the_output():
    assert selected(Squeezing()) == ["act"]


def test_activation_that_is_returned_with_the_output_is_hidden():
    class ReturningHidden(Squeezing):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            hidden = self.act(self.body(x))
            return self.head(hidden), hidden

    assert selected(ReturningHidden()) == ["act"]


def test_network_with_a_flag_is_traced_with_its_default():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert selected(Optional()) == ["act"]


def test_listing_the_layers_does_not_change_the_network():
    model = Optional()
    layer_calls(model)
    assert model.hidden is None


def test_calls_have_the_modules_of_the_network():
    model = mlp()
    assert [call.module for call in layer_calls(model)] == list(model)


def test_nested_modules_are_named_by_their_path():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2))
    assert selected(model) == ["0.1"]


def test_container_is_listed_after_its_modules():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2))
    assert [call.name for call in layer_calls(model)] == ["0.0", "0.1", "0", "1"]


def test_untraceable_network_is_named_in_a_warning():
    with pytest.warns(UserWarning, match="cannot trace Branching"):
        layer_calls(Branching())


@pytest.mark.filterwarnings("ignore:torch.fx cannot trace")
def test_layers_of_an_untraceable_network_are_in_the_order_of_registration():
    assert selected(Branching()) == ["blocks.1"]


@pytest.mark.filterwarnings("ignore:torch.fx cannot trace")
def test_module_list_is_not_a_layer():
    assert "blocks" not in [call.name for call in layer_calls(Branching())]


def test_module_without_submodules_need_not_be_traceable():
    class Clipping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.abs().max() < 1 else x.clamp(-1, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert selected(nn.Sequential(nn.Tanh(), Clipping(), nn.Linear(4, 2))) == ["0"]


def test_modules_of_a_transformer_can_be_selected():
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(block, 2, enable_nested_tensor=False), nn.Linear(8, 2))
    assert selected(model, "*.linear1") == ["0.layers.0.linear1", "0.layers.1.linear1"]


def test_module_list_inside_a_transformer_is_not_a_layer():
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(block, 2, enable_nested_tensor=False), nn.Linear(8, 2))
    assert "0.layers" not in [call.name for call in layer_calls(model)]


def test_attention_is_not_an_activation_function():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.act, self.head = nn.MultiheadAttention(4, 1), nn.GELU(), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.act(self.attention(x, x, x)[0]))

    assert selected(Attending()) == ["act"]


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("0", ["0"]),
        ("[02]", ["0", "2"]),
        (nn.Linear, ["0", "2", "4"]),
        (lambda name, module: name == "2" and isinstance(module, nn.Linear), ["2"]),
        (["3", nn.Linear], ["0", "2", "3", "4"]),
        (("5", "1"), ["1", "5"]),
        ("*", ["0", "1", "2", "3", "4", "5"]),
    ],
    ids=["name", "glob", "type", "callable", "mixed", "order of the data", "with the output"],
)
def test_layers_are_selected_by(layers, names):
    assert selected(mlp(), layers) == names


def test_name_with_brackets_is_a_name_before_it_is_a_glob():
    model = nn.Sequential()
    model.add_module("act[1]", nn.Tanh())
    model.add_module("head", nn.Linear(4, 2))
    assert selected(model, "act[1]") == ["act[1]"]


@pytest.mark.parametrize("layers", ["tanh", nn.Conv2d, lambda name, module: False, ["1", "absent"], []])
def test_selection_without_a_match_is_refused_with_the_available_names(layers):
    with pytest.raises(LayerSelectionError, match="available: 0, 1, 2, 3, 4, 5"):
        selected(mlp(), layers)


def test_network_without_modules_for_activations_is_refused_with_a_remedy():
    with pytest.raises(LayerSelectionError, match="name the layers, available: first, last"):
        selected(Functional())


@pytest.mark.parametrize("layers", [3, [1, 3]])
def test_selector_of_a_wrong_type_is_named(layers):
    with pytest.raises(TypeError, match="layers: got int"):
        selected(mlp(), layers)
