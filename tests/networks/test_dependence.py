"""Which inputs, random draws and noisy values act on each layer, found by the operations of two observed passes."""

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from layerbits import noisify
from layerbits.networks import noisy_network, read_inputs

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))

pytestmark = pytest.mark.usefixtures("one_thread")


class Forward(nn.Module):
    """A network with layers a, b, c, a linear map and a forward method given as a function of the network and input."""

    def __init__(self, forward):
        super().__init__()
        self.given_forward = forward
        self.a, self.b, self.c, self.linear = nn.Tanh(), nn.Tanh(), nn.Tanh(), nn.Linear(4, 4)
        self.register_buffer("memory", torch.zeros(1, 4))

    def forward(self, x):
        return self.given_forward(self, x)


def graph(model, layers=nn.Tanh, inputs=INPUTS):
    noisy = noisify(model, sigma=0.1, layers=layers)
    return noisy_network(noisy, read_inputs(inputs, noisy)).dependence


def cuts(forward):
    """Return the layers that are a cut before b and c, as one string for each."""
    dependence = graph(Forward(forward), ["a", "b", "c"])
    assert not dependence.unknown
    return "".join(dependence.cuts("b")), "".join(dependence.cuts("c"))


def reason(forward):
    """Return why the graph is unknown; of an unknown graph no layer is a cut, a function of the input or of another."""
    dependence = graph(Forward(forward), ["a", "b", "c"])
    assert dependence.cuts("c") == ()
    assert not dependence.is_function_of_input("a")
    assert not dependence.is_function_of("b", "a")
    return dependence.unknown


# Paths


def gate_that_is_closed_for_these_inputs(net, x):
    return net.c(net.b(net.a(x) + functional.hardshrink(x, 100.0)))


def skip_past_b(net, x):
    a = net.a(x)
    return net.c(net.b(a) + 1e-30 * a)


def input_in_a_part_of_a_new_tensor(net, x):
    values = torch.zeros(len(x), 4)
    values[:, 3:] = x[:, 3:]
    values[:, :2] = net.a(x)[:, :2]
    return net.c(net.b(values))


def input_by_an_operation_with_out(net, x):
    values = torch.empty(len(x), 4)
    torch.add(net.a(x), x, out=values)
    return net.c(net.b(values))


def input_added_in_place_to_a_view(net, x):
    values = net.a(x)
    values[:, 0].add_(x[:, 0])
    return net.c(net.b(values))


def selection_by_the_input(net, x):
    return net.c(net.b(torch.where(x > 0, net.a(x), torch.zeros(()))))


def indices_by_the_input(net, x):
    return net.c(net.b(torch.gather(net.a(x), 1, x.argsort(1))))


def same_layers_with_tied_weights(net, x):
    return net.c(net.linear(net.b(net.linear(net.a(net.linear(x))))))


def shape_and_type_of_the_input(net, x):
    return net.c(net.b(net.a(x) + torch.zeros_like(x) + x.new_ones(len(x), 4) + torch.full_like(x, 2.0) * x.shape[1]))


def memory_of_the_input_overwritten(net, x):
    values = net.linear(x)
    a = net.a(values)
    values.copy_(a)
    return net.c(net.b(values))


def signal_left_in_the_memory_of_a(net, x):
    values = net.linear(x)
    torch.tanh_(values)
    a = net.a(values)
    return net.c(net.b(a) + values)


def parallel_branches(net, x):
    return net.c(net.a(x) + net.b(x))


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (gate_that_is_closed_for_these_inputs, ("", "b")),
        (skip_past_b, ("a", "a")),
        (input_in_a_part_of_a_new_tensor, ("", "b")),
        (input_by_an_operation_with_out, ("", "b")),
        (input_added_in_place_to_a_view, ("", "b")),
        (selection_by_the_input, ("", "b")),
        (indices_by_the_input, ("", "b")),
        (same_layers_with_tied_weights, ("a", "ab")),
        (shape_and_type_of_the_input, ("a", "ab")),
        (memory_of_the_input_overwritten, ("a", "ab")),
        (signal_left_in_the_memory_of_a, ("a", "")),
        (parallel_branches, ("", "")),
    ],
)
def test_every_path_counts_whatever_values_take_it(forward, expected):
    assert cuts(forward) == expected


