"""Selections of layers by name, glob, type and callable."""

import functools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from layerbits import LayerSelectionError, layer_activations, layers, noise_of, noisify
from tests.support.selectable_networks import INPUTS, Reusing, mlp, with_names


def nested():
    """Make layers 0.0, 0.1, 0, 1.0.0, 1.0.1, 1.0, 1 and 2."""
    block = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    return nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Sequential(block), nn.Linear(4, 2))


def selected(model, selector=None, sigma=0.1):
    noisify(model, sigma=sigma, layers=selector, inputs=INPUTS)
    return list(noise_of(model))


# The default


def test_warning_shows_the_line_of_the_caller_and_asks_for_inputs_only_where_a_layer_did_not_run():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return (self.scale * x).tanh()

    model = nn.Sequential(nn.Linear(4, 3), Scaled(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    for call in (lambda: selected(model), lambda: noisify(model, sigma=0.1)(INPUTS)):
        with pytest.warns(
            UserWarning, match=r"^layers: None leaves out 1, .*; name the layers to include them$"
        ) as got:
            call()
        assert got[0].filename == __file__


def test_hidden_activation_functions_are_the_default():
    assert selected(mlp()) == ["1", "3"]


def test_each_call_of_a_module_is_a_layer_and_the_output_is_not_selected():
    assert selected(Reusing()) == ["act", "act@2"]


def test_nested_modules_are_named_by_their_path():
    assert selected(nested()) == ["0.1", "1.0.1"]


def test_network_without_activation_functions_is_refused_with_a_remedy():
    with pytest.raises(LayerSelectionError, match=r"calls none \(.*torch.where.*\); name the layers, available: 0, 1"):
        selected(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)))


def test_network_whose_activation_functions_return_the_output_is_refused_with_their_names():
    with pytest.raises(LayerSelectionError, match=r"but each one \(1\) returns an output of the network; name the"):
        selected(nn.Sequential(nn.Linear(4, 3), nn.Tanh()))


class Features(nn.Module):
    """Returns the features beside the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.act, self.act2, self.head = nn.Linear(4, 4), nn.Tanh(), nn.ReLU(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.act2(self.act(self.body(x)))
        return {"logits": self.head(features), "features": features.flatten(1)}


def test_activation_function_that_returns_one_of_several_outputs_is_left_out_with_a_warning():
    with pytest.warns(UserWarning, match=r"^layers: None leaves out act2, which returns one of several outputs"):
        assert selected(Features()) == ["act"]


def test_activation_function_that_returns_one_of_several_outputs_has_no_warning_if_it_is_named():
    assert selected(Features(), ["act", "act2"]) == ["act", "act2"]
    assert selected(Features(), sigma={"act": 0.1, "act2": 0.2}) == ["act", "act2"]


def test_activation_function_that_returns_the_only_output_twice_has_no_warning():
    class Same(Features):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            output = super().forward(x)["features"]
            return output, output.view(-1)

    assert selected(Same()) == ["act"]


class Experts(nn.Module):
    """Runs the expert of the sign of the first value."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.experts, self.head = nn.Tanh(), nn.ModuleList([nn.ReLU(), nn.GELU()]), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.experts[int(x[0, 0] > 0)](self.act(x)))


@pytest.mark.parametrize("inputs", [INPUTS, None], ids=["inputs", "first call"])
def test_activation_function_that_does_not_run_is_left_out_with_a_warning(inputs):
    model = Experts()
    with pytest.warns(
        UserWarning, match=r"^layers: None leaves out experts.1, which was not called in the observed pass"
    ):
        noisify(model, sigma=0.1, inputs=inputs)(INPUTS)
    assert list(noise_of(model)) == ["act", "experts.0"]


def test_activation_module_whose_forward_is_called_is_a_function_and_the_warning_says_so():
    class Direct(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.act, self.last = nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)

        def forward(self, x):
            return self.last(self.act.forward(self.first(x)))

    words = r"leaves out act, which was not called .* with inputs that call them \(the modules, not their forward "
    with pytest.warns(UserWarning, match=words):
        model = noisify(Direct(), sigma=0.1, inputs=INPUTS)
    assert list(noise_of(model)) == ["tanh"]


def test_activation_function_that_does_not_run_has_no_warning_if_layers_are_given():
    assert selected(Experts(), nn.ReLU) == ["experts.0"]


def test_layer_activations_warns_of_activation_functions_that_do_not_run():
    with pytest.warns(
        UserWarning, match=r"^layers: None leaves out experts.1, which was not called in the observed pass"
    ):
        assert list(layer_activations(Experts(), INPUTS)) == ["act", "experts.0"]


def test_mapping_of_layers_is_refused():
    with pytest.raises(TypeError, match=r"^layers: got dict, wanted names .* the noise of each layer as sigma"):
        selected(mlp(), {"1": 0.1})


