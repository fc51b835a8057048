"""Layers whose output has no signal are refused by name in the observed pass, with what they return."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from layerbits import LayerSelectionError, RelativeSigma, layer_activations, layer_information, noise_of, noisify

SEQUENCES = torch.ones(2, 3, 4)


class Packed(nn.Module):
    def forward(self, x):
        return pack_padded_sequence(x, torch.full((len(x),), x.shape[1]), batch_first=True)


@pytest.mark.parametrize("layer", ["0", "1"])
@pytest.mark.parametrize(
    "make",
    [
        lambda model, layer: noisify(model, sigma=0.1, layers=layer, inputs=SEQUENCES),
        lambda model, layer: noisify(model, sigma=0.1, layers=layer)(SEQUENCES),
    ],
    ids=["inputs", "first call"],
)
def test_packed_sequence_is_refused_by_name_in_the_observed_pass(layer, make):
    model = nn.Sequential(Packed(), nn.GRU(4, 3, batch_first=True))
    with pytest.raises(LayerSelectionError, match=f"^layers: got '{layer}', which returns a PackedSequence"):
        make(model, layer)


class Returns(nn.Module):
    """Returns the value of a function of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


CONTAINERS = "wanted a floating-point tensor, or a tuple, .* or dataclass that contains one; select other layers$"
DENSE = r"wanted a dense one; return it \.to_dense\(\), or select other layers$"
NO_SIGNALS = {
    "nothing": (lambda x: None, f"None, {CONTAINERS}"),
    "object": (lambda x: object(), rf"object, {CONTAINERS}"),
    "complex": (lambda x: x + 0j, r"a tensor of torch\.complex64, wanted floating-point values; select other layers$"),
    "integers": (lambda x: (x.long(),), f"tuple, {CONTAINERS}"),
    "sparse": (lambda x: x.to_sparse(), rf"a tensor of layout torch\.sparse_coo, {DENSE}"),
    "float8": (
        lambda x: x.to(torch.float8_e5m2),
        r"a tensor of torch\.float8_e5m2, wanted float16, bfloat16, .* layers$",
    ),
    "meta": (
        lambda x: torch.empty_like(x, device="meta"),
        "a tensor on the meta device, wanted values; select other la",
    ),
}


@pytest.mark.parametrize(("function", "message"), NO_SIGNALS.values(), ids=NO_SIGNALS)
def test_layer_without_a_signal_is_refused_with_what_it_returns(function, message):
    model, inputs = nn.Sequential(nn.Linear(2, 2), Returns(function)), torch.ones(2, 2)
    for call in (noisify, layer_information):
        with pytest.raises(LayerSelectionError, match=f"^layers: got '1', which returns {message}"):
            call(model, inputs=inputs, sigma=0.1, layers="1")
    with pytest.raises(LayerSelectionError, match=f"^layers: got '1', which returns {message}"):
        layer_activations(model, inputs, layers="1")


@pytest.mark.parametrize(("function", "message"), NO_SIGNALS.values(), ids=NO_SIGNALS)
def test_later_pass_without_a_signal_is_refused_with_what_the_layer_returns(function, message):
    model = noisify(nn.Sequential(nn.Linear(2, 2), Returns(abs)), sigma=0.1, layers="1", inputs=torch.ones(2, 2))
    model[1].function = function
    with pytest.raises(LayerSelectionError, match=f"^layers: got '1', which returns {message}"):
        model(torch.ones(2, 2))


class Beside(nn.Module):
    """Calls a module without using its output."""

    def __init__(self, function):
        super().__init__()
        self.first, self.beside, self.last = nn.Linear(2, 2), Returns(function), nn.Linear(2, 2)

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        self.beside(hidden)
        return self.last(hidden)


@pytest.mark.parametrize("function", [function for function, _ in NO_SIGNALS.values()], ids=NO_SIGNALS)
def test_layer_without_a_signal_that_is_not_selected_does_no_harm(function):
    model, inputs = Beside(function), torch.eye(2)
    assert layer_information(model, inputs, sigma=0.1, layers="tanh", draws=2).layers == ("tanh",)
    assert list(layer_activations(model, inputs, layers="tanh")) == ["tanh"]
    assert list(noise_of(noisify(model, sigma=RelativeSigma(0.1), layers="tanh", inputs=inputs))) == ["tanh"]
    model(inputs)
