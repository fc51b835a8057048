"""`CustomOperations`: the operations of other libraries and of the user, whose schemas may not show what they do."""

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
        self._values = self._contents()

    def exist(self) -> bool:
        """Return whether the operation has changed one of the values."""
        return not all(
            torch.equal(before.nan_to_num(), after.nan_to_num())
            for before, after in zip(self._values, self._contents(), strict=True)
        )

    def _contents(self) -> Sequence[Tensor]:
        return [tensor.detach().to_dense().clone() for tensor in self._tensors]
