"""Whether a tensor of an observed pass depends on the input of the network.

A layer that does not, such as a network of relative positions that makes a bias of attention, carries no information
about the input. Every operation of torch on a tensor that depends on the input marks the memory of its results. Values
can leave torch for Python or another library, and come back unmarked. So after such an operation all tensors count as
dependent, and a second pass with other inputs must confirm that a layer does not depend on them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from layerbits.networks.execution.output_tensor import all_tensors, has_tensors_only
from layerbits.networks.execution.shadow import copy_arguments

# Functions through which values leave torch. Numbers leave through operations, which the mode intercepts.
VALUE_READERS = {
    Tensor.numpy,
    Tensor.tolist,
    Tensor.__array__,
    Tensor.__dlpack__,
    Tensor.data_ptr,
    Tensor.storage,
    Tensor.untyped_storage,
}


class InputDependence(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Marks the memory of the tensors of a pass that depend on the arguments of the network.

    Attributes
    ----------
    is_lost : bool
        Whether values may have left torch, so that all tensors count as dependent.
    """

    def __init__(self, arguments: object) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_lost = not has_tensors_only(arguments)
        # The weak reference keeps the address of freed memory from being used again.
        self._marked: dict[int, StorageWeakRef] = {}
        self._paused = False
        for tensor in all_tensors(arguments):
            self._mark(tensor)

    def depends(self, tensor: Tensor | None) -> bool:
        """Return whether a tensor depends on the input, as far as is known; True for None."""
        if self.is_lost or tensor is None:
            return True
        storage = _storage(tensor)
        return storage is None or storage._cdata in self._marked

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Ignore operations within a ``with`` block, such as those of layerbits itself."""
        self._paused, before = True, self._paused
        try:
            yield
        finally:
            self._paused = before

    def _mark(self, tensor: Tensor) -> None:
        storage = _storage(tensor)
        if storage is None:
            self.is_lost = True
        elif storage._cdata not in self._marked:
            self._marked[storage._cdata] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if self.is_lost or self._paused:
            return output
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        if any(self.depends(tensor) for tensor in tensors):
            results = tree_leaves(output)
            if any(not isinstance(result, Tensor) and result is not None for result in results):
                self.is_lost = True  # a number, such as that of `item`
            written = [
                value
                for argument, value in _arguments(func, args, kwargs)
                if argument.alias_info is not None and argument.alias_info.is_write
            ]
            for tensor in (*results, *tree_leaves(written)):
                if isinstance(tensor, Tensor):
                    self._mark(tensor)
        return output


def _arguments(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the arguments of an operation, as its schema describes them, with their values."""
    arguments = func._schema.arguments
    yield from zip(arguments, args, strict=False)
    yield from ((argument, kwargs[argument.name]) for argument in arguments if argument.name in kwargs)


def _storage(tensor: Tensor) -> torch.UntypedStorage | None:
    """Return the memory of a tensor, which its views share; None if it has several, as a sparse tensor."""
    with torch._C.DisableTorchFunction():  # or the function mode of the pass would intercept this reading
        if tensor.is_nested or tensor.layout != torch.strided:
            return None
        try:
            return tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # a tensor without memory of its own
            return None


def other_values(arguments: Any) -> tuple[Any, bool]:
    """Return a copy of the arguments of a network with other values, and whether any value differs.

    Numbers get normal noise of their size; integers, which may be indices, change their places.
    """
    changed, generator = copy_arguments(arguments), torch.Generator().manual_seed(0)
    differs = False
    for tensor in all_tensors(changed):
        before = tensor.clone()
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator).to(tensor)
            tensor.add_(noise * (1 + tensor.abs().mean()))
        elif tensor.dtype != torch.bool:
            tensor.copy_(tensor.flip(tuple(range(tensor.ndim))))
        differs = differs or not torch.equal(before, tensor)
    return changed, differs
