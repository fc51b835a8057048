"""The signal of a layer, which is the first floating-point tensor in its output: find it, and replace it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from layerbits._base import LayerSelectionError

# The remedy for nested tensors, which an nn.TransformerEncoder makes from inputs with a padding mask.
DENSE_ENCODER = (
    "set use_nested_tensor = False of the nn.TransformerEncoder, or build it with enable_nested_tensor=False"
)


def find_tensor(output: object) -> Tensor | None:
    """Return the first floating-point tensor in a tensor, tuple, list, mapping or dataclass; None if there is none."""
    return next((tensor for tensor in all_tensors(output) if tensor.is_floating_point()), None)


def all_tensors(output: object) -> Iterator[Tensor]:
    """Yield the tensors in a tensor, tuple, list, mapping or dataclass, in their order."""
    if isinstance(output, Tensor):
        yield output
    for item in _items(output):
        yield from all_tensors(item)


def has_tensors_only(value: object) -> bool:
    """Return whether a value has only tensors, constants, and the containers in which `all_tensors` finds tensors."""
    items = _items(value)
    if items or isinstance(value, Mapping | tuple | list):
        return all(has_tensors_only(item) for item in items)
    return value is None or isinstance(value, Tensor | bool | int | float | complex | str | torch.dtype | torch.device)


def replace_tensor(output: Any, tensor: Tensor, replacement: Tensor) -> Any:
    """Return a copy of an output in which `replacement` takes the place of `tensor`, at its first occurrence."""
    if output is tensor:
        return replacement
    if isinstance(output, Mapping):
        key = next(key for key, item in output.items() if _holds(item, tensor))
        changed: Any = copy.copy(output)
        changed[key] = replace_tensor(output[key], tensor, replacement)
        return changed
    if isinstance(output, tuple | list):
        items = list(output)
        index = next(index for index, item in enumerate(items) if _holds(item, tensor))
        items[index] = replace_tensor(items[index], tensor, replacement)
        return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
    name = next(name for name in _field_names(output) if _holds(getattr(output, name), tensor))
    changed = copy.copy(output)
    # dataclasses.replace would run __post_init__ again; object.__setattr__ sets fields of frozen classes too.
    object.__setattr__(changed, name, replace_tensor(getattr(output, name), tensor, replacement))
    return changed


def other_tensors(output: object) -> list[Tensor]:
    """Return the floating-point tensors of an output except the first, which is the signal."""
    return [tensor for tensor in all_tensors(output) if tensor.is_floating_point()][1:]


def with_moved_others(output: Any) -> Any:
    """Return a copy of an output in which 1 is added to `other_tensors`; one of them may be the signal itself."""
    signal = find_tensor(output)
    assert signal is not None
    placeholder = signal.clone()  # `replace_tensor` would find the signal where one of the others is meant
    moved = replace_tensor(output, signal, placeholder)
    for tensor in other_tensors(output):
        moved = replace_tensor(moved, tensor, tensor + 1)
    return replace_tensor(moved, placeholder, signal)


def signal_of(layer: str, output: object) -> Tensor:
    """Return the signal of a layer: the first floating-point tensor of its output.

    Raises
    ------
    LayerSelectionError
        The output has no signal.
    """
    signal = find_tensor(output)
    check_has_signal(layer, why_no_signal(output))
    assert signal is not None
    return signal


def check_has_signal(layer: str, reason: str) -> None:
    """Raise a LayerSelectionError if there is a reason why the output of a layer has no signal (`why_no_signal`)."""
    if reason:
        raise LayerSelectionError(f"layers: got {layer!r}, which returns {reason}")


def why_no_signal(output: object) -> str:
    """Return why an output has no signal: what it is, what is wanted, and a remedy; empty if it has a signal.

    A signal is a dense or nested floating-point tensor of at least 16 bits with values, in no packed sequence.
    """
    signal = find_tensor(output)
    if signal is None:
        is_quantized = any(tensor.is_quantized for tensor in all_tensors(output))
        remedy = "pass the network as it was before quantization" if is_quantized else "select other layers"
        if isinstance(output, Tensor):
            return f"a tensor of {output.dtype}, wanted floating-point values; {remedy}"
        got = "None" if output is None else type(output).__name__
        wanted = "a floating-point tensor, or a tuple, list, mapping or dataclass that contains one"
        return f"{got}, wanted {wanted}; {remedy}"
    if _is_packed(output, signal):
        return "a PackedSequence, wanted a row for each input; pass padded sequences"
    if signal.layout != torch.strided and not signal.is_nested:
        return f"a tensor of layout {signal.layout}, wanted a dense one; return it .to_dense(), or select other layers"
    if signal.is_meta:
        return "a tensor on the meta device, wanted values; select other layers"
    if torch.finfo(signal.dtype).bits < 16:
        return f"a tensor of {signal.dtype}, wanted float16, bfloat16, float32 or float64; select other layers"
    return ""


def measured_signal(layer: str, output: object) -> Tensor:
    """Return the signal of a layer for a measurement.

    Raises
    ------
    LayerSelectionError
        The output has no signal, or the signal is a nested tensor.
    """
    signal = signal_of(layer, output)
    if signal.is_nested:
        raise LayerSelectionError(
            f"layers: got {layer!r}, which returns a nested tensor, wanted rows of one shape; {DENSE_ENCODER}"
        )
    return signal


def _holds(output: object, tensor: Tensor) -> bool:
    return any(other is tensor for other in all_tensors(output))


def _is_packed(output: object, signal: Tensor) -> bool:
    """Return whether a packed sequence contains the signal of an output."""
    if find_tensor(output) is not signal:
        return False
    return isinstance(output, PackedSequence) or any(_is_packed(item, signal) for item in _items(output))


def _items(output: object) -> tuple[object, ...]:
    if isinstance(output, Mapping):
        return tuple(output.values())
    if isinstance(output, tuple | list):
        return tuple(output)
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return tuple(getattr(output, name) for name in _field_names(output))
    return ()


def _field_names(output: Any) -> list[str]:
    # An instance may lack the attribute of a field that has no default and is not an argument.
    return [field.name for field in dataclasses.fields(output) if hasattr(output, field.name)]
