"""The Parseval step against its scalar recursion, on every kind of layer that it takes."""

import copy
import math
import re

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import layerbits as lb
from layerbits._base import LayerSelectionError, UsageError

STRENGTHS = [3e-4, 0.1, 0.5]


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def with_weight(module, weight):
    module.weight = nn.Parameter(weight.clone())
    return module


def linear(weight):
    return with_weight(nn.Linear(weight.shape[1], weight.shape[0], bias=False), weight)


def of_singular_values(values, rows, columns):
    """Make a matrix with random singular vectors and return it with them."""
    left, _ = torch.linalg.qr(random(rows, len(values), seed=1))
    right, _ = torch.linalg.qr(random(columns, len(values), seed=2))
    return left @ torch.diag(values) @ right.T, left, right


def by_formula(matrix, strength):
    return (1 + strength) * matrix - strength * matrix @ matrix.mH @ matrix


def close(actual, expected):
    # Of some steps on matrices of some 10 entries a side, each entry of order 1: far below 1000 roundings.
    torch.testing.assert_close(actual, expected, atol=1000 * torch.finfo(actual.dtype).eps, rtol=0)


def mixed():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3), nn.Tanh(), nn.Linear(3, 2)
    )
    for place in (0, 4, 6):
        nn.init.normal_(model[place].weight, std=0.3, generator=torch.Generator().manual_seed(place))
    return model


@pytest.mark.parametrize(("rows", "columns"), [(4, 7), (7, 4), (5, 5)], ids=["narrowing", "widening", "square"])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_orthonormal_rows_or_columns_stay(strength, rows, columns):
    weight, *_ = of_singular_values(torch.ones(min(rows, columns), dtype=torch.float64), rows, columns)
    layer = linear(weight)
    lb.ParsevalRegularizer(layer, strength=strength).step()
    close(layer.weight.detach(), weight)


@pytest.mark.parametrize(("rows", "columns"), [(4, 7), (7, 4)], ids=["narrowing", "widening"])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_singular_values_follow_the_scalar_recursion_and_singular_vectors_stay(strength, rows, columns):
    values = torch.tensor([0.0, 0.3, 1.2, 1.6], dtype=torch.float64)
    weight, left, right = of_singular_values(values, rows, columns)
    layer = linear(weight)
    parseval = lb.ParsevalRegularizer(layer, strength=strength)
    for _ in range(20):
        parseval.step()
        values = (1 + strength) * values - strength * values**3
    # What rounding leaves at the singular value 0 grows 1.5^20 = 3300-fold at the strength 1/2.
    torch.testing.assert_close(layer.weight.detach(), left @ torch.diag(values) @ right.T, atol=1e-11, rtol=0)


def test_weights_become_orthonormal():
    model = mixed().double()
    parseval = lb.ParsevalRegularizer(model, strength=0.1)
    # Singular values here are from 0.2 to 1.6. The small ones grow 1.1-fold a step, and near 1 the deviation shrinks by
    # 0.8 a step: 200 steps leave far less than 1e-9.
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
    expected = [by_formula(part.flatten(1), 0.3).reshape(part.shape) for part in before.chunk(groups)]
    close(conv.weight.detach(), torch.cat(expected))


def test_kernel_of_another_memory_format_is_stepped():
    conv = nn.Conv2d(3, 5, 2).double().to(memory_format=torch.channels_last)
    before = conv.weight.detach().clone()
    lb.ParsevalRegularizer(conv, strength=0.3).step()
    close(conv.weight.detach(), by_formula(before.flatten(1), 0.3).reshape(before.shape))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.complex128])
def test_every_dtype_is_stepped(dtype):
    weight = random(4, 6, dtype=torch.complex128 if dtype.is_complex else torch.float64).div(3).to(dtype)
    layer = linear(weight)
    lb.ParsevalRegularizer(layer, strength=0.3).step()
    exact = by_formula(weight.to(torch.complex128), 0.3)
    # Sums of 6 and 4 products of numbers below 1, each rounded at most twice.
    difference = (layer.weight.detach().to(torch.complex128) - exact).abs().max()
    assert difference < 20 * torch.finfo(dtype).eps
    assert (weight.to(torch.complex128) - exact).abs().max() > 3 * difference


