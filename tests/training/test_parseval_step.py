"""The Parseval step compared with its formula and its scalar recursion, for every kind of layer; refused weights."""

import copy
import math
import re

import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits._base import UsageError
from tests.support.random_arrays import normal_tensor
from tests.support.weight_matrices import (
    assert_close,
    convolutional_network,
    linear,
    matrix_of_singular_values,
    parseval_step,
)

STRENGTHS = [3e-4, 0.1, 0.5]


@pytest.mark.parametrize(("rows", "columns"), [(4, 7), (7, 4), (5, 5)], ids=["narrowing", "widening", "square"])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_orthonormal_rows_or_columns_do_not_change(strength, rows, columns):
    weight, *_ = matrix_of_singular_values(torch.ones(min(rows, columns), dtype=torch.float64), rows, columns)
    layer = linear(weight)
    lb.ParsevalRegularizer(layer, strength=strength).step()
    assert_close(layer.weight.detach(), weight)


@pytest.mark.parametrize(("rows", "columns"), [(4, 7), (7, 4)], ids=["narrowing", "widening"])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_singular_values_follow_the_scalar_recursion_and_singular_vectors_do_not_change(strength, rows, columns):
    values = torch.tensor([0.0, 0.3, 1.2, 1.6], dtype=torch.float64)
    weight, left, right = matrix_of_singular_values(values, rows, columns)
    layer = linear(weight)
    parseval = lb.ParsevalRegularizer(layer, strength=strength)
    for _ in range(20):
        parseval.step()
        values = (1 + strength) * values - strength * values**3
    # The rounding error of the singular value 0 grows by the factor 1.5^20 = 3300 at strength 1/2.
    torch.testing.assert_close(layer.weight.detach(), left @ torch.diag(values) @ right.T, atol=1e-11, rtol=0)


def test_weights_become_orthonormal():
    model = convolutional_network().double()
    parseval = lb.ParsevalRegularizer(model, strength=0.1)
    # The singular values are from 0.2 to 1.6. Small ones grow by the factor 1.1 per step, and near 1 the deviation
    # shrinks by the factor 0.8 per step: after 200 steps it is far below 1e-9.
    for _ in range(200):
        parseval.step()
    for weight in (model[0].weight.flatten(1), model[4].weight, model[6].weight):
        torch.testing.assert_close((weight @ weight.T).detach(), torch.eye(len(weight)).double(), atol=1e-8, rtol=0)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "kind",
    [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d],
)
def test_kernel_is_stepped_as_the_matrix_of_each_group(kind, groups):
    conv = kind(4, 6, 2, groups=groups).double()
    before = conv.weight.detach().clone()
    lb.ParsevalRegularizer(conv, strength=0.3).step()
    expected = [parseval_step(part.flatten(1), 0.3).reshape(part.shape) for part in before.chunk(groups)]
    assert_close(conv.weight.detach(), torch.cat(expected))


def test_kernel_of_another_memory_format_is_stepped():
    conv = nn.Conv2d(3, 5, 2).double().to(memory_format=torch.channels_last)
    before = conv.weight.detach().clone()
    lb.ParsevalRegularizer(conv, strength=0.3).step()
    assert_close(conv.weight.detach(), parseval_step(before.flatten(1), 0.3).reshape(before.shape))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.complex128])
def test_weights_in_other_precisions_and_complex_weights_are_stepped(dtype):
    values = torch.complex(normal_tensor(4, 6) / 3, normal_tensor(4, 6, seed=1) / 3)
    weight = values if dtype.is_complex else values.real.to(dtype)
    layer = linear(weight)
    lb.ParsevalRegularizer(layer, strength=0.3).step()
    exact = parseval_step(weight.to(torch.complex128), 0.3)
    # Sums of 6 and 4 products of numbers below 1, each rounded at most twice.
    difference = (layer.weight.detach().to(torch.complex128) - exact).abs().max()
    assert difference < 20 * torch.finfo(dtype).eps
    assert (weight.to(torch.complex128) - exact).abs().max() > 3 * difference


@pytest.mark.parametrize("strength", [0.01, 0.1, 0.5])
def test_singular_value_below_the_limit_converges_to_one_or_minus_one(strength):
    layer = linear(torch.tensor([[0.99 * math.sqrt((2 + strength) / strength)]], dtype=torch.float64))
    parseval = lb.ParsevalRegularizer(layer, strength=strength)
    # The square shrinks at least by the factor 1 - 4 (1 - 0.99^2) = 0.92 per step, until the recursion near 1 applies.
    for _ in range(math.ceil(40 / strength)):
        parseval.step()
    assert layer.weight.abs().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("excess", [1.001, 1e200])
def test_singular_value_beyond_the_limit_is_refused_before_any_weight_changes(strength, excess):
    size = excess * math.sqrt((2 + strength) / strength)
    model = nn.Sequential(linear(normal_tensor(5, 4) / 5), nn.Tanh(), linear(size * torch.eye(5, dtype=torch.float64)))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UsageError, match=rf"strength: got {strength:g}, wanted less, .* '2' has a singular value of"):
        lb.ParsevalRegularizer(model, strength=strength).step()
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("group", [0, 1])
def test_one_group_beyond_the_limit_is_refused(group):
    conv = nn.Conv1d(4, 4, 1, groups=2)
    with torch.no_grad():
        conv.weight.mul_(0.1)[2 * group] += 7
    with pytest.raises(UsageError, match="singular value of"):
        lb.ParsevalRegularizer(conv, strength=0.1).step()


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (torch.float64, 7.0), (torch.float64, 1e200), (torch.float32, 2.0**70), (torch.bfloat16, 2.0**70),
        (torch.float16, 4096.0),
    ],
)  # fmt: skip
def test_message_gives_the_largest_singular_value(dtype, size):
    layer = linear(torch.diag(torch.tensor([0.5, size, 1], dtype=dtype)))
    with pytest.raises(UsageError, match=re.escape(f"singular value of {size:g}, and from 2.23607 on")):
        lb.ParsevalRegularizer(layer, strength=0.5).step()


def test_float16_is_stepped_where_its_gram_matrix_overflows():
    weight = torch.tensor([[300.0, 0.0], [0.0, 1.0]], dtype=torch.float16)  # 300^2 > 65504, the largest float16
    layer = linear(weight)
    lb.ParsevalRegularizer(layer, strength=1e-5).step()
    exact = parseval_step(weight.double(), 1e-5)
    # The last rounding is to float16, in which the spacing at 300 is 1/4.
    assert (layer.weight.detach().double() - exact).abs().max() <= 0.126


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(UsageError, match="singular value of nan"):
        lb.ParsevalRegularizer(linear(torch.tensor([[math.nan, 1.0]]))).step()


def test_limit_applies_to_singular_values_and_not_to_their_upper_bound():
    strength = 0.5
    values = torch.linspace(0.1, 2.2, 60, dtype=torch.float64)
    weight, *_ = matrix_of_singular_values(values, 60, 60)
    assert torch.linalg.matrix_norm(weight @ weight.T, math.inf) > 2 * (2 + strength) / strength
    layer = linear(weight)
    lb.ParsevalRegularizer(layer, strength=strength).step()
    assert_close(layer.weight.detach(), parseval_step(weight, strength))
