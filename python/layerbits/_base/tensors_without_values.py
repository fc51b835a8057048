"""Tensors that have a shape and no values."""

from __future__ import annotations

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import is_lazy


def has_no_values(tensor: Tensor) -> bool:
    """Return whether a tensor is that of a FakeTensorMode, on the meta device, or a lazy parameter without a shape."""
    return is_lazy(tensor) or isinstance(tensor, FakeTensor) or tensor.is_meta
