"""The attributes, buffers and modes of a network's modules, restored after a pass or a block of passes."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

# Standard containers: a forward method may keep values in them, for instance those of skip connections.
CONTAINERS = (list, dict, set, collections.OrderedDict, collections.defaultdict, collections.deque)

# Attributes of every module whose contents a forward method does not change. It may replace the items of `_buffers`.
_FIXED_ATTRIBUTES = set(vars(nn.Module())) - {"_buffers"}


class ModuleState:
    """The attributes of all modules of a network, and the contents of the containers and tensors among them.

    The tensors are the buffers and the tensors that are attributes, without parameters. `restore` does not undo a write
    into a container or a tensor within a container, or into another object.
    """

    def __init__(self, model: nn.Module) -> None:
        self._attributes = [(vars(module), dict(vars(module))) for module in model.modules()]
        values = [
            value
            for _, attributes in self._attributes
            for name, value in attributes.items()
            if name not in _FIXED_ATTRIBUTES
        ]
        containers = {id(value): value for value in values if type(value) in CONTAINERS}
        self._contents: list[tuple[Any, Any]] = [(container, container.copy()) for container in containers.values()]
        tensors = [*model.buffers(), *(value for value in values if isinstance(value, Tensor))]
        self._tensors = [_TensorValues(tensor) for tensor in {id(tensor): tensor for tensor in tensors}.values()]

    def restore(self) -> None:
        """Restore the attributes of all modules and the contents of the containers and tensors."""
        for attributes, earlier_attributes in self._attributes:
            for name in attributes.keys() - earlier_attributes.keys():
                del attributes[name]
            attributes.update(earlier_attributes)
        for container, contents in self._contents:
            container.clear()
            if isinstance(container, list | collections.deque):
                container.extend(contents)
            else:
                container.update(contents)
        for values in self._tensors:
            values.restore()


class _TensorValues:
    """The values of a tensor, which are written back if an operation has written into the tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.values = tensor, tensor.detach().clone()
        self.version = self._version()

    def restore(self) -> None:
        if self.version is None or self._version() != self.version:
            with torch.no_grad():
                self.tensor.copy_(self.values)
            self.version = self._version()

    def _version(self) -> int | None:
        """Return the number of writes into the tensor; None in inference mode, where torch does not count them."""
        return None if self.tensor.is_inference() else self.tensor._version


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` into evaluation mode for a ``with`` block, then restore the mode of every module."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
