"""Operations of the user and of other libraries: they may keep values, or write where their schemas do not say so."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits.networks.observation.operations import Operation

# Namespaces of operations that keep no values and write only where their schemas say so.
_TORCH = {
    "aten", "prims", "prim", "rngprims", "profiler", "torchvision", "torchaudio", "quantized", "_quantized", "mkldnn",
    "mkldnn_prepacked", "mkl", "onednn", "fbgemm", "inductor", "c10d", "_c10d_functional", "sparse", "xnnpack",
}  # fmt: skip


def is_custom(operation: Operation) -> bool:
    """Return whether an operation is neither torch's nor one of a library that is known here."""
    return operation.func.namespace not in _TORCH


class UndeclaredWrites:
    """The values of the arguments of an operation that its schema does not name as written."""

    def __init__(self, operation: Operation) -> None:
        written = {id(tensor) for tensor in operation.written}
        self._tensors = [tensor for tensor in operation.tensors if id(tensor) not in written and not tensor.is_nested]
        self._bytes = self._present_bytes()

    def exist(self) -> bool:
        """Return whether the operation has changed one of the values."""
        return not all(map(torch.equal, self._bytes, self._present_bytes()))

    def _present_bytes(self) -> Sequence[Tensor]:
        return [_bytes(tensor) for tensor in self._tensors]


def _bytes(tensor: Tensor) -> Tensor:
    """Return a copy of the bytes of the values: NaN equals itself, and every dtype has bytes."""
    values = tensor.detach().to_dense()
    values = values.int_repr() if values.is_quantized else values.resolve_conj().resolve_neg()
    return values.flatten().clone(memory_format=torch.contiguous_format).view(torch.uint8)
