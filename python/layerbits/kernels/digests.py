"""Hashes of values that are equal in each process, on each device and in each version of torch."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

# Functions and objects have other addresses in each process.
_ADDRESS = re.compile(" at 0x[0-9a-f]+")


def digest(value: object) -> str:
    """Return a hash of tensors, arrays, dataclasses, mappings and sequences by value, and of other objects by repr."""
    hash_ = hashlib.sha256()
    for part in _parts(value):
        hash_.update(part)
    return hash_.hexdigest()


def _parts(value: object) -> Iterator[bytes | memoryview]:
    yield type(value).__name__.encode()
    if isinstance(value, Tensor):
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        yield from tensor_bytes(value)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield f"{value.dtype}{value.shape}".encode()
        yield np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _parts(key)
            yield from _parts(item)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            yield from _parts(item)
    else:
        yield _ADDRESS.sub("", repr(value)).encode()


def tensor_bytes(tensor: Tensor) -> Iterator[bytes | memoryview]:
    """Yield the bytes of the values of a tensor, and of the layout and the indices of a sparse or quantized tensor."""
    tensor = tensor.detach().cpu()
    if tensor.layout == torch.strided and not tensor.is_quantized:
        # NumPy has no bfloat16, so bytes are hashed; Tensor.numpy would forbid its owner to resize the memory.
        yield np.from_dlpack(tensor.resolve_conj().resolve_neg().flatten().contiguous().view(torch.uint8)).data
        return
    for part in _plain_parts(tensor):
        yield f"{tensor.layout}{tensor.dtype}{part.dtype}{tuple(part.shape)}".encode()
        yield from tensor_bytes(part)


def _plain_parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the strided tensors that a sparse, quantized or opaque tensor consists of."""
    if tensor.is_quantized:
        return tensor.int_repr(), tensor.dequantize()
    if tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce()
        return tensor.indices(), tensor.values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return tuple(tensor.unbind()) if tensor.is_nested else (tensor.to_dense(),)
