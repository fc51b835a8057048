"""A regularizer that changes the weights after each step of the optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import starmap

import torch
from torch import Tensor, nn

from layerbits._base import LayerSelectionError, UsageError, check_positive
from layerbits.networks import LayerCall, Layers, choose_layers

_KINDS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


class ParsevalRegularizer:
    """Move weight matrices towards orthonormal ones: W <- (1 + strength) W - strength W W^T W.

    Rows become orthonormal if a layer has fewer outputs than inputs, columns if it has more. Each singular value s of W
    becomes |(1 + strength) s - strength s^3|; the only stable fixed point is 1. The singular vectors do not change,
    except for their signs. The matrix of a convolution has shape (outputs, inputs x positions), the matrix of a
    transposed convolution (inputs, outputs x positions); every group has its own matrix.

    Parameters
    ----------
    model : torch.nn.Module
        Any network, noisy or not, on any device. Biases and noise do not change.
    strength : float
        In (0, 1/2]. A small deviation of a singular value from 1 shrinks by the factor 1 - 2 strength per step, and
        quadratically if strength is 1/2; a larger strength would overshoot.
    layers : None, str, type, callable or a sequence of them
        The linear layers and convolutions to regularize, by name, glob, type or ``(name, module) -> bool`` as in
        `layerbits.noisify`. None: all of them, including the output layer, but neither the ``in_proj_weight`` of
        attention nor weights of recurrent layers. A weight that layers share changes once per step.

    Raises
    ------
    LayerSelectionError
        `model` has no such layer; `layers` matches none of them, or a layer whose weight is computed from other
        parameters or not yet initialized (lazy).
    TypeError, ValueError
        `model` is no module, or `strength` is out of range.

    Notes
    -----
    Source: Cisse et al., Parseval Networks: Improving Robustness to Adversarial Examples (ICML 2017), section 4.2. An
    orthonormal kernel bounds the norm of a convolution of stride 1 by the root of its number of positions, not by 1.

    After a weight is replaced (``module.weight = nn.Parameter(...)``, ``load_state_dict(..., assign=True)``), a new
    regularizer is needed.

    In float16 and bfloat16 a step has no effect if ``strength |s^2 - 1|`` is far below their eps.

    Examples
    --------
    Call `step` after each step of the optimizer, or register it with the optimizer:

    >>> parseval = ParsevalRegularizer(model)  # doctest: +SKIP
    >>> optimizer.register_step_post_hook(lambda *_: parseval.step())  # doctest: +SKIP
    """

    def __init__(self, model: nn.Module, *, strength: float = 3e-4, layers: Layers = None) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: got {type(model).__name__}, wanted a torch.nn.Module")
        self._strength = check_positive("strength", strength)
        if self._strength > 0.5:
            raise ValueError(f"strength: got {strength}, wanted at most 0.5; with more, singular values overshoot 1")
        # The keys are the parameters, so that a shared weight occurs once.
        self._names: dict[nn.Parameter, str] = {}
        self._groups: list[int] = []
        for call in _selected_layers(model, layers):
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
        """Change the weights of every layer, in place and without a gradient.

        Raises
        ------
        UsageError
            A singular value is not finite, or is at least sqrt((2 + strength) / strength), where no step would make it
            smaller. No weight has changed then.
        """
        matrices = list(starmap(_matrices, zip(self._names, self._groups, strict=True)))
        grams = [w @ w.mH if w.shape[-2] <= w.shape[-1] else w.mH @ w for w in matrices]
        for name, w, gram, bound in zip(self._names.values(), matrices, grams, _norms(grams), strict=True):
            self._require_convergence(name, w, gram, bound)
        for weight, w, gram in zip(self._names, matrices, grams, strict=True):
            factors = (gram, w) if w.shape[-2] <= w.shape[-1] else (w, gram)
            new_weight = torch.baddbmm(w, *factors, beta=1 + self._strength, alpha=-self._strength)
            weight.copy_(new_weight.reshape(weight.shape))

    def _require_convergence(self, name: str, matrix: Tensor, gram: Tensor, bound: float) -> None:
        """Raise UsageError unless all singular values of `matrix` converge; their squares are at most `bound`."""
        limit = math.sqrt((2 + self._strength) / self._strength)
        if math.sqrt(bound) < limit:
            return
        singular_value = math.sqrt(bound)
        gram_is_finite = bool(gram.isfinite().all())
        if gram_is_finite:
            singular_value = math.sqrt(_spectral_norm(gram))
        elif matrix.isfinite().all():
            singular_value = _spectral_norm(matrix)
        if not (gram_is_finite and singular_value < limit):
            raise UsageError(
                f"strength: got {self._strength:g}, wanted less, or smaller weights: {name!r} has a singular value of "
                f"{singular_value:g}, and from {limit:g} on no step makes it smaller"
            )


def _norms(grams: Sequence[Tensor]) -> list[float]:
    """Return the largest absolute row sum of each layer's Gram matrices, a bound of their eigenvalues."""
    norms = [torch.linalg.matrix_norm(gram, math.inf).max() for gram in grams]
    return torch.stack([norm.to(norms[0]) for norm in norms]).tolist() if norms else []


def _spectral_norm(matrices: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrices.cpu().to(torch.complex128), 2).max())


def _selected_layers(model: nn.Module, layers: Layers) -> list[LayerCall]:
    # The layers are taken from the modules, without a pass, because their calls in forward do not matter.
    candidates = [
        LayerCall(name, name, module)
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, _KINDS)
    ]
    if not candidates:
        raise LayerSelectionError(f"model: {type(model).__name__} has no linear layer and no convolution to regularize")
    return candidates if layers is None else choose_layers(candidates, layers)


def _matrices(weight: Tensor, groups: int) -> Tensor:
    """Return the matrix of each group, (groups, rows, columns), in float32 or float64, because float16 overflows."""
    matrix = weight.to(torch.promote_types(weight.dtype, torch.float32))
    return matrix.reshape(groups, weight.shape[0] // groups, -1)
