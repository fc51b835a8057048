"""The attributes and modes of a network's modules, restored after a pass or a block of passes."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn

# Standard containers: a forward method may keep values in them, for instance those of skip connections.
CONTAINERS = (list, dict, set, collections.OrderedDict, collections.defaultdict, collections.deque)

# Attributes of every module whose contents a forward method does not change. It may replace the items of `_buffers`.
_FIXED_ATTRIBUTES = set(vars(nn.Module())) - {"_buffers"}


class ModuleState:
    """The attributes of all modules of a network, and the contents of the containers among these attributes.

    Values are not copied: `restore` does not undo a write into a tensor, into a container within a container, or into
    another object.
    """

    def __init__(self, model: nn.Module) -> None:
        self._attributes = [(vars(module), dict(vars(module))) for module in model.modules()]
        containers = {
            id(value): value
            for _, attributes in self._attributes
            for name, value in attributes.items()
            if name not in _FIXED_ATTRIBUTES and type(value) in CONTAINERS
        }
        self._contents: list[tuple[Any, Any]] = [(container, container.copy()) for container in containers.values()]

    def restore(self) -> None:
        """Restore the attributes of all modules and the contents of the containers."""
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