def test_all_linear_layers_and_convolutions_are_the_default_and_nothing_else_changes():
    model = lb.noisify(mixed(), sigma=0.1)
    model(random(3, 2, 4, 4, dtype=torch.float32))  # so that there are statistics and a state of the noise
    before = copy.deepcopy(model.state_dict())
    lb.ParsevalRegularizer(model).step()
    changed = {
        name
        for name, value in model.state_dict().items()
        if isinstance(value, torch.Tensor) and not value.equal(before[name])
    }
    assert changed == {"model.0.weight", "model.4.weight", "model.6.weight"}
    assert model.get_extra_state()["cpu"].equal(before["_extra_state"]["cpu"])


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("4", {"4"}), ("[04]", {"0", "4"}), (nn.Linear, {"4", "6"}), (["6", nn.Conv2d], {"0", "6"}),
        (lambda name, module: name != "0", {"4", "6"}),
    ],
    ids=["name", "glob", "type", "sequence", "callable"],
)  # fmt: skip
def test_layers_are_selected_as_for_noise(layers, names):
    model = mixed()
    before = copy.deepcopy(model)
    lb.ParsevalRegularizer(lb.noisify(model), layers=layers).step()
    assert {n for n in ("0", "4", "6") if not model[int(n)].weight.equal(before[int(n)].weight)} == names


def test_shared_weight_is_stepped_once():
    model = nn.Sequential(linear(random(4, 4) / 4), nn.Tanh(), linear(random(4, 4)))
    model[2].weight = model[0].weight
    before = model[0].weight.detach().clone()
    lb.ParsevalRegularizer(model, strength=0.3).step()
    close(model[0].weight.detach(), by_formula(before, 0.3))


def test_shared_layer_is_found_under_its_second_name():
    layer = linear(random(4, 4) / 4)
    before = layer.weight.detach().clone()
    lb.ParsevalRegularizer(nn.Sequential(layer, nn.Tanh(), layer), strength=0.3, layers="2").step()
    close(layer.weight.detach(), by_formula(before, 0.3))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_weight_without_entries_is_left_out():
    other = linear(random(3, 4) / 4)
    before = other.weight.detach().clone()
    lb.ParsevalRegularizer(nn.Sequential(nn.Linear(3, 0), nn.Linear(0, 4), other), strength=0.3).step()
    close(other.weight.detach(), by_formula(before, 0.3))


def test_step_is_outside_of_autograd_and_leaves_gradients():
    layer = linear(random(3, 5) / 3)
    layer(random(2, 5)).sum().backward()
    weight, gradient = layer.weight, layer.weight.grad.clone()
    lb.ParsevalRegularizer(layer).step()
    assert layer.weight is weight
    assert weight.is_leaf
    assert weight.requires_grad
    assert weight.grad.equal(gradient)


def test_optimizer_takes_the_step_by_its_hook():
    def train(model, *, hooked):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        parseval = lb.ParsevalRegularizer(model, strength=0.1)
        if hooked:
            optimizer.register_step_post_hook(lambda *_: parseval.step())
        for _ in range(3):
            optimizer.zero_grad()
            model(random(2, 5)).square().sum().backward()
            optimizer.step()
            if not hooked:
                parseval.step()
        return model.weight

    layer = linear(random(3, 5) / 3)
    assert train(copy.deepcopy(layer), hooked=True).equal(train(copy.deepcopy(layer), hooked=False))


def test_global_generator_is_left_alone():
    layer = linear(random(3, 5))
    before = torch.get_rng_state()
    lb.ParsevalRegularizer(layer).step()
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("strength", [0.01, 0.1, 0.5])
def test_singular_value_below_the_limit_comes_to_one_or_minus_one(strength):
    layer = linear(torch.tensor([[0.99 * math.sqrt((2 + strength) / strength)]], dtype=torch.float64))
    parseval = lb.ParsevalRegularizer(layer, strength=strength)
    # Its square shrinks by 1 - 4 (1 - 0.99^2) = 0.92 a step or faster, until its pull is that of the recursion near 1.
    for _ in range(math.ceil(40 / strength)):
        parseval.step()
    assert layer.weight.abs().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("excess", [1.001, 1e200])
