"""The memory of a tensor, by which tensors that share values are found."""

from __future__ import annotations

import torch
from torch import Tensor


def storage_of(tensor: Tensor) -> torch.UntypedStorage | None:
    """Return the memory of a tensor, which its views share; None if it has none of its own, as a sparse tensor."""
    with torch._C.DisableTorchFunction():  # or the function mode of a pass would intercept this reading
        try:
            return tensor.untyped_storage()
        except RuntimeError:  # it has no memory of its own
            return None


def address_of(tensor: Tensor) -> int | None:
    """Return a number that only tensors that share their memory have in common; None without memory."""
    storage = storage_of(tensor)
    return None if storage is None else storage._cdata
