"""Checks of sigma: the kind of tensor or array, the range of standard deviations, and half precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits.kernels import as_tensor

# The least standard deviation of noise, in units in the last place of the largest signal. Rounding the noisy value then
# adds a variance of 1 / 12 of a squared unit, at most 0.13 % of that of the noise.
_LEAST_STEPS = 8

# The remedies for a dtype that does not resolve the noise.
_REMEDIES = {
    torch.float32: "run the network in float64: model.double()",
    torch.float64: "move the values of the layer near zero",
}

# The smallest and the largest standard deviation of noise. Float32 has full precision from 1.2e-38 to 3.4e38, and the
# standard normal values that torch generates are below 10.
_LEAST_DEVIATION, _LARGEST_DEVIATION = 1e-37, 1e37


def dense_tensor(name: str, sigma: Tensor | npt.NDArray[Any]) -> Tensor:
    """Return `sigma` as a dense tensor of floating-point numbers.

    Raises
    ------
    TypeError, ValueError
        `sigma` has another dtype or layout, is nested, holds no values, or requires gradients.
    """
    if isinstance(sigma, np.ndarray):
        if sigma.dtype.kind != "f" or sigma.itemsize > 8:
            raise TypeError(
                f"{name}: got an array of {sigma.dtype}, wanted floating-point numbers; pass {name}.astype(float)"
            )
        return as_tensor(name, sigma)
    if not sigma.is_floating_point():
        remedy = "dequantize()" if sigma.is_quantized else "real" if sigma.is_complex() else "float()"
        raise TypeError(f"{name}: got a tensor of {sigma.dtype}, wanted floating-point numbers; pass {name}.{remedy}")
    if sigma.requires_grad:
        raise ValueError(
            f"{name}: got a tensor that requires gradients, wanted constants, because noise is not trained; pass "
            f"{name}.detach()"
        )
    if sigma.is_meta:
        raise ValueError(f"{name}: got a tensor on the device meta, wanted a tensor that holds values")
    if sigma.is_nested:
        raise TypeError(f"{name}: got a nested tensor, wanted a float or a tensor of shape (d,) or (d, d)")
    if sigma.layout != torch.strided:
        raise TypeError(f"{name}: got a tensor of layout {sigma.layout}, wanted a dense one; pass {name}.to_dense()")
    return sigma


def check_resolution(layer: str, least_deviation: float, step: float, dtype: torch.dtype) -> None:
    """Raise ValueError if rounding to multiples of `step` distorts noise of a layer with this standard deviation."""
    if least_deviation < _LEAST_STEPS * step:
        name, remedy = str(dtype).removeprefix("torch."), _REMEDIES.get(dtype, "run the layer in float32")
        raise ValueError(
            f"sigma: got {least_deviation:g} for {layer!r}, near whose largest value the numbers of {name} are "
            f"{step:g} apart, wanted at least {_LEAST_STEPS * step:g}; or {remedy}"
        )


def check_range(name: str, least_deviation: float, largest_deviation: float) -> None:
    """Raise ValueError unless standard deviations can be multiplied by normal values in float32."""
    if least_deviation < _LEAST_DEVIATION or largest_deviation > _LARGEST_DEVIATION:
        got = least_deviation if least_deviation < _LEAST_DEVIATION else largest_deviation
        raise ValueError(
            f"{name}: got a standard deviation of {got:g}, wanted one from {_LEAST_DEVIATION:g} to "
            f"{_LARGEST_DEVIATION:g}, because noise is added in float32; scale the layer"
        )
