"""Standard normal values for the noise of an ordinary pass, from torch's own generators, which dropout uses too."""

from __future__ import annotations

import collections
import itertools

import torch
from torch import Tensor

from layerbits.networks.execution.checkpointing import running_passes
from layerbits.networks.execution.compilation import not_compiled_alone
from layerbits.networks.execution.recomputed_calls import RecomputedCalls
from layerbits.networks.noise.switch import NoiseSwitch, is_off

# Whether calls in the checkpointed passes of compiled code had noise, by the key of a network's `NoiseSwitch`.
_compiled_calls: dict[int, RecomputedCalls] = collections.defaultdict(RecomputedCalls)

_numbers = itertools.count()


@not_compiled_alone
def standard_normal(signal: Tensor, switch: NoiseSwitch) -> Tensor:
    """Return standard normal values of the shape of a signal, in float32 or the signal's wider dtype.

    In compiled code the values are zeros while the noise is off.
    """
    dtype = torch.promote_types(signal.dtype, torch.float32)
    if torch.compiler.is_compiling():
        normal: Tensor = torch.ops.layerbits.standard_normal(signal.detach(), dtype, switch.key, _next_number())
        return normal
    return _normal_like(signal, dtype)


def _normal_like(signal: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `torch.randn_like`, but generated in the order of the memory.

    In other orders, such as that of channels_last, torch generates values on one thread, one by one: 8 times as slow.
    """
    if signal.is_contiguous():
        return torch.randn_like(signal, dtype=dtype)
    values = torch.empty_like(signal, dtype=dtype)
    values.permute(sorted(range(values.ndim), key=values.stride, reverse=True)).normal_()
    return values


def _next_number() -> int:
    """Return a new number for each call of the operator in compiled code: torch.compile merges equal calls into one."""
    return next(_numbers)


# `torch.compiler.assume_constant_result` sets this attribute too, but imports torch._dynamo, which takes a second.
_next_number._dynamo_marked_constant = True  # type: ignore[attr-defined]


# torch.compile does not trace into a custom operator, so the noise equals that of an uncompiled pass, and `noise_off`
# has an effect.
@torch.library.custom_op(
    "layerbits::standard_normal",
    mutates_args=(),
    schema="(Tensor signal, ScalarType dtype, int key, int number) -> Tensor",
    tags=(torch.Tag.nondeterministic_seeded,),
)
def _standard_normal(signal: Tensor, dtype: torch.dtype, key: int, number: int) -> Tensor:
    """Return standard normal values of the shape of a signal; zeros if the noise of the key is off."""
    passes, calls = running_passes(), _compiled_calls[key]
    if passes.second_run is None:
        noise = None if is_off(key) else True
    else:
        noise = calls.recall("a layer of compiled code", passes, signal.device)
    calls.remember(passes, noise, signal.device)
    return torch.zeros_like(signal, dtype=dtype) if noise is None else _normal_like(signal, dtype)


@_standard_normal.register_fake
def _(signal: Tensor, dtype: torch.dtype, key: int, number: int) -> Tensor:
    return torch.empty_like(signal, dtype=dtype)
