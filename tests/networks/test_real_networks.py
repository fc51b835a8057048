"""Common architectures: their layers, the order of their data, measurements, and the removal of noise."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional

from layerbits import layer_information, layers, noise_of, noisify, propagate, remove_noise
from tests.support.vision import import_transformers

# The activation function of the pooler returns one of the two outputs of these networks.
pytestmark = pytest.mark.filterwarnings("ignore:layers. None leaves out pooler")

TOKENS = torch.arange(30).reshape(6, 5) % 20


class UNet(nn.Module):
    """Two levels, with a skip connection around the lower one."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.bottom = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.top = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
        self.merge = nn.Sequential(nn.Conv2d(4, 2, 3, padding=1), nn.SiLU())
        self.head = nn.Conv2d(2, 1, 1)

    def forward(self, x):
        top = self.top(x)
        bottom = self.bottom(functional.max_pool2d(top, 2))
        return torch.sigmoid(self.head(self.merge(torch.cat([top, self.up(bottom)], 1))))


class ResidualBlock(nn.Module):
    """Calls one activation function twice and adds in place, as blocks of ResNets do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.second(self.relu(self.first(x)))
        out += x
        return self.relu(out)


class DenseExperts(nn.Module):
    """All experts process all rows; a router weights their outputs."""

    def __init__(self, count=3) -> None:
        super().__init__()
        self.router = nn.Sequential(nn.Linear(4, count), nn.Softmax(-1))
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 4)) for _ in range(count))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        outputs = torch.stack([expert(x) for expert in self.experts], -1)
        return self.head((outputs * self.router(x)[:, None]).sum(-1))


class SparseExperts(DenseExperts):
    """Each expert processes the rows that the router assigns to it."""

    def forward(self, x):
        assigned_experts, out = self.router(x).argmax(-1), torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows = (assigned_experts == index).nonzero()[:, 0]
            out = out.index_add(0, rows, expert(x[rows]))
        return self.head(out)


def make(name):
    torch.manual_seed(0)
    if name in ("gpt2", "bert", "albert"):
        transformers = import_transformers()

        small = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "hidden_size": 16}
        if name == "gpt2":
            config = transformers.GPT2Config(
                vocab_size=20, n_positions=8, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1
            )
            return transformers.GPT2LMHeadModel(config)
        if name == "bert":
            return transformers.BertModel(transformers.BertConfig(vocab_size=20, **small))
        return transformers.AlbertModel(transformers.AlbertConfig(vocab_size=20, embedding_size=8, **small))
    return {
        "unet": UNet,
        "resnet": lambda: nn.Sequential(nn.Linear(4, 4), ResidualBlock(), ResidualBlock(), nn.Linear(4, 2)),
        "experts": DenseExperts,
        "sparse experts": SparseExperts,
    }[name]()


ROWS = torch.linspace(-1, 1, 24).reshape(6, 4)
IMAGES = torch.linspace(-1, 1, 6 * 64).reshape(6, 1, 8, 8)

# Inputs and, in the order of the data, the layers that have noise by default.
NETWORKS = {
    "gpt2": (TOKENS, ["transformer.h.0.mlp.act", "transformer.h.1.mlp.act"]),
    "bert": (TOKENS, [f"encoder.layer.{i}.intermediate.intermediate_act_fn" for i in (0, 1)]),
    "albert": (TOKENS, ["encoder.albert_layer_groups.0.albert_layers.0.activation" + end for end in ("", "@2")]),
    "unet": (IMAGES, ["top.2", "bottom.2", "merge.1"]),
    "resnet": (ROWS, ["1.relu", "1.relu@2", "2.relu", "2.relu@2"]),
    "experts": (ROWS, ["experts.0.1", "experts.1.1", "experts.2.1", "router.1"]),
}
each_network = pytest.mark.parametrize(("name", "inputs", "names"), [(key, *value) for key, value in NETWORKS.items()])


def tensor_of(output):
    return output if isinstance(output, torch.Tensor) else output[0]


@each_network
def test_hidden_activation_functions_have_noise_in_the_order_of_the_data(name, inputs, names):
    model = noisify(make(name), sigma=0.1, inputs=inputs)
    # BERT pools by a tanh and returns it beside the output.
    assert [layer for layer in noise_of(model) if "pooler" not in layer] == names
    assert [row.name for row in layers(model, inputs) if row.name in names] == names


@each_network
def test_first_signal_is_that_of_the_network_and_each_signal_has_its_shape(name, inputs, names):
    model = make(name).eval()
    outputs = {}
    handles = [
        model.get_submodule(layer).register_forward_hook(
            lambda module, args, output, layer=layer: outputs.setdefault(layer, output.detach().clone())
        )
        for layer in names
        if "@" not in layer
    ]
    with torch.no_grad():
        model(inputs)
    for handle in handles:
        handle.remove()
    signals = propagate(noisify(model, sigma=0.1, inputs=inputs), inputs, draws=2)
    assert [layer for layer in signals if "pooler" not in layer] == names
    # A pass holds the rows of both draws, so its matrix products may round otherwise. Each of the at most 30 products
    # before the first layer sums at most 64 terms of the size of 1, with an error below 64 ulp of 1.
    assert torch.allclose(signals[names[0]][:, 1], outputs[names[0]].flatten(1), rtol=0, atol=30 * 64 * 2**-24)
    for layer, output in outputs.items():
        assert signals[layer].shape == (6, 2, output[0].numel())


@each_network
def test_network_is_as_before_after_its_noise_is_removed(name, inputs, names):
    model = make(name).eval()
    expected = tensor_of(model(inputs))
    noisify(model, sigma=0.5, inputs=inputs)
    assert not torch.equal(tensor_of(model(inputs)), expected)
    assert torch.equal(tensor_of(remove_noise(model)(inputs)), expected)


@each_network
def test_memory_of_a_deleted_network_is_freed(name, inputs, names):
    model = noisify(make(name), sigma=0.1, inputs=inputs)
    propagate(model, inputs, draws=1)
    parameter = weakref.ref(next(model.parameters()))
    module = weakref.ref(model)
    del model
    gc.collect()
    assert module() is None
    assert parameter() is None


def test_whole_blocks_of_a_transformer_have_noise():
    model = noisify(make("gpt2"), sigma=0.1, layers="transformer.h.*", inputs=TOKENS)
    assert list(noise_of(model)) == ["transformer.h.0", "transformer.h.1"]
    assert {layer: signal.shape[2] for layer, signal in propagate(model, TOKENS, draws=1).items()} == {
        "transformer.h.0": 80,
        "transformer.h.1": 80,
    }


def test_output_of_a_transformer_keeps_its_class_and_its_loss():
    model = make("gpt2")
    before = type(model(TOKENS, labels=TOKENS))
    output = noisify(model, sigma=0.1, inputs={"input_ids": TOKENS})(input_ids=TOKENS, labels=TOKENS)
    assert type(output) is before
    output.loss.backward()
    assert model.transformer.wte.weight.grad is not None


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated")
def test_first_call_fills_a_cache_of_keys_once():
    transformers = import_transformers()

    cache = transformers.DynamicCache()
    noisify(make("gpt2"), sigma=0.1)(TOKENS, past_key_values=cache, use_cache=True)
    assert cache.get_seq_length() == TOKENS.shape[1]


def test_text_generated_with_negligible_noise_is_that_of_the_network():
    model = make("gpt2").eval()
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(TOKENS, **options)
    assert torch.equal(noisify(model, sigma=1e-12).generate(TOKENS, **options), expected)


def test_experts_that_process_a_part_of_the_rows_are_refused_in_a_measurement():
    model = noisify(make("sparse experts"), sigma=0.1, layers="experts.**", inputs=ROWS)
    assert not torch.equal(model(ROWS), model(ROWS))
    message = r"'experts\.\d\.0', whose rows .* \(shape \(\d+, 5\) for 2 inputs\), .*; noisify the network with"
    with pytest.raises(ValueError, match=message):
        propagate(model, ROWS, draws=2)
    # Both remedies of the message.
    assert list(propagate(noisify(model, sigma=0.1, layers="router.1", inputs=ROWS), ROWS, draws=2)) == ["router.1"]
    assert layer_information(remove_noise(model), ROWS, sigma=0.1, layers="router.1")["router.1", "I(X;T)"].lower > 0
