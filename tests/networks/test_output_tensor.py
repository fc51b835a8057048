"""The tensor of an output that has the noise: the first floating-point tensor, at any depth of the output."""

import dataclasses
import typing
from collections import OrderedDict, namedtuple

import pytest
import torch
from torch import Tensor, nn

from layerbits import LayerSelectionError, layers, noise_of, noise_off, noisify, propagate
from layerbits.networks.execution.output_tensor import find_tensor, replace_tensor

SIGNAL, OTHER, NEW = torch.zeros(2), torch.ones(2), torch.full((2,), 5.0)
COUNTS = torch.arange(2)

Pair = namedtuple("Pair", "first second")


class Typed(typing.NamedTuple):
    value: Tensor
    note: str


@dataclasses.dataclass
class Plain:
    value: Tensor
    note: str = "note"


@dataclasses.dataclass(frozen=True)
class Frozen:
    value: Tensor


@dataclasses.dataclass(slots=True)
class Slots:
    value: Tensor


@dataclasses.dataclass
class Checked:
    """Counts how often it is made."""

    value: Tensor
    made: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.made += 1


class OwnDict(dict):
    pass


class OwnList(list):
    pass


FORMS = {
    "tensor": (lambda x: x, lambda y: y),
    "tuple": (lambda x: (x, OTHER), lambda y: y[0]),
    "second of a tuple": (lambda x: (COUNTS, x, OTHER), lambda y: y[1]),
    "list": (lambda x: [None, x], lambda y: y[1]),
    "own list": (lambda x: OwnList([x]), lambda y: y[0]),
    "nested": (lambda x: ({"a": [3, x]}, OTHER), lambda y: y[0]["a"][1]),
    "dict": (lambda x: {"n": COUNTS, "x": x}, lambda y: y["x"]),
    "own dict": (lambda x: OwnDict(x=x), lambda y: y["x"]),
    "OrderedDict": (lambda x: OrderedDict(x=x, y=OTHER), lambda y: y["x"]),
    "namedtuple": (lambda x: Pair(x, OTHER), lambda y: y.first),
    "NamedTuple": (lambda x: Typed(x, "note"), lambda y: y.value),
    "dataclass": (Plain, lambda y: y.value),
    "frozen dataclass": (Frozen, lambda y: y.value),
    "dataclass with slots": (Slots, lambda y: y.value),
    "dataclass in a dict": (lambda x: {"a": Plain(x)}, lambda y: y["a"].value),
}
each_form = pytest.mark.parametrize(("make", "get"), FORMS.values(), ids=FORMS.keys())


@each_form
def test_first_floating_point_tensor_is_found(make, get):
    assert find_tensor(make(SIGNAL)) is SIGNAL


@each_form
def test_replacement_stands_in_its_place_in_an_output_of_the_same_type(make, get):
    output = make(SIGNAL)
    replaced = replace_tensor(output, SIGNAL, NEW)
    assert get(replaced) is NEW
    assert type(replaced) is type(output)


@each_form
def test_original_output_is_not_changed(make, get):
    output = make(SIGNAL)
    replace_tensor(output, SIGNAL, NEW)
    assert get(output) is SIGNAL


def test_other_entries_stay():
    assert replace_tensor({"n": COUNTS, "x": SIGNAL, "y": OTHER}, SIGNAL, NEW) == {"n": COUNTS, "x": NEW, "y": OTHER}
    assert replace_tensor(Plain(SIGNAL, "kept"), SIGNAL, NEW).note == "kept"


def test_result_type_of_torch_is_kept():
    output = torch.max(torch.eye(2), 1)
    replaced = replace_tensor(output, output.values, NEW)
    assert replaced.values is NEW
    assert replaced.indices is output.indices


def test_dataclass_is_not_made_again():
    output = Checked(SIGNAL)
    output.made = 7
    assert replace_tensor(output, SIGNAL, NEW).made == 7


@pytest.mark.parametrize(
    "output", [None, 3, "text", COUNTS, (COUNTS, None), {}, Plain, pytest.param(object(), id="object")], ids=str
)
def test_output_without_floating_point_tensor_has_none(output):
    assert find_tensor(output) is None


# Layers of torch


