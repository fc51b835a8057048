"""Tensors without values."""

from __future__ import annotations

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import is_lazy


def has_no_values(tensor: Tensor) -> bool:
    """Return whether a tensor belongs to a FakeTensorMode, is on the meta device, or is a lazy parameter."""
    return is_lazy(tensor) or isinstance(tensor, FakeTensor) or tensor.is_meta
