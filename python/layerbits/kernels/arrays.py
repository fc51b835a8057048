"""Conversion of the caller's arrays and of sigma to tensors, with errors that name the argument."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from layerbits._base import check_positive, has_no_values, refuse_sparse

_DEVICE_TYPES = ("cpu", "cuda")


def as_tensor(name: str, array: object) -> Tensor:
    """Return a tensor that shares memory with `array` if torch and the core allow it.

    Parameters
    ----------
    name : str
        Name of the argument in errors.
    array : object
        A tensor on the CPU or a CUDA device, or a NumPy array of real numbers or booleans, each of at most 64 bits.

    Raises
    ------
    TypeError, ValueError
        `array` has another type, dtype, layout or device, or masked values.
    """
    if isinstance(array, Tensor):
        if has_no_values(array):
            raise ValueError(f"{name}: got a {type(array).__name__}, wanted a tensor that holds values")
        if array.is_nested or array.is_quantized:
            raise ValueError(f"{name}: got a nested or quantized tensor, wanted a dense one; pad or dequantize it")
        if array.layout != torch.strided or array.device.type not in _DEVICE_TYPES:
            got = f"a {array.layout} tensor on {array.device}"
            raise ValueError(
                f"{name}: got {got}, wanted a torch.strided tensor on the CPU or a CUDA device; move or convert it"
            )
        return array.resolve_conj().resolve_neg()
    refuse_sparse(name, array)
    if not isinstance(array, np.ndarray):
        remedy = "; convert it by torch.tensor or numpy.array" * isinstance(array, list | tuple)
        raise TypeError(f"{name}: got {type(array).__name__}, wanted a torch.Tensor or numpy.ndarray{remedy}")
    if np.ma.is_masked(array):
        raise ValueError(f"{name}: got masked values, wanted values alone; leave those rows out, or fill them")
    if array.dtype.kind not in "fiub" or array.itemsize > 8:
        raise TypeError(f"{name}: got dtype {array.dtype}, wanted numbers of at most 64 bits")
    # torch warns of read-only memory, and refuses byte-swapped memory and negative or fractional strides; the core
    # refuses unaligned memory.
    regular_strides = all(step >= 0 and step % array.itemsize == 0 for step in array.strides)
    is_shareable = regular_strides and array.flags.writeable and array.flags.aligned and array.dtype.isnative
    return torch.from_numpy(array if is_shareable else array.astype(array.dtype.newbyteorder("="), order="C"))


def as_floats(name: str, array: object) -> Tensor:
    """Return the tensor of `as_tensor`; TypeError unless its dtype is float32 or float64."""
    tensor = as_tensor(name, array)
    if tensor.dtype not in (torch.float32, torch.float64):
        wanted = "float32 or float64; convert it, or its network, by .float()"
        raise TypeError(f"{name}: got dtype {tensor.dtype}, wanted {wanted}")
    return tensor


def as_number(name: str, value: Tensor) -> float:
    """Return the value of a tensor of one element.

    Parameters
    ----------
    name : str
        Name of the argument that determines the value.
    value : Tensor
        A tensor of one element.

    Raises
    ------
    TypeError
        torch.func.vmap maps over the argument, so each element of a batch has its own value; or torch traces the call.
    """
    _refuse_trace(name)
    try:
        return float(value.item())
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        wanted = "one value for the whole batch; map over points or centers, and loop over other arguments"
        raise TypeError(f"{name}: got a batch under torch.func.vmap, wanted {wanted}") from error


def _refuse_trace(name: str) -> None:
    """Raise a TypeError, with this name, in a trace of torch: its graph would keep the values of this call."""
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None or torch._C._get_tracing_state():
        wanted = "plain tensors; call the function outside of make_fx, torch.func.linearize and torch.jit.trace"
        raise TypeError(f"{name}: got a call that torch traces, wanted {wanted}")


def check_plain(function: str, *tensors: Tensor | None) -> None:
    """Raise a TypeError for a tensor that torch transforms, which has no memory that a native module can read.

    Parameters
    ----------
    function : str
        Name of the function in the error.
    *tensors : Tensor or None
    """
    _refuse_trace(function)
    for tensor in tensors:
        try:
            if tensor is not None:
                tensor.data_ptr()
        except RuntimeError as error:
            wanted = "a plain tensor; loop over a batch, and call the function outside of torch.func"
            raise TypeError(f"{function}: got a tensor that torch transforms, wanted {wanted}") from error


def as_sigma(sigma: object) -> Tensor:
    """Return a positive number as a float64 scalar on the CPU, with its gradient; TypeError or ValueError otherwise."""
    if isinstance(sigma, Tensor):
        if sigma.is_nested:
            raise TypeError("sigma: got a nested tensor, wanted one floating-point number")
        if has_no_values(sigma) or sigma.numel() != 1 or not sigma.is_floating_point():
            shape = "without values" if has_no_values(sigma) else f"of shape {tuple(sigma.shape)}"
            got = f"{sigma.dtype} {shape} on {sigma.device}"
            raise TypeError(f"sigma: got {got}, wanted one floating-point number")
        check_positive("sigma", as_number("sigma", sigma))
        return sigma.reshape(()).to("cpu", torch.float64)
    return torch.tensor(check_positive("sigma", sigma), dtype=torch.float64, device="cpu")
