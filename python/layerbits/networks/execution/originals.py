"""`originals_protected`: refuse writes on a network itself in a pass of its shadow.

A hook, for instance, may close over the network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.call_stack import modules_on_stack
from layerbits.networks.execution.module_state import CONTAINERS
from layerbits.networks.execution.other_threads import is_alone
from layerbits.networks.execution.output_tensor import all_tensors
from layerbits.networks.execution.shadow import copied_modules
from layerbits.networks.execution.tensor_memory import address_of, storage_of

# Attributes of a module that hold its parameters, buffers and submodules by name.
_TENSORS_AND_PARTS = ("_parameters", "_buffers", "_modules")


@contextlib.contextmanager
def originals_protected(model: nn.Module) -> Iterator[None]:
    """Refuse writes of this thread on the modules, parameters and buffers of a network within a ``with`` block.

    Writes of torch into the tensors of other modules that run in a pass of the shadow, as of a closure, are refused
    too. A write of torch into a tensor is refused before it is done. Other writes are undone after a block that raises
    no error. They are found if they store a tensor of the block, or if no other thread runs code of the user or of
    torch, which could have written meanwhile.

    Raises
    ------
    LayerSelectionError
        The block writes on the network.
    """
    state = _State(model)
    with _RefuseWrites(model) as writes:
        yield
    state.check(writes.made)


def _refuse(names: Mapping[int, str], module: nn.Module, attribute: str) -> None:
    place = f"{type(module).__name__} at {names[id(module)]!r}" if names[id(module)] else type(module).__name__
    raise LayerSelectionError(
        f"model: got a forward method or hook that writes {attribute} of {place}, wanted writes on attributes or "
        "buffers of the module that runs, such as the first argument of a hook, or on an object of your own: layerbits "
        "runs a copy of the network, and must not change the network itself; or remove the hook for the measurement"
    )


class _RefuseWrites(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations that write into parameters, buffers and other tensors of the network itself.

    Writes into tensors of a running module that belongs neither to the shadow nor to the network are refused too.

    Attributes
    ----------
    made : dict of int to StorageWeakRef
        The memory of the results of all operations, by address; the reference keeps the address from being used again.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._modules = {id(module): name for name, module in model.named_modules()}
        self._owners: dict[int, tuple[nn.Module, str]] = {}
        self.made: dict[int, StorageWeakRef] = {}
        for module in model.modules():
            self._owners |= {address: (module, name) for address, name in _names_by_address(module).items()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        for tensor in _written(func, args, kwargs):
            address = address_of(tensor) or 0
            if address in self._owners:
                module, name = self._owners[address]
                _refuse(self._modules, module, f"into the tensor {name!r}")
            if address not in self.made:
                _refuse_outside(address)
        output = func(*args, **kwargs)
        for storage in map(storage_of, _tensors(output)):
            if storage is not None and storage._cdata not in self.made:
                self.made[storage._cdata] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        return output


class _State:
    """The attributes of the modules of a network, and the items of the containers among them."""

    def __init__(self, model: nn.Module) -> None:
        self._is_alone = is_alone()
        self._modules = {id(module): name for name, module in model.named_modules()}
        self._attributes = [(module, dict(vars(module))) for module in model.modules()]
        self._items = [
            (module, name, value, value.copy())
            for module, attributes in self._attributes
            for name, value in attributes.items()
            if type(value) in CONTAINERS
        ]

    def check(self, made: Collection[int]) -> None:
        """Undo all writes since the creation, and refuse the first; `made` has the addresses of the block's tensors."""
        stayed_alone = self._is_alone and is_alone()
        writes: list[tuple[nn.Module, str]] = []
        for module, attributes in self._attributes:
            present = vars(module)
            for name in [*attributes.keys() - present.keys(), *present.keys()]:
                value, before = present.get(name), attributes.get(name)
                if value is not before and (stayed_alone or _hold(value, made)):
                    present.pop(name, None)
                    if name in attributes:
                        present[name] = before
                    writes.append((module, f"the attribute {name!r}"))
        for module, name, container, items in self._items:
            if not _same_items(container, items) and (stayed_alone or _hold(container, made)):
                written = f"into the {type(container).__name__} {name!r}"
                if name in _TENSORS_AND_PARTS:
                    keys = [key for key in {**container, **items} if container.get(key) is not items.get(key)]
                    written = f"the attribute {next(iter(keys or items))!r}"  # a write may change the order alone
                container.clear()
                container.extend(items) if hasattr(container, "extend") else container.update(items)
                writes.append((module, written))
        if writes:
            _refuse(self._modules, *writes[0])


def _same_items(container: Any, items: Any) -> bool:
    if len(container) != len(items):
        return False
    if isinstance(container, set):
        return bool(container == items)
    if isinstance(container, Mapping):
        return list(container) == list(items) and all(container[key] is items[key] for key in items)
    return all(item is other for item, other in zip(container, items, strict=True))


def _hold(value: object, made: Collection[int]) -> bool:
    """Return whether a value has a tensor of the block."""
    return any(address_of(tensor) in made for tensor in all_tensors(value))


def _names_by_address(module: nn.Module) -> dict[int, str]:
    """Return the names of the tensors of a module by their addresses."""
    values = vars(module) | module._parameters | module._buffers
    addresses = {name: address_of(tensor) for name, tensor in values.items() if isinstance(tensor, Tensor)}
    return {address: name for name, address in addresses.items() if address is not None}


def _refuse_outside(address: int) -> None:
    """Raise a LayerSelectionError if the memory belongs to a running module that was not copied for the shadow."""
    running = modules_on_stack()
    copied = next(filter(None, map(copied_modules, running)), None)
    if copied is None:
        return
    for module in running:
        name = _names_by_address(module).get(address)
        if name is not None and id(module) not in copied:
            raise LayerSelectionError(
                f"model: got {type(module).__name__}, which forward reaches through a closure or another object, and "
                f"which writes into its tensor {name!r}, wanted a submodule, of which layerbits can run a copy; assign "
                "the module to an attribute of the network" + (", or call its eval()" if module.training else "")
            )


def _written(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    arguments = func._schema.arguments if hasattr(func, "_schema") else ()
    values = dict(zip((argument.name for argument in arguments), args, strict=False)) | dict(kwargs)
    written = [
        values.get(argument.name)
        for argument in arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return _tensors(written)


def _tensors(values: object) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
