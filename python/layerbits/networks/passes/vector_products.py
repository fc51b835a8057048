"""`VectorProducts`: vector-Jacobian products of the signals of a pass, several at once where torch can batch them."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from layerbits.networks.execution.arguments import is_memory_error


class VectorProducts:
    """Vector-Jacobian products, which are batched until an operation of the network refuses that."""

    def __init__(self) -> None:
        self.batches = True

    def __call__(self, signals: Tensor, noises: Tensor, cotangents: Tensor) -> Tensor:
        """Return the products (p, m, k) of signals (m, d) computed from noises (m, k), for cotangents (p, m, d).

        Raises
        ------
        RuntimeError
            Torch cannot differentiate the signals.
        """
        if not signals.requires_grad:  # no noise acts by a differentiable operation
            return noises.new_zeros(len(cotangents), *noises.shape)
        if self.batches and len(cotangents) > 1:
            try:
                return _gradient(signals, noises, cotangents, batched=True)
            except Exception as error:  # backward methods of the network may raise any error on batched tensors
                if is_memory_error(error):
                    raise
                self.batches = False
        return torch.stack([_gradient(signals, noises, cotangent) for cotangent in cotangents])


def _gradient(signals: Tensor, noises: Tensor, cotangents: Tensor, *, batched: bool = False) -> Tensor:
    with warnings.catch_warnings():
        # An operation without a batching rule runs once for each cotangent.
        warnings.filterwarnings("ignore", "There is a performance drop")
        (gradient,) = torch.autograd.grad(
            signals, noises, cotangents, retain_graph=True, is_grads_batched=batched, allow_unused=True
        )
    return noises.new_zeros(cotangents.shape[:-2] + noises.shape) if gradient is None else gradient
