"""Second derivatives of the log density and of the pairwise bounds, and their use under torch.func."""

from functools import partial

import pytest
import torch
from torch.autograd.functional import hessian
from torch.func import grad, jvp, linearize, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from layerbits import mixture_entropy, mixture_entropy_bounds, mixture_information, mixture_log_density
from tests.support import plain_mixture
from tests.support.random_arrays import normal_tensor

# torch warns when it first loads its rules of forward mode.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def log_density(points, centers, sigma, weights):
    return mixture_log_density(points, centers, sigma, weights=weights)


def entropy_bounds(centers, sigma, weights):
    return torch.stack(mixture_entropy_bounds(centers, sigma, weights=weights))


def arguments(dtype=torch.float64):
    """Return points, centers, sigma and weights that require gradients."""
    sigma, weights = torch.tensor(0.7, dtype=dtype), 0.5 + normal_tensor(5, seed=2, dtype=dtype).abs()
    tensors = normal_tensor(4, 2, dtype=dtype), normal_tensor(5, 2, seed=1, dtype=dtype), sigma, weights
    return [tensor.requires_grad_() for tensor in tensors]


def assert_agree(actual, expected, unit=2.0**-52):
    """Assert that each tensor agrees within 1e4 `unit` (1 + its largest value); `unit` is a relative rounding error.

    A result is a sum of at most 5 * 4 * 2 terms of both signs, with at most 30 roundings each. The tolerance
    suffices if no term exceeds 8 (1 + the largest value).
    """
    for value, truth in zip(actual, expected, strict=True):
        tolerance = 1e4 * unit * (1 + float(truth.abs().max()))
        torch.testing.assert_close(value.double(), truth.double(), rtol=0, atol=tolerance)


LOSSES = {
    "score": lambda score, value, points: score.square().sum(),
    "sum of scores": lambda score, value, points: score.sum(),
    "score and points": lambda score, value, points: (score + points).square().sum(),
    "score and values": lambda score, value, points: (score.square().sum(1) * value).sum(),
    "clone of the score": lambda score, value, points: (score.clone() + points.detach()).exp().sum(),
    "view of the score": lambda score, value, points: (score[1:, 0] * points[1:, 1]).sum(),
    "half of the score": lambda score, value, points: (score + score.detach()).square().sum() + points.sum(),
    "score at other points": lambda score, value, points: (score + 2 * points.flip(0)).square().sum(),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_of_a_loss_with_a_score_is_that_of_plain_torch(loss, dtype):
    """The tolerance in float32 is 1e3 eps: the score has an error of about 10 eps, its derivatives are in float64."""

    def gradients(function, precision):
        inputs = [tensor.detach().to(precision).requires_grad_() for tensor in arguments(dtype)]
        value = function(*inputs)
        (score,) = torch.autograd.grad(value.sum(), inputs[0], create_graph=True)
        return torch.autograd.grad(loss(score, value, inputs[0]), inputs)

    actual = gradients(log_density, dtype)
    unit = 2.0**-52 if dtype == torch.float64 else 2.0**-23 / 10
    assert_agree(actual, gradients(plain_mixture.log_density, torch.float64), unit)


@pytest.mark.parametrize("argument", range(4), ids=["points", "centers", "sigma", "weights"])
def test_gradient_of_a_penalty_on_any_gradient_is_that_of_plain_torch(argument):
    def gradients(function):
        inputs = arguments()
        (gradient,) = torch.autograd.grad(function(*inputs).square().sum(), inputs[argument], create_graph=True)
        return torch.autograd.grad((gradient + inputs[argument]).square().sum(), inputs)

    assert_agree(gradients(log_density), gradients(plain_mixture.log_density))


@pytest.mark.parametrize("bound", [0, 1], ids=["lower", "upper"])
def test_hessians_of_the_bounds_are_those_of_plain_torch(bound):
    def blocks(function):
        return [block for row in hessian(lambda *a: function(*a)[bound], tuple(arguments()[1:])) for block in row]

    assert_agree(blocks(entropy_bounds), blocks(plain_mixture.entropy_bounds))


def test_hessian_of_the_log_density_is_that_of_plain_torch():
    def blocks(function):
        return [block for row in hessian(lambda *a: function(*a).sum(), tuple(arguments())) for block in row]

    assert_agree(blocks(log_density), blocks(plain_mixture.log_density))


@pytest.mark.parametrize("method", ["dense", "pruned"])
def test_score_and_hessian_by_torch_func_are_those_of_plain_torch(method):
    points, centers, sigma, weights = (tensor.detach() for tensor in arguments())

    def library_density(point):
        return mixture_log_density(point[None], centers, sigma, weights=weights, method=method)[0]

    def plain(point):
        return plain_mixture.log_density(point[None], centers, sigma, weights)[0]

    for transform in (grad, torch.func.hessian):
        assert_agree([vmap(transform(library_density))(points)], [vmap(transform(plain))(points)])


def test_forward_derivatives_are_those_of_plain_torch():
    inputs = tuple(tensor.detach() for tensor in arguments())
    assert_agree(jvp(log_density, inputs, inputs), jvp(plain_mixture.log_density, inputs, inputs))
    bounds = jvp(entropy_bounds, inputs[1:], inputs[1:])
    assert_agree(bounds, jvp(plain_mixture.entropy_bounds, inputs[1:], inputs[1:]))


def test_bounds_of_a_batch_of_mixtures_are_those_of_plain_torch():
    _, centers, sigma, weights = (tensor.detach() for tensor in arguments())
    batch = torch.stack([centers, 2 * centers])
    expected = torch.stack([plain_mixture.entropy_bounds(rows, sigma, weights) for rows in batch])
    assert_agree([vmap(lambda rows: entropy_bounds(rows, sigma, weights))(batch)], [expected])


@pytest.mark.parametrize("name", ["sigma", "weights"])
def test_vmap_over_sigma_or_weights_is_refused_by_name(name):
    points, centers, sigma, weights = (tensor.detach() for tensor in arguments())
    options = {"sigma": sigma, "weights": weights}
    with pytest.raises(TypeError, match=rf"^{name}: got a batch under torch.func.vmap, wanted one .* loop over"):
        vmap(lambda value: mixture_log_density(points, centers, **options | {name: value}))(
            torch.stack([options[name]] * 2)
        )


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.* is deprecated", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("argument", range(4), ids=["points", "centers", "sigma", "weights"])
@pytest.mark.parametrize(
    "trace",
    [
        lambda function, value: make_fx(function)(value),
        lambda function, value: make_fx(grad(lambda value: function(value).sum()))(value),
        linearize,
        torch.jit.trace,
    ],
    ids=["value", "gradient", "linearize", "jit"],
)
def test_trace_whose_graph_would_keep_the_values_of_a_call_is_refused(trace, argument):
    inputs = [tensor.detach() for tensor in arguments()]
    with pytest.raises(TypeError, match=r"got a call that torch traces, wanted .* outside of make_fx"):
        trace(lambda value: log_density(*inputs[:argument], value, *inputs[argument + 1 :]), inputs[argument])


@pytest.mark.parametrize("function", [mixture_information, mixture_entropy])
@pytest.mark.parametrize("transform", [vmap, grad, lambda function: partial(linearize, function)])
def test_estimates_are_refused_under_torch_func(function, transform):
    centers = torch.stack([normal_tensor(4, 2)] * 2)
    with pytest.raises(TypeError, match=r"^mixture_information and mixture_entropy: got a (tensor|call) that torch"):
        transform(lambda rows: torch.tensor(function(rows, 0.5).value))(centers if transform is vmap else centers[0])
