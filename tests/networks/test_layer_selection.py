"""Which layers a network has, in what order, and which of them a selection names."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from layerbits._base import LayerSelectionError
from layerbits.networks import choose_layers
from layerbits.networks.layer_selection import layer_calls


def chosen(model, layers=None):
    return [call.name for call in choose_layers(layer_calls(model), layers)]


def mlp():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(dim=1))


class Reversed(nn.Module):
    """Registers its modules in the reverse of the order in which data meets them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.second = nn.Tanh()
        self.first = nn.Tanh()
        self.body = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.body(self.first(x))))


class Reusing(nn.Module):
    """Calls one activation three times, the last time for its output."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Tanh()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.linear(self.act(self.linear(self.act(x)))))


class Branching(nn.Module):
    """Branches on its data, which torch.fx cannot trace."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Sigmoid()])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x) if x.sum() < 1e9 else x
        return x


class Optional(nn.Module):
    """Has a flag, and keeps what it computed on itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)
        self.kept = None

    def forward(self, x: Tensor, features_only: bool = False) -> Tensor:
        self.kept = self.act(self.first(x))
        if features_only:
            return self.kept
        return self.last(self.kept)


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


def test_every_hidden_activation_is_the_default():
    assert chosen(mlp()) == ["1", "3"]


def test_order_is_that_of_the_data_not_of_registration():
    assert chosen(Reversed()) == ["first", "second"]


def test_each_call_of_a_module_is_a_layer_and_the_output_is_none_of_the_default():
    assert chosen(Reusing()) == ["act", "act@2"]


def test_one_call_of_a_reused_module_can_be_named():
    assert chosen(Reusing(), "act@3") == ["act@3"]


def test_name_of_a_module_stands_for_all_its_calls():
    assert chosen(Reusing(), "act") == ["act", "act@2", "act@3"]


def test_activation_before_a_final_reshape_is_the_output():
    assert chosen(Squeezing()) == ["act"]


def test_activation_that_is_returned_beside_the_output_is_hidden():
    class Telling(Squeezing):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            hidden = self.act(self.body(x))
            return self.head(hidden), hidden

    assert chosen(Telling()) == ["act"]


def test_flags_have_their_defaults():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(Optional()) == ["act"]


def test_finding_the_layers_leaves_nothing_on_the_network():
    model = Optional()
    layer_calls(model)
    assert model.kept is None


def test_calls_are_of_the_network_itself():
    model = mlp()
    assert [call.module for call in layer_calls(model)] == list(model)


def test_nested_modules_are_named_by_their_path():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2))
    assert chosen(model) == ["0.1"]


def test_container_ends_after_its_parts():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2))
    assert [call.name for call in layer_calls(model)] == ["0.0", "0.1", "0", "1"]


def test_untraceable_network_is_told():
    with pytest.warns(UserWarning, match="cannot trace Branching"):
        layer_calls(Branching())


@pytest.mark.filterwarnings("ignore:torch.fx cannot trace")
def test_untraceable_network_falls_back_to_registration_with_the_last_module_as_output():
    assert chosen(Branching()) == ["blocks.1"]


@pytest.mark.filterwarnings("ignore:torch.fx cannot trace")
def test_containers_that_are_never_called_are_no_layers():
    assert "blocks" not in [call.name for call in layer_calls(Branching())]


def test_module_without_submodules_need_not_be_traceable():
    class Clipping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.abs().max() < 1 else x.clamp(-1, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(nn.Sequential(nn.Tanh(), Clipping(), nn.Linear(4, 2))) == ["0"]


def test_parts_of_a_transformer_can_be_named():
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(block, 2, enable_nested_tensor=False), nn.Linear(8, 2))
    assert chosen(model, "*.linear1") == ["0.layers.0.linear1", "0.layers.1.linear1"]


def test_container_inside_a_transformer_is_no_layer():
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(block, 2, enable_nested_tensor=False), nn.Linear(8, 2))
    assert "0.layers" not in [call.name for call in layer_calls(model)]


def test_attention_is_no_activation():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.act, self.head = nn.MultiheadAttention(4, 1), nn.GELU(), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.act(self.attention(x, x, x)[0]))

    assert chosen(Attending()) == ["act"]


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
    ids=["name", "glob", "type", "callable", "mixed", "order of the data", "output too"],
)
def test_layers_are_selected_by(layers, names):
    assert chosen(mlp(), layers) == names


def test_name_with_the_brackets_of_a_glob_is_a_name():
    model = nn.Sequential()
    model.add_module("act[1]", nn.Tanh())
    model.add_module("head", nn.Linear(4, 2))
    assert chosen(model, "act[1]") == ["act[1]"]


@pytest.mark.parametrize("layers", ["tanh", nn.Conv2d, lambda name, module: False, ["1", "absent"], []])
def test_selection_of_nothing_is_refused_with_the_names_that_there_are(layers):
    with pytest.raises(LayerSelectionError, match="available: 0, 1, 2, 3, 4, 5"):
        chosen(mlp(), layers)


def test_functional_network_is_asked_for_names():
    with pytest.raises(LayerSelectionError, match="name the layers that shall carry noise, available: first, last"):
        chosen(Functional())


@pytest.mark.parametrize("layers", [3, [1, 3]])
def test_selector_of_another_type_is_refused(layers):
    with pytest.raises(TypeError, match="layers: got int"):
        chosen(mlp(), layers)
