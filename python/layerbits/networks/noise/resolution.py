"""Check in ordinary passes, once for each dtype, that half precision resolves the noise of a layer.

The observed pass checks the noise that `noisify` gives. This check covers a network that changes to half precision
afterwards or runs under autocast, and noise that `noise_of` changes. It reads the largest value of the signal, for
which the host waits for the device. So a check that succeeded is not repeated for the same layer, noise and dtype.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from layerbits.networks.execution.compilation import not_compiled_alone
from layerbits.networks.noise.sigma_checks import check_resolution
from layerbits.networks.noise.switch import NoiseSwitch, is_off
from layerbits.networks.observation.signal_values import rounding_step

_HALF_PRECISION = (torch.float16, torch.bfloat16)

# Checks that succeeded: the key of the network's switch, the layer, the smallest standard deviation, and the dtype.
_successful_checks: set[tuple[int, str, float, torch.dtype]] = set()


@not_compiled_alone
def resolved(normal: Tensor, signal: Tensor, layer: str, least_deviation: float, switch: NoiseSwitch) -> Tensor:
    """Return the normal values of a layer's noise, after a check that the dtype of its signal resolves the noise.

    Raises
    ------
    ValueError
        The standard deviation is too small for the largest value of the signal in float16 or bfloat16.
    """
    if signal.dtype not in _HALF_PRECISION:
        return normal
    if torch.compiler.is_compiling():
        zero: Tensor = torch.ops.layerbits.check_resolution(signal.detach(), layer, least_deviation, switch.key)
        return normal + zero
    _check_once(signal, layer, least_deviation, switch.key)
    return normal


@not_compiled_alone
def _check_once(signal: Tensor, layer: str, least_deviation: float, key: int) -> None:
    """Check the noise of a layer, unless the check succeeded before or the signal has no usable values."""
    check = (key, layer, least_deviation, signal.dtype)
    # Under a mode, as in a trace of make_fx, the signal may have no values.
    if check in _successful_checks or _get_current_dispatch_mode() is not None:
        return
    while torch._C._functorch.is_functorch_wrapped_tensor(signal):
        signal = torch._C._functorch.get_unwrapped(signal)
    if signal.is_nested:
        signal = signal.detach().values()
    step = rounding_step(signal.detach())
    if not 0 < step < math.inf:  # zeros, or an overflow, which a gradient scaler handles
        return
    check_resolution(layer, least_deviation, step, signal.dtype)
    _successful_checks.add(check)


# torch.compile does not trace into a custom operator, so the check can read values.
@torch.library.custom_op(
    "layerbits::check_resolution",
    mutates_args=(),
    schema="(Tensor signal, str layer, float least_deviation, int key) -> Tensor",
)
def _check_resolution(signal: Tensor, layer: str, least_deviation: float, key: int) -> Tensor:
    """Check the noise of a layer, and return a zero, which compiled code adds so that it does not omit the check."""
    if not is_off(key):
        _check_once(signal, layer, least_deviation, key)
    return torch.zeros((), device=signal.device)


@_check_resolution.register_fake
def _(signal: Tensor, layer: str, least_deviation: float, key: int) -> Tensor:
    return torch.empty((), device=signal.device)