# Names, globs, types, callables and sequences


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("0", ["0"]),
        ("[02]", ["0", "2"]),
        ("[!0-3]", ["4", "5"]),
        ("?", ["0", "1", "2", "3", "4", "5"]),
        (nn.Linear, ["0", "2", "4"]),
        (lambda name, module: name == "2" and isinstance(module, nn.Linear), ["2"]),
        (["3", nn.Linear], ["0", "2", "3", "4"]),
        (("5", "1"), ["1", "5"]),
        ({"1", "3"}, ["1", "3"]),
        ("*", ["0", "1", "2", "3", "4", "5"]),
    ],
    ids=["name", "glob", "not", "one", "type", "callable", "mixed", "order of the data", "set", "with the output"],
)
def test_names_globs_types_callables_and_sequences_select_layers(selector, names):
    assert selected(mlp(), selector) == names


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("act", ["act"]),
        ("act@1", ["act"]),
        ("act@3", ["act@3"]),
        ("act@*", ["act", "act@2", "act@3"]),
        ("act@[23]", ["act@2", "act@3"]),
        (nn.Tanh, ["act", "act@2", "act@3"]),
        (lambda name, module: name == "act", ["act", "act@2", "act@3"]),
    ],
    ids=["name", "first", "third", "all", "some", "type", "callable"],
)
def test_names_globs_types_and_callables_select_calls_of_a_module(selector, names):
    assert selected(Reusing(), selector) == names


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("*", ["0", "1", "2"]),
        ("*.*", ["0.0", "0.1", "1.0"]),
        ("**.1", ["0.1", "1.0.1"]),
        ("0.**", ["0.0", "0.1"]),
        ("**", ["0.0", "0.1", "0", "1.0.0", "1.0.1", "1.0", "1", "2"]),
        ("?.0.?", ["1.0.0", "1.0.1"]),
    ],
)
def test_one_star_does_not_cross_a_dot_and_two_stars_do(selector, names):
    assert selected(nested(), selector) == names


@pytest.mark.parametrize("name", ["act[1]", "x[3-1]", "a*", "a@2"])
def test_exact_name_of_a_module_is_no_glob(name):
    assert selected(with_names("act1", name, "ab"), name) == [name]


@pytest.mark.parametrize("selector", ["tanh", nn.Conv2d, lambda name, module: False, ["1", "absent"], [], "1@2"])
def test_selection_without_a_match_is_refused_with_the_available_names(selector):
    with pytest.raises(LayerSelectionError, match="available: 0, 1, 2, 3, 4, 5"):
        selected(mlp(), selector)


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (functional.tanh, r"the callable tanh matches no layer, but torch\.nn\.Tanh does; pass that type; available"),
        (torch.selu, "the callable selu matches no layer; available"),
        (nn.SELU, "the type SELU matches no layer; available"),
        (functools.partial(lambda name, module: False), "the callable partial matches no layer; available"),
    ],
)
def test_selector_without_a_match_is_named_without_an_address(selector, words):
    with pytest.raises(LayerSelectionError, match=f"^layers: {words}"):
        selected(mlp(), selector)
    assert selected(mlp(), nn.Tanh) == ["1"]


@pytest.mark.parametrize(("selector", "wider"), [("*anh", None), ("*.1", "'**.1'")])
def test_glob_that_stops_at_a_dot_is_refused_with_the_one_that_does_not(selector, wider):
    model = nn.Sequential(nn.Sequential(nested()), nn.Linear(2, 2))  # the names of nested() behind 0.0.
    with pytest.raises(LayerSelectionError) as error:
        selected(model, selector)
    assert (f"because * stops at a dot; pass {wider}; available" in str(error.value)) == (wider is not None)


def test_glob_that_is_not_valid_is_refused():
    with pytest.raises(LayerSelectionError, match=r"^layers: got '\[3-1\]', wanted a name or a glob"):
        selected(mlp(), "[3-1]")


@pytest.mark.parametrize(("selector", "got"), [(3, "int"), ([1, 3], "int"), (nn.Tanh(), "Tanh"), (mlp()[:1], "Linear")])
def test_selector_of_a_wrong_type_is_named(selector, got):
    with pytest.raises(TypeError, match=f"layers: got {got}, wanted a name"):
        selected(mlp(), selector)


def test_callable_with_another_signature_is_refused():
    with pytest.raises(
        TypeError, match=r"^layers: got a callable \(too many .*\), wanted one that takes \(name, module\)"
    ):
        selected(mlp(), lambda name: True)
    with pytest.raises(TypeError, match=r"^layers: got a callable that returns str for '0', wanted a bool"):
        selected(mlp(), lambda name, module: "no")


def test_error_within_a_callable_is_raised_unchanged():
    with pytest.raises(TypeError, match=r"^unsupported operand"):
        selected(mlp(), lambda name, module: 1 + name)


def test_calls_that_share_a_name_are_refused():
    class Ambiguous(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.head = nn.Tanh(), nn.Linear(4, 2)
            self.add_module("act@2", nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.get_submodule("act@2")(self.act(self.act(x))))

    with pytest.raises(LayerSelectionError, match=r"^model: got a module with the name 'act@2'"):
        layers(Ambiguous(), INPUTS)


def test_messages_name_the_first_20_of_many_layers():
    network = nn.Sequential(*(module for _ in range(150) for module in (nn.Linear(2, 2), nn.Tanh())), nn.Linear(2, 2))
    with pytest.raises(LayerSelectionError, match=r"available: 0, 1, .*, 19 and 281 more$"):
        noisify(network, sigma=0.1, layers="head", inputs=torch.ones(1, 2))
