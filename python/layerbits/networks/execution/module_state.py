"""The attributes and modes of a network's modules, restored after a pass or a block of passes."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn

# Containers whose contents are restored: a forward method may keep, for instance, a list of skipped values.
_CONTAINERS = (list, dict, set, collections.OrderedDict, collections.defaultdict, collections.deque)

# Attributes of every module that a forward method does not change; buffers it may replace.
_FIXED = set(vars(nn.Module())) - {"_buffers"}


class ModuleState:
    """The attributes of all modules of a network, and what the containers among them contain.

    Values are kept, not copied: a tensor that is written in place, and the attributes of other objects, stay changed.
    """

    def __init__(self, model: nn.Module) -> None:
        self._attributes = [(vars(module), dict(vars(module))) for module in model.modules()]
        containers = {
            id(value): value
            for _, attributes in self._attributes
            for name, value in attributes.items()
            if name not in _FIXED and type(value) in _CONTAINERS
        }
        self._contents: list[tuple[Any, Any]] = [(container, container.copy()) for container in containers.values()]

    def restore(self) -> None:
        """Give all modules these attributes, and the containers their contents."""
        for attributes, kept in self._attributes:
            for name in attributes.keys() - kept.keys():
                del attributes[name]
            attributes.update(kept)
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