# Random numbers of the network


def one_random_sign_of_both_layers(net, x):
    sign = 2 * torch.randint(2, (len(x), 1)) - 1.0
    return net.c(net.b(sign * net.a(sign * x)))


def random_numbers_of_each_layer_alone(net, x):
    return net.c(net.b(functional.dropout(net.a(functional.dropout(x)))))


def random_numbers_that_are_drawn_again_after_one_seed(net, x):
    def draw():
        torch.manual_seed(5)
        return torch.randn(len(x), 1)

    return net.c(net.b(draw() * net.a(draw() * x)))


def random_numbers_of_generators_with_one_seed(net, x):
    def draw():
        return torch.randn(len(x), 1, generator=torch.Generator().manual_seed(3))

    return net.c(net.b(draw() * net.a(draw() * x)))


def attention_without_dropout(net, x):
    values = net.a(x)[:, None, None]
    return net.c(net.b(functional.scaled_dot_product_attention(values, values, values)[:, 0, 0]))


def noise_of_a_layer_that_does_not_depend_on_the_input(net, x):
    sign = net.a(torch.zeros_like(x))
    return net.c(sign * net.b(sign + x))


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (one_random_sign_of_both_layers, ("", "b")),
        (random_numbers_of_each_layer_alone, ("a", "ab")),
        (random_numbers_of_generators_with_one_seed, ("", "b")),
        (attention_without_dropout, ("a", "ab")),
        (noise_of_a_layer_that_does_not_depend_on_the_input, ("", "")),
    ],
)
def test_random_numbers_that_act_on_two_layers_are_a_path(forward, expected):
    assert cuts(forward) == expected


def test_draws_after_one_seed_are_refused():
    assert "sets the seed" in reason(random_numbers_that_are_drawn_again_after_one_seed)


def test_layer_with_random_numbers_is_no_function_of_the_input():
    dependence = graph(Forward(random_numbers_of_each_layer_alone), ["a", "b", "c"])
    assert not dependence.is_function_of_input("a")
    assert not dependence.is_function_of("b", "a")
    assert dependence.is_function_of("c", "b")


def test_attention_without_dropout_is_a_function_of_its_arguments():
    assert graph(Forward(attention_without_dropout), ["a", "b", "c"]).is_function_of("b", "a")


def test_both_of_two_branches_on_the_input_are_functions_of_the_input():
    dependence = graph(Forward(parallel_branches), ["a", "b", "c"])
    assert [dependence.is_function_of_input(layer) for layer in "abc"] == [True, True, False]


# Values that leave torch


def number(net, x):
    a = net.a(x)
    return net.c(net.b(a * float(a.sum())))


def truth_value(net, x):
    a = net.a(x)
    return net.c(net.b(a) if x.sum() > 1e6 else net.b(2 * a))


def list_of_numbers(net, x):
    return net.c(net.b(net.a(x) * len(x.tolist())))


def numpy_copy(net, x):
    return net.c(net.b(net.a(x) + torch.from_numpy(np.sin(x.numpy(force=True)))))


def size_of_a_selection(net, x):
    return net.c(net.b(net.a(x) / (1 + x[x > 0].numel())))


def number_of_places(net, x):
    return net.c(net.b(net.a(x) / (1 + len(x.nonzero()))))


def random_branch(net, x):
    return net.c(net.b(2 * net.a(x)) if torch.rand(()) > 2 else net.b(net.a(x)))


def number_of_another_generator(net, x):
    return net.c(net.b(random.random() * net.a(x)))


def array_of_another_generator(net, x):
    return net.c(net.b(torch.tensor(np.random.rand(4), dtype=x.dtype) * net.a(x)))  # noqa: NPY002


def rare_number_of_another_generator(net, x):
    return net.c(net.b(net.a(x) + (x if random.random() < 1e-9 else 0)))


