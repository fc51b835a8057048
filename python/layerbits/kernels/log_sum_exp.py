"""The isotropic log-sum-exp as torch.autograd.Functions: derivatives of every order, forward mode and torch.func.

LogSumExp and its gradient call a native module, so both are Functions. Outside of a Function, results of a native
module are constants to torch: derivatives of a loss that contains a gradient would lack terms, without an error.

Second derivatives are a Function to save memory: torch.func always records the operators of a gradient, which would
keep all blocks of pairs. Third derivatives record these operators and take memory O(m n d).

Only the forward methods access memory; torch.func calls them with plain tensors. A jvp method applies Functions alone:
torch turns forward mode off in jvp methods, so operators would lose the derivatives of an outer forward mode, without
an error.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from layerbits.kernels.arrays import as_number, check_plain
from layerbits.kernels.batches import map_batch
from layerbits.kernels.cpu_threads import single_threaded_torch
from layerbits.kernels.native_interface import Accuracy, Gradient, Mixture, operations_for
from layerbits.kernels.second_derivatives import Direction, Problem, Wanted, second_derivatives

_NAME = "log_sum_exp_isotropic (of mixture_log_density or mixture_entropy_bounds)"


class LogSumExp(torch.autograd.Function):
    """Log-sums (m,); the arguments are those of `operations.log_sum_exp_isotropic`."""

    @staticmethod
    def forward(
        points: Tensor,
        centers: Tensor,
        sigma: Tensor,
        weights: Tensor | None,
        point_offsets: Tensor | None,
        center_offsets: Tensor | None,
        accuracy: Accuracy,
    ) -> Tensor:
        """Call the native module."""
        check_plain(_NAME, points, centers, weights)
        log_sum = empty_log_sum(points)
        mixture = _mixture(points, centers, sigma, weights, point_offsets, center_offsets)
        operations_for(points).log_sum_exp_isotropic(mixture, accuracy, log_sum)
        return log_sum

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Save the arguments and the log-sums."""
        *tensors, _ = inputs
        ctx.save_for_backward(*tensors, output)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients."""
        *variables, point_offsets, center_offsets, log_sum = ctx.saved_tensors
        wanted = Wanted(*ctx.needs_input_grad[:4])
        gradients = LogSumExpGradient.apply(  # type: ignore[no-untyped-call]
            *variables, upstream, point_offsets, center_offsets, log_sum.detach(), wanted
        )
        return *_by_variable(gradients, wanted, variables[2])[:4], None, None, None

    @staticmethod
    def jvp(ctx: Any, *changes: Tensor | None) -> Tensor:
        """Return the derivatives of the log-sums in a direction."""
        *variables, point_offsets, center_offsets = ctx.saved_tensors
        ones = variables[0].new_ones(len(variables[0]), dtype=torch.float64)
        derivative: Tensor
        (derivative,) = SecondDerivatives.apply(  # type: ignore[no-untyped-call]
            *variables, ones, point_offsets, center_offsets, *changes[:4], None, Wanted(upstream=True)
        )
        return derivative

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Any, Any]:
        """Compute the log-sums of a batch."""
        foldable = arguments[4] is None
        return map_batch(LogSumExp, info.batch_size, in_dims, arguments, point_arguments=(0,), foldable=foldable)


class LogSumExpGradient(torch.autograd.Function):
    """The wanted gradients of sum_i upstream_i log_sum_i, in the order of `Wanted`; by sigma, a value for each row.

    The log-sums are an argument because the native module reads them; derivatives treat them as functions of the
    other arguments.
    """

    @staticmethod
    def forward(
        points: Tensor,
        centers: Tensor,
        sigma: Tensor,
        weights: Tensor | None,
        upstream: Tensor,
        point_offsets: Tensor | None,
        center_offsets: Tensor | None,
        log_sum: Tensor,
        wanted: Wanted,
    ) -> tuple[Tensor, ...]:
        """Call the native module."""
        check_plain(f"the gradient of {_NAME}", points, centers, weights, upstream)
        gradient = Gradient(
            log_sum=log_sum.detach(),
            upstream=upstream.detach().contiguous(),
            d_points=torch.empty_like(points) if wanted.points else None,
            d_centers=torch.empty_like(centers) if wanted.centers else None,
            d_weights=torch.empty_like(weights) if wanted.weights and weights is not None else None,
            d_sigma=torch.empty_like(log_sum) if wanted.sigma else None,
        )
        mixture = _mixture(points, centers, sigma, weights, point_offsets, center_offsets)
        operations_for(points).log_sum_exp_isotropic_gradient(mixture, gradient)
        outputs = gradient.d_points, gradient.d_centers, gradient.d_sigma, gradient.d_weights
        return tuple(output for output in outputs if output is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Save the arguments."""
        *tensors, _, ctx.wanted = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the derivatives of the sum of the gradients times the cotangents."""
        tensors, wanted = ctx.saved_tensors, Wanted(*ctx.needs_input_grad[:5])
        direction = _spread(cotangents, ctx.wanted)[:4]
        derivatives = SecondDerivatives.apply(*tensors, *direction, None, wanted)  # type: ignore[no-untyped-call]
        return *_by_variable(derivatives, wanted, tensors[2]), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *changes: Tensor | None) -> tuple[Tensor, ...]:
        """Return the derivatives of the gradients in a direction."""
        derivatives: tuple[Tensor, ...] = SecondDerivatives.apply(  # type: ignore[no-untyped-call]
            *ctx.saved_tensors, *changes[:5], ctx.wanted
        )
        return derivatives

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Any, Any]:
        """Compute the gradients of a batch."""
        foldable = arguments[5] is None and arguments[-1].is_rowwise()
        return map_batch(
            LogSumExpGradient, info.batch_size, in_dims, arguments, point_arguments=(0, 4, 7), foldable=foldable
        )


class SecondDerivatives(torch.autograd.Function):
    """`second_derivatives`; the arguments are the tensors of its problem and of the direction, and `wanted`."""

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, ...]:
        """Compute the derivatives in blocks."""
        # Two threads of torch on two busy cores took 10 to 20 times as long as one (m = 10,000, n = 1,000, d = 10).
        on_host = arguments[0].device.type == "cpu"
        with single_threaded_torch() if on_host else nullcontext():
            return _second_derivatives(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Save the arguments."""
        *tensors, ctx.wanted = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        """Return the third derivatives in the direction of the cotangents."""
        function, variables = _function_of_floats(ctx)
        pull_back = torch.func.vjp(function, *variables.values())[1]
        gradients = dict(zip(variables, pull_back(cotangents), strict=True))
        return *(gradients.get(index) for index in range(len(ctx.saved_tensors))), None

    @staticmethod
    def jvp(ctx: Any, *changes: Tensor | None) -> tuple[Tensor, ...]:
        """Refuse forward mode."""
        raise TypeError(
            f"{_NAME}: got forward mode (torch.func.jvp, jacfwd) of a second derivative or of forward mode, wanted"
            " reverse mode (torch.func.grad, jacrev) for all derivatives but the first or the second one"
        )

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Any, Any]:
        """Compute the second derivatives of a batch."""
        foldable = arguments[5] is None and arguments[-1].is_rowwise()
        point_arguments = [0, 4, 7, 11]
        if arguments[9] is not None and arguments[9].ndim == (1 if in_dims[9] is None else 2):
            point_arguments.append(9)  # a change of sigma for each point
        return map_batch(
            SecondDerivatives, info.batch_size, in_dims, arguments, point_arguments=point_arguments, foldable=foldable
        )


