"""Checks of the tensors among the inputs: their kind, their number of rows, and NaN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from layerbits._base import has_no_values, refuse_sparse


def check_leaves(batch: object) -> None:
    """Raise a TypeError if inputs are, or contain, a packed sequence or a sparse matrix of scipy."""
    leaves = pytree.tree_leaves(batch, _is_packed)
    for leaf in leaves:
        refuse_sparse("inputs", leaf)
    if any(map(_is_packed, leaves)):
        raise TypeError(
            "inputs: got a PackedSequence, wanted padded rows, by torch.nn.utils.rnn.pad_packed_sequence(..., "
            "batch_first=True), with their lengths as another argument"
        )


def check_tensors(tensors: Sequence[Tensor]) -> None:
    """Check that tensors are dense, have one number of rows, n >= 1, and have no NaN.

    Raises
    ------
    TypeError
        A tensor is quantized, nested, or of another layout than `torch.strided`.
    ValueError
        A tensor holds no values or has NaN, or the tensors differ in their number of rows or have none.
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
            raise TypeError(
                f"inputs: got a tensor of layout {tensor.layout}, wanted a dense one; convert it by .to_dense()"
            )
    sizes = {tuple(tensor.shape[:1]) for tensor in tensors}
    if len(sizes) > 1 or sizes & {(), (0,)}:
        got = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(f"inputs: got shape {got}, wanted (n, ...) with one n >= 1; {_remedy_for_rows(sizes)}")
    if any(tensor.isnan().any() for tensor in tensors):
        raise ValueError("inputs: got NaN, wanted numbers; leave those rows out")


def _remedy_for_rows(sizes: set[tuple[int, ...]]) -> str:
    """Return the remedy for tensors whose first axes have these sizes."""
    if () in sizes:
        return (
            "pass a value that all inputs share as a number, not as a tensor; a list holds batches: for a list of "
            "samples, pass DataLoader(samples, batch_size=100)"
        )
    if (0,) in sizes:
        return "pass at least one input"
    return (
        "make the first axis of every tensor that of the inputs; for the nodes and edges of one graph, let a module "
        "that holds the graph take numbers of nodes, or measure signals with layerbits.information"
    )


def _is_packed(argument: object) -> bool:
    return isinstance(argument, PackedSequence)