def own_generator_of_numpy(net, x, generator=np.random.default_rng(1)):  # noqa: B008 - one generator for all passes
    return net.c(net.b(generator.normal() * net.a(x)))


def values_of_the_last_pass(net, x):
    a = net.a(net.linear(x) + net.memory.mean(0))
    net.memory = a.clone()
    return net.c(net.b(a))


def values_of_the_last_pass_in_a_buffer(net, x):
    a = net.a(net.linear(x) + net.memory)
    net.memory.copy_(a[:1])
    return net.c(net.b(a))


def values_of_another_thread(net, x):
    with ThreadPoolExecutor(1) as pool:
        values = pool.submit(torch.sin, x).result()
    return net.c(net.b(net.a(x) + values))


def memory_written_outside_of_torch(net, x):
    values = torch.empty(len(x), 4)
    with torch._C.DisableTorchFunction():
        values.numpy()[:] = x.numpy(force=True)
    return net.c(net.b(net.a(x) + values))


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (number, "may branch on values"),
        (truth_value, "may branch on values"),
        (list_of_numbers, "may branch on values"),
        (numpy_copy, "may branch on values"),
        (size_of_a_selection, "may branch on values"),
        (number_of_places, "may branch on values"),
        (random_branch, "may branch on values"),
        (number_of_another_generator, "generator of Python or NumPy"),
        (array_of_another_generator, "generator of Python or NumPy"),
        (rare_number_of_another_generator, "generator of Python or NumPy"),
        (own_generator_of_numpy, "runs other operations"),
        (values_of_the_last_pass, "keeps values from one pass to the next"),
        (values_of_the_last_pass_in_a_buffer, "keeps values from one pass to the next"),
        (values_of_another_thread, "tensors that operations of the pass did not make"),
        (memory_written_outside_of_torch, "no operation of torch has written"),
    ],
)
def test_network_whose_operations_cannot_be_followed_has_no_chain(forward, expected):
    assert expected in reason(forward)


def rare_generator_of_a_module(net, x):
    return net.c(net.b(net.a(x) + (x if net.generator.random() < 1e-9 else 0)))


@pytest.mark.parametrize("generator", [random.Random(1), np.random.default_rng(1), np.random.RandomState(1)])
def test_generator_that_is_an_attribute_of_a_module_is_found(generator):
    model = Forward(rare_generator_of_a_module)
    model.generator = generator
    assert "generator of Python or NumPy" in graph(model).unknown


def test_buffer_that_every_pass_overwrites_keeps_no_values():
    def forward(net, x):
        net.memory[:] = net.a(x)[:1]
        return net.c(net.b(net.memory.expand(len(x), 4)))

    assert cuts(forward) == ("a", "ab")


def test_table_that_the_first_pass_makes_and_parameters_are_constants():
    def forward(net, x):
        if not hasattr(net, "table"):
            net.table = torch.arange(4.0).cos()
        return net.c(net.b(net.linear(net.a(x) * net.table + torch.tensor([1.0, 2.0, 3.0, 4.0]))))

    assert cuts(forward) == ("a", "ab")


# Ordinary networks


class Residual(nn.Module):
    """Blocks x + branch(x); the noise is on the sums (`Identity`) or in the branches (`ReLU`)."""

    def __init__(self, inplace=True):
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(2, 2, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(3))
        self.relus = nn.ModuleList(nn.ReLU(inplace=inplace) for _ in range(3))
        self.sums = nn.ModuleList(nn.Identity() for _ in range(3))

    def forward(self, x):
        for convolution, norm, relu, total in zip(self.convolutions, self.norms, self.relus, self.sums, strict=True):
            x = total(x + relu(norm(convolution(x))))
        return x.mean((2, 3))


IMAGES = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(2))


def all_cuts(dependence):
    return [dependence.cuts(layer) for layer in dependence.sources]


def is_chain_of(dependence, *names):
    return all_cuts(dependence) == [names[:index] for index in range(len(names))]


def test_noise_on_the_sums_of_a_residual_network_makes_a_chain():
    dependence = graph(Residual(), nn.Identity, IMAGES)
    assert is_chain_of(dependence, "sums.0", "sums.1", "sums.2")
    assert dependence.is_function_of("sums.1", "sums.0")