# `apply` needs the signature of `forward` in each call, and would compute it anew.
for _function in (LogSumExp, LogSumExpGradient, SecondDerivatives):
    _function.forward.__signature__ = inspect.signature(_function.forward)  # type: ignore[union-attr]


def may_be_differentiated(*tensors: Tensor | None) -> bool:
    """Return whether torch may differentiate, transform or compile a call on tensors.

    Other calls need no Function, whose `apply` takes longer than the sums of 64 points and centers.
    """
    present = [tensor for tensor in tensors if tensor is not None]
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in present))
        or any(map(torch._C._functorch.is_functorch_wrapped_tensor, present))
    )


def empty_log_sum(points: Tensor) -> Tensor:
    """Return an uninitialised float64 tensor with a value for each point."""
    return torch.empty(len(points) if points.ndim else 0, dtype=torch.float64, device=points.device)


def _mixture(
    points: Tensor,
    centers: Tensor,
    sigma: Tensor,
    weights: Tensor | None,
    point_offsets: Tensor | None,
    center_offsets: Tensor | None,
) -> Mixture:
    return Mixture(
        points.detach(),
        centers.detach(),
        as_number("sigma", sigma),
        None if weights is None else weights.detach(),
        None if point_offsets is None else point_offsets.detach().cpu(),
        None if center_offsets is None else center_offsets.detach().cpu(),
    )


def _second_derivatives(*arguments: Any) -> tuple[Tensor, ...]:
    points, centers, sigma, weights, upstream, point_offsets, center_offsets, *direction, wanted = arguments
    change = Direction(*direction)
    problem = Problem(points, centers, sigma, weights, upstream, change, point_offsets, center_offsets)
    return second_derivatives(problem, wanted)


def _function_of_floats(ctx: Any) -> tuple[Callable[..., tuple[Tensor, ...]], dict[int, Tensor]]:
    """Return `_second_derivatives` as a function of the saved floating-point tensors, and the tensors by position."""
    tensors, wanted = ctx.saved_tensors, ctx.wanted
    floats = {index: tensor for index, tensor in enumerate(tensors) if tensor is not None and index not in (5, 6)}

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        replaced = dict(zip(floats, values, strict=True))
        return _second_derivatives(*(replaced.get(index, tensor) for index, tensor in enumerate(tensors)), wanted)

    return function, floats


def _spread(values: Sequence[Tensor | None], wanted: Wanted) -> list[Tensor | None]:
    """Return a value for each of the five variables of `Wanted`, None for a variable that is not wanted."""
    by_name = dict(zip(wanted.names(), values, strict=True))
    return [by_name.get(field.name) for field in dataclasses.fields(wanted)]


def _by_variable(derivatives: Sequence[Tensor], wanted: Wanted, sigma: Tensor) -> list[Tensor | None]:
    """Return `_spread` of the derivatives, with their total over rows for sigma, on the device of sigma."""
    d_points, d_centers, d_sigma, d_weights, d_upstream = _spread(derivatives, wanted)
    total = None if d_sigma is None else d_sigma.sum().to(sigma.device)
    return [d_points, d_centers, total, d_weights, d_upstream]
