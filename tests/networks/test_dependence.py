"""Which inputs, random numbers and noisy values act on each layer, found by the operations of two observed passes."""

import pytest
import torch
from torch.nn import functional

from tests.support.dependence import Forward, cuts, graph, reason

pytestmark = pytest.mark.usefixtures("one_thread")


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
