"""Networks whose operations cannot be followed, because values leave torch or stay from pass to pass."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.dependence import Forward, cuts, graph, reason

pytestmark = pytest.mark.usefixtures("one_thread")


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


def number_of_equal_rows(net, x):
    return net.c(net.b(net.a(x) / (1 + len(torch.unique_consecutive((x > 0).int(), dim=0)))))


def size_of_a_split(net, x):
    first, _ = torch.tensor_split(net.a(x), (x.sum() > 1e6).long().reshape(1))
    return net.c(net.b(net.a(x) + len(first)))


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
        (number_of_equal_rows, "may branch on values"),
        (size_of_a_split, "may branch on values"),
        (random_branch, "may branch on values"),
        (number_of_another_generator, "generator of Python or NumPy"),
        (array_of_another_generator, "generator of Python or NumPy"),
        (rare_number_of_another_generator, "generator of Python or NumPy"),
        (own_generator_of_numpy, "generator of Python or NumPy"),
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


class Lengths(nn.Module):
    """A recurrent network of rows of different lengths, (rows, 5, 4) and (rows,)."""

    def __init__(self):
        super().__init__()
        self.recurrent, self.tanh, self.head = nn.GRU(4, 3, batch_first=True), nn.Tanh(), nn.Linear(3, 2)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.tanh(self.recurrent(packed)[1][-1]))


def test_layers_behind_packed_sequences_are_functions_of_the_input():
    """Their number of steps depends on the lengths, so the network may branch, but it is deterministic."""
    inputs = torch.randn(20, 5, 4), torch.arange(20) % 5 + 1
    dependence = graph(Lengths(), inputs=inputs)
    assert dependence.is_deterministic
    assert "may branch on values" in dependence.unknown
    row = lb.layer_information(Lengths(), inputs, sigma=0.3, queries=4)["tanh", "h(T|X)"]
    assert row.lower == row.upper


def test_vector_that_a_scatter_fills_in_part_is_unwritten_memory():
    def forward(net, x):
        order = torch.empty(4, dtype=torch.int64).fill_(0) if net.complete else torch.empty(4, dtype=torch.int64)
        order.scatter_(0, torch.tensor([2, 0, 1, 2]), torch.arange(4))
        return net.c(net.b(net.a(x)[:, order % 4]))

    model = Forward(forward)
    model.complete = True
    assert not graph(model).unknown
    model = Forward(forward)
    model.complete = False
    assert "no operation of torch has written" in graph(model).unknown
