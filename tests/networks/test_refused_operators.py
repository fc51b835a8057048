"""Operators that run functions, and quantized networks, are refused by name, with a remedy that works."""

import pytest
import torch
from torch import nn
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.functional import scaled_dot_product_attention

import layerbits as lb
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(20, 4, seed=7).float()

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile"),
    pytest.mark.filterwarnings("ignore:.*torch.ao.quantization"),
    pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions"),
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max"),
    pytest.mark.filterwarnings("ignore:.*TypedStorage is deprecated"),
]


class Network(nn.Module):
    """A network whose first layer has the input `function(x)`."""

    def __init__(self, function):
        super().__init__()
        self.function, self.linear, self.act, self.head = function, nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.act(self.linear(self.function(x))))


def tokens(x):
    return x[:, None, :, None].expand(-1, 1, 4, 16).contiguous()


OPERATORS = {
    "cond": (
        lambda x: torch.cond(x[0, 0] > 0, lambda y: 2 * y, lambda y: 3 * y, (x,)),
        lambda x: torch.where(x[:, :1] > 0, 2 * x, 3 * x),
    ),
    "while_loop": (
        lambda x: while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, 2 * y), (torch.tensor(0), x))[1],
        lambda x: [x := 2 * x for _ in range(3)][-1],
    ),
    "flex_attention": (
        lambda x: flex_attention(tokens(x), tokens(x), tokens(x))[:, 0, :, 0],
        lambda x: scaled_dot_product_attention(tokens(x), tokens(x), tokens(x))[:, 0, :, 0],
    ),
}

CALLS = {
    "layers": lambda model: lb.layers(model, INPUTS),
    "noisify": lambda model: lb.noisify(model, sigma=0.3, inputs=INPUTS),
    "first call": lambda model: lb.noisify(model, sigma=0.3)(INPUTS),
    "activations": lambda model: lb.layer_activations(model, INPUTS),
    "measurement": lambda model: lb.layer_information(model, INPUTS, sigma=0.3, draws=2),
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_operator_that_runs_functions_is_refused_and_its_remedy_works(call, name):
    operator, remedy = OPERATORS[name]
    with pytest.raises(
        lb.LayerSelectionError, match=rf"^model: got the operator {name}, which runs functions .*replace"
    ):
        call(Network(operator))
    call(Network(remedy))


def quantized():
    """Return a network before quantization, with dynamic quantization, and with static quantization."""
    from torch.ao import quantization

    plain = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 2)).eval()
    dynamic = quantization.quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8)
    static = nn.Sequential(quantization.QuantStub(), *plain, quantization.DeQuantStub())
    static.qconfig = quantization.get_default_qconfig(torch.backends.quantized.engine)
    prepared = quantization.prepare(static)
    prepared(INPUTS)
    return plain, dynamic, quantization.convert(prepared)


@pytest.mark.parametrize("call", [CALLS["activations"], CALLS["measurement"]], ids=["activations", "measurement"])
def test_quantized_network_is_refused_and_its_remedy_works(call):
    plain, dynamic, static = quantized()
    # The scale of a dynamic quantization is that of the largest value of a batch.
    with pytest.raises(ValueError, match=r"^model: got a quantized network .* as it was before quantization"):
        call(dynamic)
    for call_static in (call, lb.layer_information, lb.propagate):
        with pytest.raises(TypeError, match=r"^model: .* weights are all quantized .*; pass the network as it was"):
            call_static(static) if call_static is call else call_static(static, INPUTS)
    call(plain)


@pytest.mark.parametrize("inputs", [None, INPUTS], ids=["first call", "inputs"])
def test_noise_of_a_quantized_network_is_refused_before_its_first_pass(inputs):
    plain, dynamic, static = quantized()
    with pytest.raises(TypeError, match=r"^model: got a network whose weights are all quantized \(torch\.ao\."):
        lb.noisify(static, sigma=0.1, inputs=inputs)
    for network in (plain, dynamic):
        lb.noisify(network, sigma=0.1, inputs=inputs)(INPUTS)


def test_noise_of_a_quantized_part_is_refused_in_the_observed_pass():
    static = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), quantized()[2])
    with pytest.raises(
        lb.LayerSelectionError, match=r"^layers: got '2\.2', which .* torch.quint8, .* as it was before quant"
    ):
        lb.noisify(static, sigma=0.1, inputs=INPUTS)
    lb.noisify(static, sigma=0.1, layers="1", inputs=INPUTS)(INPUTS)


def test_layers_of_a_quantized_network_are_listed():
    table = lb.layers(quantized()[2], INPUTS)
    n_units = {"0": 4, "1": 8, "2": 8, "3": 3, "4": 3, "5": 2, "6": 2}
    assert {row.name: row.shape for row in table} == {name: (len(INPUTS), d) for name, d in n_units.items()}
