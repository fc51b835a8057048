"""Checks of the tensors among the inputs: their kind, their number of rows, NaN and infinity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from layerbits._base import has_no_values, refuse_sparse
from layerbits.networks.execution.arguments import REMEDY_FOR_A_GRAPH


def check_leaves(batch: object) -> None:
    """Check that inputs are, and contain, no packed sequence and no sparse matrix of scipy.

    Raises
    ------
    TypeError
        There is a packed sequence or a sparse matrix of scipy.
    ValueError
        As `leaves_of`.
    """
    leaves = leaves_of("inputs", batch, _is_packed)
    for leaf in leaves:
        refuse_sparse("inputs", leaf)
    if any(map(_is_packed, leaves)):
        raise TypeError(
            "inputs: got a PackedSequence, wanted padded rows, by torch.nn.utils.rnn.pad_packed_sequence(..., "
            "batch_first=True), with their lengths as another argument"
        )


def leaves_of(name: str, values: object, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """Return the leaves of nested lists, tuples and mappings; raise a ValueError if their depth is not finite."""
    try:
        return pytree.tree_leaves(values, is_leaf)
    except RecursionError as error:
        raise ValueError(
            f"{name}: got a {type(values).__name__} that contains itself or is nested too deeply, wanted tensors, or "
            "lists, tuples and mappings of them"
        ) from error


def check_tensors(tensors: Sequence[Tensor], remedy: str) -> None:
    """Check that tensors are dense, have one number of rows, n >= 1, and have no NaN or infinity.

    If there are several tensors, each may have -inf, as a mask that is added to the scores of attention.

    Parameters
    ----------
    tensors : sequence of Tensor of shape (n, ...)
        The tensors among the inputs.
    remedy : str
        Ends the message about a tensor without axes; from `remedy_for_samples`.

    Raises
    ------
    TypeError
        A tensor is masked, quantized, nested, or not of layout `torch.strided`.
    ValueError
        A tensor holds no values, has NaN or infinity, or has no rows; or the tensors differ in their number of rows.
    """
    if any(map(has_no_values, tensors)):
        raise ValueError(
            "inputs: got a tensor on the device meta, a fake or a lazy one, wanted a tensor that holds values"
        )
    for tensor in tensors:
        if torch.masked.is_masked_tensor(tensor):
            raise TypeError(
                "inputs: got a MaskedTensor, wanted a dense tensor; pass .to_tensor(0) and, as another argument of the "
                "network, .get_mask()"
            )
        if tensor.is_quantized:
            raise TypeError("inputs: got a quantized tensor, wanted a dense one; convert it by .dequantize()")
        if tensor.is_nested:
            raise TypeError("inputs: got a nested tensor, wanted a dense one; pad all rows to one length, with a mask")
        if tensor.layout != torch.strided:
            is_adjacency = len(tensors) > 1 and _is_square(tensor)
            raise TypeError(
                f"inputs: got a tensor of layout {tensor.layout}, wanted a dense one; "
                + (REMEDY_FOR_A_GRAPH if is_adjacency else "convert it by .to_dense()")
            )
    sizes = {tuple(tensor.shape[:1]) for tensor in tensors}
    if len(sizes) > 1 or sizes & {(), (0,)}:
        got = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(
            f"inputs: got shape {got}, wanted (n, ...) with one n >= 1; {_remedy_for_rows(tensors, remedy)}"
        )
    if any(tensor.isnan().any() for tensor in tensors):
        raise ValueError("inputs: got NaN, wanted numbers; leave those rows out")
    if any(_has_infinity(tensor, is_alone=len(tensors) == 1) for tensor in tensors):
        raise ValueError(
            "inputs: got infinity, wanted finite numbers, or -inf in a mask beside other tensors; leave those rows "
            "out, limit the values, for instance by inputs.clamp(-100, 100), or scale inputs that exceed the range of "
            "the network's dtype"
        )


def _remedy_for_rows(tensors: Sequence[Tensor], remedy: str) -> str:
    """Return the remedy for tensors whose first axes differ, or have no row."""
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if () in shapes:
        return f"pass a value that all inputs share as a number, not as a tensor; {remedy}"
    if any(shape[0] == 0 for shape in shapes):
        return "pass at least one input"
    if any(map(_is_edge_index, tensors)) and any(tensor.is_floating_point() for tensor in tensors):
        return REMEDY_FOR_A_GRAPH
    lengths = {shape[1] for shape in shapes if len(shape) > 1 and shape[0] != shape[1]}
    square = next((shape for tensor, shape in zip(tensors, shapes, strict=True) if _is_square(tensor)), None)
    if square is not None and square[0] in lengths:
        return (
            f"let a module hold the tensor of shape {square} as a buffer, if all inputs share it, or expand it to the "
            "inputs, for instance mask.expand(n, -1, -1), if the network takes one for each"
        )
    if square is not None and [shape[0] for shape in shapes].count(square[0]) > 1:
        return REMEDY_FOR_A_GRAPH
    return "make the first axis of every tensor that of the inputs"


def _has_infinity(tensor: Tensor, *, is_alone: bool) -> bool:
    """Return whether a tensor has inf, or has -inf and, as the only tensor of the inputs, is no mask."""
    if not tensor.is_floating_point():
        return bool(tensor.is_complex() and tensor.isinf().any())
    return bool((tensor == math.inf).any() or (is_alone and (tensor == -math.inf).any()))


def _is_edge_index(tensor: Tensor) -> bool:
    """Return whether a tensor may hold the ends of the edges of a graph: integers of shape (2, edges)."""
    is_integer = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    return is_integer and tensor.ndim == 2 and len(tensor) == 2


def _is_square(tensor: Tensor) -> bool:
    return tensor.ndim == 2 and tensor.shape[0] == tensor.shape[1]


def _is_packed(argument: object) -> bool:
    return isinstance(argument, PackedSequence)
