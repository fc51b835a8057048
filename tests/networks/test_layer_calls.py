"""Layers of an observed pass: their order, their names, the output, and state that the pass does not change."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from layerbits import layers, noisify, propagate
from layerbits.networks.observation.layer_calls import observe

INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)


class Function(nn.Module):
    """A module whose forward is `function(module, ...)`, with submodules by name."""

    def __init__(self, function, **modules) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


def names(model, inputs=INPUTS):
    return layers(model, inputs).names


def outputs(model, inputs=INPUTS):
    return [row.name for row in layers(model, inputs) if row.output]


# The order and the names


def test_order_is_that_of_the_data_not_of_registration():
    model = Function(
        lambda self, x: self.head(self.second(self.body(self.first(x)))),
        head=nn.Linear(4, 2),
        second=nn.Tanh(),
        first=nn.Tanh(),
        body=nn.Linear(4, 4),
    )
    assert names(model) == ("first", "body", "second", "head")


def test_order_in_a_transformer_that_normalizes_first():
    block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True, dropout=0.0)
    model = nn.Sequential(nn.Linear(6, 16), nn.TransformerEncoder(block, 2, enable_nested_tensor=False))
    noisify(model, sigma=0.5, layers=["**.norm?", "**.linear1"], inputs=torch.ones(2, 3, 6))
    expected = [f"1.layers.{index}.{name}" for index in (0, 1) for name in ("norm1", "norm2", "linear1")]
    assert list(propagate(model, torch.ones(2, 3, 6), draws=1)) == expected


def test_hidden_activation_function_that_is_registered_last_is_not_the_output():
    def forward(self, x):
        hidden = self.act(self.a(x))
        return self.c(self.act2(self.b(hidden)) if hidden.mean() > -1 else hidden)

    model = Function(forward, act2=nn.ReLU(), a=nn.Linear(4, 8), b=nn.Linear(8, 8), c=nn.Linear(8, 2), act=nn.Tanh())
    noisify(model, sigma=0.3, inputs=INPUTS)
    assert layers(model, INPUTS).noisy == ("act", "act2")


def test_loop_over_the_steps_of_a_sequence_has_a_layer_for_each_step():
    def forward(self, x):
        hidden = torch.zeros(len(x), 5)
        for step in range(x.shape[1]):
            hidden = self.cell(x[:, step], hidden)
        return self.head(hidden)

    model = Function(forward, cell=nn.GRUCell(3, 5), head=nn.Linear(5, 2))
    noisify(model, sigma=0.3, layers="cell@*")
    signals = propagate(model, torch.ones(6, 3, 3), draws=2)
    assert {name: tuple(signal.shape) for name, signal in signals.items()} == dict.fromkeys(
        ("cell", "cell@2", "cell@3"), (6, 2, 5)
    )


def test_weights_tied_over_depth_have_a_layer_for_each_call_of_the_block():
    def forward(self, x):
        for _ in range(3):
            x = self.block(x)
        return self.head(x)

    model = Function(forward, block=nn.Sequential(nn.Linear(4, 4), nn.Tanh()), head=nn.Linear(4, 2))
    assert names(model) == (
        *("block.0", "block.1", "block", "block.0@2", "block.1@2", "block@2", "block.0@3", "block.1@3", "block@3"),
        "head",
    )


def test_module_that_two_parents_share_has_a_layer_for_each_call():
    shared = nn.Tanh()
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), shared), nn.Sequential(nn.Linear(4, 4), shared))
    assert names(model) == ("0.0", "0.1", "0", "1.0", "0.1@2", "1")


def test_container_is_listed_after_its_modules():
    assert names(nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2))) == ("0.0", "0.1", "0", "1")


def test_module_list_is_not_a_layer():
    model = Function(lambda self, x: self.blocks[1](self.blocks[0](x)), blocks=nn.ModuleList([nn.Tanh(), nn.ReLU()]))
    assert names(model) == ("blocks.0", "blocks.1")


def test_module_that_does_not_run_is_not_a_layer():
    model = Function(lambda self, x: self.a(x) if x.sum() > 0 else self.b(x), a=nn.Tanh(), b=nn.ReLU())
    assert names(model, torch.ones(2, 4)) == ("a",)
    assert names(model, -torch.ones(2, 4)) == ("b",)


def test_calls_have_the_modules_of_the_network():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    assert [call.module for call in observe(model, (INPUTS,), {})] == list(model)


# The output


def head_and(act, finish):
    return Function(
        lambda self, x: finish(self.sigmoid(self.head(self.act(x)))),
        act=act,
        head=nn.Linear(4, 1),
        sigmoid=nn.Sigmoid(),
    )


Pair = namedtuple("Pair", "first second")


@dataclass
class Result:
    value: Tensor
    note: str = ""


class CustomDict(dict):
    pass


RETURNED = {
    "tensor": lambda y: y,
    "squeezed": lambda y: y.squeeze(-1),
    "reshaped": lambda y: y.reshape(2, 3),
    "transposed": lambda y: y.T,
    "tuple": lambda y: (y, 3),
    "list": lambda y: [None, y],
    "dict": lambda y: {"logits": y},
    "nested": lambda y: {"outputs": [{"logits": y}]},
    "OrderedDict": lambda y: OrderedDict(logits=y),
    "subclass of dict": lambda y: CustomDict(logits=y),
    "namedtuple": lambda y: Pair(3, y),
    "dataclass": lambda y: Result(y),
    "dict of a dataclass": lambda y: {"result": Result(y)},
}


@pytest.mark.parametrize("finish", RETURNED.values(), ids=RETURNED.keys())
def test_activation_function_whose_values_are_returned_is_the_output(finish):
    model = head_and(nn.Tanh(), finish)
    assert outputs(model) == ["sigmoid"]
    noisify(model, sigma=0.1, inputs=INPUTS)
    assert layers(model, INPUTS).noisy == ("act",)


@pytest.mark.parametrize(
    "finish",
    [lambda y: 2 * y, lambda y: y[:3], lambda y: y.mean(), lambda y: y.add_(1), lambda y: functional.relu(y - 1)],
    ids=["product", "part", "mean", "changed in place", "function"],
)
def test_activation_function_is_hidden_unless_its_values_are_returned_as_they_are(finish):
    assert "sigmoid" not in outputs(head_and(nn.Tanh(), finish))


def test_sum_in_place_leaves_the_activation_function_hidden():
    def forward(self, x):
        hidden = self.act(self.linear(x))
        hidden += x
        return hidden

    model = noisify(Function(forward, act=nn.Tanh(), linear=nn.Linear(4, 4)), sigma=0.1, inputs=INPUTS)
    assert layers(model, INPUTS).noisy == ("act",)


def test_layer_before_an_activation_function_in_place_is_not_the_output():
    assert outputs(nn.Sequential(nn.Linear(4, 2), nn.ReLU(inplace=True))) == ["1"]


def test_activation_function_that_is_returned_beside_the_output_is_an_output_too():
    def forward(self, x):
        hidden = self.act(x)
        return self.head(hidden), hidden

    assert outputs(Function(forward, act=nn.Tanh(), head=nn.Linear(4, 2))) == ["act", "head"]


def test_containers_of_the_output_are_the_output():
    assert outputs(nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Tanh(), nn.Flatten()))) == ["1.0", "1.1", "1"]


def test_module_whose_second_tensor_alone_is_returned_is_not_the_output():
    class Split(nn.Module):
        def forward(self, x):
            return x.chunk(2, dim=1)

    assert outputs(Function(lambda self, x: self.split(x)[1], split=Split())) == []


def test_hidden_layer_of_an_empty_batch_is_not_the_output():
    model = noisify(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)), sigma=0.1)
    model(torch.zeros(0, 4))
    assert layers(model, INPUTS).noisy == ("1",)


# State that the observed pass leaves unchanged


@pytest.mark.parametrize("inference", [False, True])
def test_network_that_writes_into_its_argument_does_so_once(inference):
    def forward(self, x):
        x += 1
        return self.act(x)

    model = noisify(Function(forward, act=nn.Tanh()), sigma=0.1, layers="act")
    with torch.inference_mode(inference):
        x = torch.zeros(2, 4)
        model(x)
    assert torch.equal(x, torch.ones(2, 4))


def test_cache_that_a_network_fills_gets_each_value_once():
    class Cache:
        def __init__(self) -> None:
            self.keys = []

    def forward(self, x, cache):
        cache.keys.append(self.act(x))
        return self.head(cache.keys[0])

    model, cache = Function(forward, act=nn.Tanh(), head=nn.Linear(4, 2)), Cache()
    noisify(model, sigma=0.1)(INPUTS, cache=cache)
    assert len(cache.keys) == 1


@pytest.mark.parametrize("call", [layers, lambda model, x: noisify(model, sigma=0.1, layers="1", inputs=x)])
def test_inputs_are_not_changed_in_place(call):
    x = -torch.ones(2, 4)
    call(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)), x)
    assert torch.equal(x, -torch.ones(2, 4))


def test_states_of_generators_are_restored():
    before = torch.get_rng_state()
    layers(Function(lambda self, x: self.act(x + torch.randn(4)), act=nn.Tanh()), INPUTS)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_off_and_gradients_are_not_recorded():
    states = []

    def forward(self, x):
        states.append((torch.equal(self.dropout(x), x), torch.is_grad_enabled(), self.training))
        return self.act(x)

    model = Function(forward, dropout=nn.Dropout(0.5), act=nn.Tanh())
    layers(model, INPUTS)
    assert states == [(True, False, False)]
    assert model.training
