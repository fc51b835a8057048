"""Transforms of torch.func and forward mode on the isotropic log-sum-exp, compared with plain torch."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

from layerbits.kernels import (
    distance_histogram,
    largest_distance,
    log_sum_exp_diagonal,
    log_sum_exp_full,
    log_sum_exp_isotropic,
)
from tests.support import plain_mixture
from tests.support.random_arrays import normal_tensor

# torch warns when it first loads its rules of forward mode.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

ALL_ARGUMENTS = (0, 1, 2, 3)
GROUPS = {"point_offsets": torch.tensor([0, 1, 1, 3]), "center_offsets": torch.tensor([0, 2, 3, 4])}


def arguments():
    weights = 0.5 + normal_tensor(4, seed=2).abs()
    return normal_tensor(3, 2), normal_tensor(4, 2, seed=1), torch.tensor(0.8).double(), weights


def log_sums(points, centers, sigma, weights):
    return log_sum_exp_isotropic(points, centers, sigma, weights=weights)


def log_sums_in_groups(points, centers, sigma, weights):
    return log_sum_exp_isotropic(points, centers, sigma, weights=weights, **GROUPS)


def plain_log_sums_in_groups(points, centers, sigma, weights):
    first = plain_mixture.log_sum_exp(points[:1], centers[:2], sigma, weights[:2])
    return torch.cat([first, plain_mixture.log_sum_exp(points[1:], centers[3:], sigma, weights[3:])])


def nonlinear_composition(function):
    """Return the square of function(x + 0.3 x sin 2x): directions and upstream gradients depend on the arguments."""
    return lambda *tensors: function(*(tensor * (1 + 0.3 * (2 * tensor).sin()) for tensor in tensors)).square()


def assert_agree(actual, expected):
    """Assert that all tensors of nested tuples agree.

    Results are sums of at most 4 * 8 * 2 terms of both signs: 1e4 eps of the largest result suffices for terms that are
    100 times as large.
    """
    if not isinstance(actual, torch.Tensor):
        assert len(actual) == len(expected)
        for value, truth in zip(actual, expected, strict=True):
            assert_agree(value, truth)
        return
    largest = float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e4 * 2.0**-52 * (1 + largest))


DERIVATIVES = {
    "reverse": lambda f: jacrev(f, ALL_ARGUMENTS),
    "forward": lambda f: jacfwd(f, ALL_ARGUMENTS),
    "reverse over reverse": lambda f: jacrev(jacrev(f, ALL_ARGUMENTS), ALL_ARGUMENTS),
    "forward over reverse": lambda f: hessian(f, ALL_ARGUMENTS),
    "reverse over forward": lambda f: jacrev(jacfwd(f, ALL_ARGUMENTS), ALL_ARGUMENTS),
}


@pytest.mark.parametrize("derivative", DERIVATIVES.values(), ids=DERIVATIVES)
@pytest.mark.parametrize(
    ("function", "plain"), [(log_sums, plain_mixture.log_sum_exp), (log_sums_in_groups, plain_log_sums_in_groups)]
)
def test_jacobians_and_hessians_by_all_arguments_agree_with_plain_torch(derivative, function, plain):
    assert_agree(
        derivative(nonlinear_composition(function))(*arguments()),
        derivative(nonlinear_composition(plain))(*arguments()),
    )


@pytest.mark.parametrize("transform", [grad, lambda f: grad(lambda x: grad(f)(x).square().sum())])
def test_gradients_of_a_function_of_points_agree_with_plain_torch(transform):
    points, *parameters = arguments()
    actual = transform(lambda x: log_sums(x, *parameters).sum())(points)
    assert_agree(actual, transform(lambda x: plain_mixture.log_sum_exp(x, *parameters).sum())(points))


def test_third_derivatives_in_reverse_mode_agree_with_plain_torch():
    points, centers, sigma, weights = (tensor[:1] if tensor.ndim else tensor for tensor in arguments())

    def third_derivatives(function):
        return jacrev(jacrev(jacrev(lambda x: function(x, centers.repeat(2, 1), sigma, weights.repeat(2)))))(points)

    assert_agree(third_derivatives(log_sums), third_derivatives(plain_mixture.log_sum_exp))


ONE_POINT = {"value": lambda f: f, "score": grad, "hessian": hessian, "twice reverse": lambda f: jacrev(jacrev(f))}


@pytest.mark.parametrize("derivative", ONE_POINT.values(), ids=ONE_POINT)
def test_vmap_over_points_agrees_with_plain_torch(derivative):
    points, *parameters = arguments()

    def mapped(function):
        return vmap(derivative(lambda x: function(x[None], *parameters)[0]))(points)

    assert_agree(mapped(log_sums), mapped(plain_mixture.log_sum_exp))


def test_vmap_over_points_calls_the_native_gradient_once(monkeypatch):
    from layerbits.kernels.cpu_operations import CpuOperations

    calls, original = [], CpuOperations.log_sum_exp_isotropic_gradient

    def counted(self, mixture, gradient):
        calls.append(len(mixture.points))
        original(self, mixture, gradient)

    monkeypatch.setattr(CpuOperations, "log_sum_exp_isotropic_gradient", counted)
    points, *parameters = arguments()
    vmap(grad(lambda x: log_sums(x[None], *parameters)[0]))(points)
    assert calls == [3]


BATCHES = {
    "points": (0, None, None, None),
    "last dimension": (2, None, None, None),
    "centers": (None, 1, None, None),
    "points and centers": (1, 0, None, None),
    "sigma": (None, None, 0, None),
    "weights": (None, None, None, 1),
    "everything": (0, 0, 0, 0),
}


@pytest.mark.parametrize("dims", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("derivative", [lambda f: f, lambda f: jacrev(f, ALL_ARGUMENTS), lambda f: hessian(f, (0, 2))])
@pytest.mark.parametrize(
    ("function", "plain"), [(log_sums, plain_mixture.log_sum_exp), (log_sums_in_groups, plain_log_sums_in_groups)]
)
def test_vmap_over_any_argument_agrees_with_plain_torch(dims, derivative, function, plain):
    batch = [
        tensor if dim is None else torch.stack([tensor, tensor * 1.5], dim)
        for tensor, dim in zip(arguments(), dims, strict=True)
    ]
    assert_agree(vmap(derivative(function), dims)(*batch), vmap(derivative(plain), dims)(*batch))


def test_nested_vmap_agrees_with_plain_torch():
    points, *parameters = arguments()
    batch = torch.stack([points, points + 1])

    def mapped(function):
        return vmap(vmap(hessian(lambda x: function(x[None], *parameters)[0])))(batch)

    assert_agree(mapped(log_sums), mapped(plain_mixture.log_sum_exp))


@pytest.mark.parametrize("index", ALL_ARGUMENTS, ids=["points", "centers", "sigma", "weights"])
def test_forward_mode_by_one_argument_agrees_with_plain_torch(index):
    def push_forward(function):
        with forward_ad.dual_level():
            inputs = list(arguments())
            inputs[index] = forward_ad.make_dual(inputs[index], torch.ones_like(inputs[index]))
            return forward_ad.unpack_dual(function(*inputs)).tangent

    assert_agree(push_forward(log_sums), push_forward(plain_mixture.log_sum_exp))


def test_forward_mode_of_a_score_and_gradient_of_a_forward_derivative_agree_with_plain_torch():
    """Each of the two is the Hessian times the direction."""
    points, *parameters = arguments()
    points.requires_grad_()
    direction = points.detach().cos()
    (score,) = torch.autograd.grad(plain_mixture.log_sum_exp(points, *parameters).sum(), points, create_graph=True)
    (expected,) = torch.autograd.grad(score, points, direction)
    with forward_ad.dual_level():
        result = log_sums(forward_ad.make_dual(points, direction), *parameters)
        (score,) = torch.autograd.grad(result.sum(), points, create_graph=True)
        (gradient_of_tangent,) = torch.autograd.grad(forward_ad.unpack_dual(result).tangent.sum(), points)
        assert_agree((forward_ad.unpack_dual(score).tangent, gradient_of_tangent), (expected, expected))


TOO_MUCH_FORWARD_MODE = {
    "forward over forward": lambda f: jacfwd(jacfwd(f)),
    "three times": lambda f: jacfwd(jacfwd(jacfwd(f))),
    "over second derivatives": lambda f: jacfwd(jacrev(jacrev(f))),
}


@pytest.mark.parametrize("derivative", TOO_MUCH_FORWARD_MODE.values(), ids=TOO_MUCH_FORWARD_MODE)
def test_forward_mode_of_forward_or_second_derivatives_is_refused(derivative):
    points, *parameters = arguments()
    with pytest.raises(TypeError, match=r"mixture_log_density.*: got forward mode .*, wanted reverse mode"):
        derivative(lambda x: log_sums(x, *parameters))(points)


def test_batch_of_upstream_gradients_of_torch_autograd_is_refused():
    points, *parameters = arguments()
    points.requires_grad_()
    log_sum = log_sums(points, *parameters)
    with pytest.raises(TypeError, match=r"gradient of .*mixture_log_density.*: got a tensor that torch trans"):
        torch.autograd.grad(log_sum, points, torch.eye(3).double(), is_grads_batched=True)


WITHOUT_DERIVATIVES = {
    "distance_histogram": lambda x: distance_histogram(x, torch.tensor([0.0, 1.0]).double()),
    "largest_distance": lambda x: torch.tensor(largest_distance(x)),
    "log_sum_exp_diagonal": lambda x: log_sum_exp_diagonal(x, x, x, torch.zeros(3).double()),
    "log_sum_exp_full": lambda x: log_sum_exp_full(x, x, torch.ones(3, 2, 2).double(), torch.zeros(3).double()),
}


@pytest.mark.parametrize("name", WITHOUT_DERIVATIVES)
@pytest.mark.parametrize("transform", [vmap, lambda f: lambda x: jvp(f, (x,), (x,)), jacrev])
def test_functions_without_derivatives_are_refused_by_name(name, transform):
    points = torch.stack([normal_tensor(3, 2), normal_tensor(3, 2, seed=1)])
    rows = points if transform is vmap else points[0]
    with pytest.raises(TypeError, match=rf"^{name}: got a tensor that torch transforms, wanted a plain"):
        transform(WITHOUT_DERIVATIVES[name])(rows)


@pytest.mark.parametrize("name", ["log_sum_exp_full", "log_sum_exp_diagonal"])
def test_log_sums_over_components_refuse_a_tensor_that_requires_a_gradient(name):
    with pytest.raises(TypeError, match=f"^{name}: got a tensor that requires a gradient"):
        WITHOUT_DERIVATIVES[name](normal_tensor(3, 2).requires_grad_())