def outputs_with_and_without_noise(module, inputs):
    noisify(module, sigma=1.0, layers="0", inputs=inputs)
    noisy = module(*inputs)
    with noise_off(module):
        return noisy, module(*inputs)


class Wrapper(nn.Sequential):
    """Calls its only module with all arguments."""

    def forward(self, *args, **kwargs):
        return self[0](*args, **kwargs)


@pytest.mark.parametrize("recurrent", [nn.LSTM, nn.GRU, nn.RNN])
def test_noise_of_a_recurrent_layer_is_in_its_outputs_not_in_its_last_state(recurrent):
    noisy, plain = outputs_with_and_without_noise(Wrapper(recurrent(4, 3)), (torch.ones(5, 2, 4),))
    assert (noisy[0] != plain[0]).all()
    if recurrent is nn.LSTM:
        assert all(torch.equal(*states) for states in zip(noisy[1], plain[1], strict=True))
    else:
        assert torch.equal(noisy[1], plain[1])


def test_noise_of_attention_is_in_its_output_not_in_its_weights():
    x = torch.ones(5, 2, 4)
    noisy, plain = outputs_with_and_without_noise(Wrapper(nn.MultiheadAttention(4, 1)), (x, x, x))
    assert (noisy[0] != plain[0]).all()
    assert torch.equal(noisy[1], plain[1])


class LastStep(nn.Module):
    def forward(self, output):
        return output[0][:, -1]


def test_signal_of_a_recurrent_layer_has_its_outputs():
    model = nn.Sequential(nn.LSTM(4, 3, batch_first=True), LastStep(), nn.Linear(3, 2))
    signal = propagate(noisify(model, sigma=0.1, layers="0"), torch.ones(6, 5, 4), draws=2)["0"]
    with torch.no_grad():
        assert torch.equal(signal[:, 0], model[0].forward(torch.ones(6, 5, 4))[0].flatten(1))


def test_layer_of_indices_is_listed_without_a_shape():
    rows = list(layers(nn.Sequential(nn.Identity(), nn.Embedding(5, 2)), COUNTS))
    assert [row.shape for row in rows] == [(), (2, 2)]


# Nested tensors


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 8, padding_idx=0), nn.Linear(8, 2)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)

    def forward(self, tokens):
        hidden = self.encoder(self.embedding(tokens), src_key_padding_mask=tokens == 0)
        return self.head(hidden.mean(1))


TOKENS = torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0], [6, 7, 8, 0]])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
@pytest.mark.parametrize("layer", ["encoder.layers.0.linear1", "encoder.layers.0", "encoder"])
def test_encoder_that_nests_padded_tokens_has_noise_in_evaluation_mode(layer):
    model = noisify(Encoder().eval(), sigma=0.5, layers=layer)
    with torch.no_grad():
        assert not torch.equal(model(TOKENS), model(TOKENS))
        assert list(noise_of(model)) == [layer]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
def test_padded_encoder_that_nests_tokens_is_measured_with_zeros_at_padding():
    model = noisify(Encoder().eval(), sigma=0.5, layers="encoder.layers.0.linear1")
    signals = propagate(model, TOKENS, draws=2)["encoder.layers.0.linear1"].reshape(3, 2, 4, 16)
    assert (signals != 0).any(3).equal((TOKENS != 0)[:, None].expand(3, 2, 4))


class Nesting(nn.Module):
    def forward(self, rows):
        return torch.nested.nested_tensor(list(rows))


class Padding(nn.Module):
    def forward(self, nested):
        return nested.to_padded_tensor(0.0)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
def test_nested_signal_is_refused_in_a_measurement():
    model = noisify(nn.Sequential(Nesting(), Padding(), nn.Linear(4, 2)), sigma=0.5, layers="0")
    with pytest.raises(LayerSelectionError, match=r"returns a nested tensor.*enable_nested_tensor=False"):
        propagate(model, torch.ones(3, 4), draws=2)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_signal_has_noise_at_every_value(layout):
    model = noisify(nn.Sequential(nn.Identity(), nn.Identity()), sigma=1.0, layers="0")
    nested = torch.nested.nested_tensor([torch.zeros(3, 4), torch.zeros(2, 4)], layout=layout)
    assert all(part.all() for part in model(nested).unbind())
