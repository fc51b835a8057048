"""Regularizers that change the weights directly, after the step of an optimizer and beside the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import starmap

import torch
from torch import Tensor, nn

from layerbits._base import LayerSelectionError, UsageError, check_positive
from layerbits.networks import LayerCall, Layers, NoisyModule, choose_layers

_KINDS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


class ParsevalRegularizer:
    """Draws weight matrices towards orthonormal ones: W <- (1 + strength) W - strength W W^T W.

    Rows become orthonormal where a layer narrows and columns where it widens: each singular value s of W goes to
    |(1 + strength) s - strength s^3|, whose only stable fixed point is 1, while the singular vectors stay, up to sign.
    A kernel of a convolution is taken as the matrix of shape (outputs, inputs x positions), with groups each group's
    own; that of a transposed one as (inputs, outputs x positions).

    Parameters
    ----------
    model : torch.nn.Module
        Any network, noisy or not, on any device. Its biases and its noise are left alone.
    strength : float
        In (0, 1/2]. The deviation from 1 of a singular value near it shrinks by the factor 1 - 2 strength a step; at
        1/2 quadratically, and beyond that it would overshoot.
    layers : None, str, type, callable or a sequence of them
        The linear layers and convolutions to regularize, by name, glob, type or ``(name, module) -> bool`` as in
        `layerbits.noisify`. None: all of them, the output layer too, but neither the ``in_proj_weight`` of attention
        nor weights of recurrent layers. Weights that layers share are stepped once, those without entries not at all.

    Raises
    ------
    LayerSelectionError
        `layers` matches none of them, or one whose weight is no parameter of its own.
    TypeError, ValueError
        `model` is no module, or `strength` out of range.

    Notes
    -----
    Source: Cisse et al., Parseval Networks: Improving Robustness to Adversarial Examples (ICML 2017), section 4.2. An
    orthonormal kernel bounds the norm of a convolution of stride 1 by the root of its number of positions, not by 1.

    A weight that is replaced (``module.weight = nn.Parameter(...)``, ``load_state_dict(..., assign=True)``) is no
    longer stepped: make a new regularizer.

    In float16 and bfloat16 a step is lost to rounding unless ``strength |s^2 - 1|`` is of the order of their eps.

    Examples
    --------
    Call `step` after each step of the optimizer, or let the optimizer do it, so that no loop needs to change:

    >>> parseval = ParsevalRegularizer(model)  # doctest: +SKIP
    >>> optimizer.register_step_post_hook(lambda *_: parseval.step())  # doctest: +SKIP
    """

    def __init__(self, model: nn.Module, *, strength: float = 3e-4, layers: Layers = None) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: got {type(model).__name__}, wanted a torch.nn.Module")
        self._strength = check_positive("strength", strength)
        if self._strength > 0.5:
            raise ValueError(f"strength: got {strength}, wanted at most 0.5, beyond which singular values overshoot 1")
        # By their parameters, as an optimizer knows them, so that shared ones come once.
        self._names: dict[nn.Parameter, str] = {}
        self._groups: list[int] = []
        for call in _chosen(model.model if isinstance(model, NoisyModule) else model, layers):
            weight = dict(call.module.named_parameters(recurse=False)).get("weight")
            if weight is None or nn.parameter.is_lazy(weight):
                raise LayerSelectionError(
                    f"layers: {call.name!r} has no weight that is a parameter of its own and of known shape, wanted "
                    "neither parametrized nor lazy layers; leave it out"
                )
            if weight.numel() and weight not in self._names:
                self._names[weight] = call.name
                self._groups.append(int(getattr(call.module, "groups", 1)))

    @torch.no_grad()
    def step(self) -> None:
        """Take the step at every layer, in place and outside of autograd.

        Raises
        ------
        UsageError
            A singular value is too large, or not finite, for the step to bring it to 1: it shrinks below
            sqrt((2 + strength) / strength) and grows without end above. No weight has changed then.
        """
        matrices = list(starmap(_matrices, zip(self._names, self._groups, strict=True)))
        grams = [m @ m.mH if m.shape[-2] <= m.shape[-1] else m.mH @ m for m in matrices]
        for name, m, gram, norm in zip(self._names.values(), matrices, grams, _norms(grams), strict=True):
            self._require_convergence(name, m, gram, norm)
        for weight, m, gram in zip(self._names, matrices, grams, strict=True):
            factors = (gram, m) if m.shape[-2] <= m.shape[-1] else (m, gram)
            stepped = torch.baddbmm(m, *factors, beta=1 + self._strength, alpha=-self._strength)
            weight.copy_(stepped.reshape(weight.shape))

    def _require_convergence(self, name: str, matrix: Tensor, gram: Tensor, norm: float) -> None:
        limit = math.sqrt((2 + self._strength) / self._strength)
        largest = math.sqrt(norm)
        if largest < limit:
            return
        computed = bool(gram.isfinite().all())
        if computed:
            largest = math.sqrt(_spectral_norm(gram))
        elif matrix.isfinite().all():
            largest = _spectral_norm(matrix)
        if not (computed and largest < limit):
            raise UsageError(
                f"strength: got {self._strength:g}, wanted less, or smaller weights: {name!r} has a singular value of "
                f"{largest:g}, and from {limit:g} on the step makes it grow without end"
            )


def _norms(grams: Sequence[Tensor]) -> list[float]:
    """Return a norm of each that no eigenvalue exceeds, cheap, and 1 at the goal, waiting once for a device."""
    norms = [torch.linalg.matrix_norm(gram, math.inf).max() for gram in grams]
    return torch.stack([norm.to(norms[0]) for norm in norms]).tolist() if norms else []


def _spectral_norm(matrices: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrices.cpu().to(torch.complex128), 2).max())


def _chosen(model: nn.Module, layers: Layers) -> list[LayerCall]:
    # No pass is traced: which layers there are does not depend on how forward calls them.
    found = [
        LayerCall(name, name, module, is_output=False)
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, _KINDS)
    ]
    if not found:
        raise LayerSelectionError(f"model: {type(model).__name__} has no linear layer and no convolution to regularize")
    return found if layers is None else choose_layers(found, layers)


def _matrices(weight: Tensor, groups: int) -> Tensor:
    """Return the matrix of each group, shape (groups, rows, columns), in float32 at least: float16 overflows soon."""
    precise = weight.to(torch.promote_types(weight.dtype, torch.float32))
    return precise.reshape(groups, weight.shape[0] // groups, -1)