def test_singular_value_beyond_the_limit_is_refused_before_any_weight_changes(strength, excess):
    size = excess * math.sqrt((2 + strength) / strength)
    model = nn.Sequential(linear(random(5, 4) / 5), nn.Tanh(), linear(size * torch.eye(5, dtype=torch.float64)))
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
def test_message_tells_the_largest_singular_value(dtype, size):
    layer = linear(torch.diag(torch.tensor([0.5, size, 1], dtype=dtype)))
    with pytest.raises(UsageError, match=re.escape(f"singular value of {size:g}, and from 2.23607 on")):
        lb.ParsevalRegularizer(layer, strength=0.5).step()


def test_float16_is_stepped_where_its_gram_matrix_overflows():
    weight = torch.tensor([[300.0, 0.0], [0.0, 1.0]], dtype=torch.float16)  # 300^2 > 65504, the largest float16
    layer = linear(weight)
    lb.ParsevalRegularizer(layer, strength=1e-5).step()
    exact = by_formula(weight.double(), 1e-5)
    # Rounded once more to float16, where 300 has a last place of 1/4.
    assert (layer.weight.detach().double() - exact).abs().max() <= 0.126


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(UsageError, match="singular value of nan"):
        lb.ParsevalRegularizer(linear(torch.tensor([[math.nan, 1.0]]))).step()


def test_limit_is_that_of_singular_values_not_of_their_cheap_bound():
    strength = 0.5
    values = torch.linspace(0.1, 2.2, 60, dtype=torch.float64)
    weight, *_ = of_singular_values(values, 60, 60)
    assert torch.linalg.matrix_norm(weight @ weight.T, math.inf) > 2 * (2 + strength) / strength
    layer = linear(weight)
    lb.ParsevalRegularizer(layer, strength=strength).step()
    close(layer.weight.detach(), by_formula(weight, strength))


@pytest.mark.parametrize("strength", [0.0, -0.1, 0.51, math.nan, math.inf])
def test_strength_out_of_range_is_refused(strength):
    with pytest.raises(ValueError, match="strength: got"):
        lb.ParsevalRegularizer(nn.Linear(2, 2), strength=strength)


def test_strength_and_model_of_another_type_are_refused():
    with pytest.raises(TypeError, match="strength: got str"):
        lb.ParsevalRegularizer(nn.Linear(2, 2), strength="0.1")
    with pytest.raises(TypeError, match="model: got int"):
        lb.ParsevalRegularizer(3)


def test_layers_without_a_weight_matrix_are_refused_with_those_that_have_one():
    with pytest.raises(LayerSelectionError, match="layers: '2' matches no layer of the network; available: 0, 4, 6"):
        lb.ParsevalRegularizer(mixed(), layers="2")
    with pytest.raises(LayerSelectionError, match="model: Tanh has no linear layer"):
        lb.ParsevalRegularizer(nn.Tanh())


@pytest.mark.parametrize(
    "change",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        lambda module: prune.l1_unstructured(module, "weight", 1),
    ],
    ids=["weight norm", "spectral norm", "pruning"],
)
def test_weight_that_is_computed_from_others_is_refused(change):
    model = mixed()
    change(model[4])
    with pytest.raises(LayerSelectionError, match="'4' has no weight that is a parameter of its own"):
        lb.ParsevalRegularizer(model)
    lb.ParsevalRegularizer(model, layers=["0", "6"]).step()


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_weight_without_a_shape_yet_is_refused():
    with pytest.raises(LayerSelectionError, match=r"'0' has no weight .* of known shape"):
        lb.ParsevalRegularizer(nn.Sequential(nn.LazyLinear(3)))