@pytest.mark.parametrize("inplace", [False, True])
def test_noise_in_the_branches_of_a_residual_network_makes_no_chain(inplace):
    dependence = graph(Residual(inplace), nn.ReLU, IMAGES)
    assert all_cuts(dependence) == [(), (), ()]
    assert dependence.is_function_of_input("relus.0")
    assert not dependence.is_function_of_input("relus.1")


@pytest.mark.parametrize("inplace", [False, True])
def test_convolutional_network_is_a_chain(inplace):
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(3, 4), nn.ReLU(inplace), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2),
    )  # fmt: skip
    assert is_chain_of(graph(model, [nn.ReLU, nn.Tanh], IMAGES), "2", "7", "9")


class Encoder(nn.Module):
    """Pre-norm transformer blocks with `torch.nn.functional` attention and learnt positions."""

    def __init__(self):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(7, 4), nn.Parameter(torch.randn(5, 4))
        self.attention = nn.ModuleList(nn.MultiheadAttention(4, 2, dropout=0.1, batch_first=True) for _ in range(2))
        self.norms, self.gelu = nn.ModuleList(nn.LayerNorm(4) for _ in range(2)), nn.GELU()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 4)
        self.streams = nn.ModuleList(nn.Identity() for _ in range(2))

    def forward(self, tokens):
        x = self.embedding(tokens) + self.positions
        mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
        for attention, norm, stream in zip(self.attention, self.norms, self.streams, strict=True):
            y = norm(x)
            x = x + attention(y, y, y, attn_mask=mask, need_weights=False)[0]
            x = stream(x + self.last(self.gelu(self.first(norm(x)))))
        return x.mean(1)


TOKENS = torch.randint(7, (4, 5), generator=torch.Generator().manual_seed(3))


def test_noise_on_the_stream_of_a_transformer_makes_a_chain():
    assert is_chain_of(graph(Encoder(), nn.Identity, TOKENS), "streams.0", "streams.1")


def test_noise_in_the_blocks_of_a_transformer_makes_no_chain():
    assert all_cuts(graph(Encoder(), nn.GELU, TOKENS)) == [(), ()]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_other_output_of_a_recurrent_layer_is_a_path(kind):
    class Network(nn.Module):
        def __init__(self, uses_state):
            super().__init__()
            self.rnn, self.tanh, self.uses_state = kind(4, 4, batch_first=True), nn.Tanh(), uses_state

        def forward(self, x):
            output, state = self.rnn(x)
            last = state[0] if isinstance(state, tuple) else state
            return self.tanh(output[:, -1] + (last[0] if self.uses_state else 0)).sum(1)

    sequences = torch.randn(4, 3, 4)
    assert graph(Network(uses_state=False), ["rnn", "tanh"], sequences).cuts("tanh") == ("rnn",)
    assert graph(Network(uses_state=True), ["rnn", "tanh"], sequences).cuts("tanh") == ()


def test_layer_called_twice_is_two_layers():
    model = Forward(lambda net, x: net.a(net.linear(net.a(x))))
    assert is_chain_of(graph(model, ["a", "a@2"]), "a", "a@2")


def test_functional_layers_in_place_are_a_chain():
    class Functions(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            values = self.first(x)
            functional.relu(values, inplace=True)
            values = self.second(values)
            torch.tanh_(values)
            return values.sum(1)

    assert is_chain_of(graph(Functions(), None), "relu", "tanh")


@pytest.mark.parametrize("wrap", [partial(torch.compile, backend="eager"), nn.DataParallel])
def test_wrapped_network_has_the_graph_of_the_network(wrap):
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    noisy = noisify(model, sigma=0.1)
    wrapped = wrap(noisy)
    assert is_chain_of(noisy_network(wrapped, read_inputs(INPUTS, noisy)).dependence, "1", "3")


def test_single_input_is_enough():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    assert is_chain_of(graph(model, inputs=INPUTS[:1]), "1", "3")
