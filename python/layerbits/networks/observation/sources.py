"""`SourceTracking`: the sources that the values of each tensor of a pass may depend on.

A source is the input of the network, a random number of the network itself, or the noisy value of a layer. The memory
of a tensor, which its views share, carries a set of sources. The result of an operation depends on the sources of all
tensors that the operation reads, whatever their values are: a path that acts once in a thousand passes is found.

Values can leave torch, for Python, NumPy or the size of a tensor. Later operations may depend on them without a trace,
so their sources count as sources of every later tensor.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from layerbits.networks.execution.tensor_memory import storage_of
from layerbits.networks.observation.custom_operations import UndeclaredWrites, is_custom
from layerbits.networks.observation.operations import Operation, check_runs_no_functions
from layerbits.networks.observation.shared_bytes import SharedBytes


class Source(NamedTuple):
    """A source of values: `kind` is ``"input"``, ``"random"`` or ``"layer"``; `name` names the layer or call."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        if self.kind == "layer":
            return f"the noise of {self.name!r}"
        return "the input" if self.kind == "input" else "a random number of the network"


Sources = frozenset[Source]
INPUT = Source("input")
NOTHING: Sources = frozenset()

# All generators that the network passes to operations: two of them may have the same seed, and the same numbers.
_GIVEN_GENERATOR = Source("random", "of a generator of the network")


@dataclasses.dataclass
class Memory:
    """Memory of tensors: its sources, and where it comes from.

    Attributes
    ----------
    reference : StorageWeakRef
        Keeps the address of freed memory from being used again.
    is_written : bool
        False for the memory of `torch.empty` before the first write.
    is_outside : bool
        Whether no operation of the pass made the memory, as that of parameters, or replaced all of its values before
        their first use.
    is_used : bool
        Whether an operation has used its values.
    is_shared : bool
        Whether Python or NumPy has got its bytes, and may read later values without a trace.
    """

    reference: StorageWeakRef
    sources: Sources
    is_written: bool = True
    is_outside: bool = False
    is_used: bool = False
    is_shared: bool = False


class SourceTracking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tracks the sources of all tensors while the mode is active.

    Attributes
    ----------
    lost : frozenset of Source
        Sources whose values may have left torch: every later tensor may depend on them.
    memories : dict of int to Memory
        The memory of all tensors of the operations so far, by its address.
    operations : list of tuple
        Name, numbers and shapes of results of each operation, to compare passes.
    opaque : str
        Why the pass could not be followed, apart from lost values; empty if it could.
    shows_sizes : bool
        Whether all operations are torch's own: then values that decide the size of a result are among the lost ones.
    """

    supports_higher_order_operators = True  # so that the mode gets them, and refuses them by name

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lost = NOTHING
        self.memories: dict[int, Memory] = {}
        self.operations: list[tuple[object, ...]] = []
        self.opaque, self.shows_sizes = "", True
        self._n_random = 0
        self._custom = NOTHING  # sources of the arguments of custom operations, which may keep values
        self._shared_bytes = SharedBytes()
        self._generator_states: dict[torch.device, Tensor] = {}
        self._paused = False

    def sources(self, tensor: Tensor | None) -> Sources:
        """Return the sources that a tensor may depend on; the input for None and for memory that is not known."""
        memory = None if tensor is None else self._memory(tensor)
        return self.lost | ({INPUT} if memory is None else memory.sources)

    def begin(self, tensor: Tensor, sources: Sources) -> None:
        """Give the memory of a tensor these sources in place of others."""
        storage = _single_storage(tensor)
        if storage is None:
            self.lost |= sources  # a tensor without memory of its own, such as a sparse one
        else:
            reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
            self.memories[storage._cdata] = Memory(reference, sources)

    def copy(self, tensor: Tensor, sources: Sources) -> Tensor:
        """Return a copy of a tensor in new memory, with these sources in place of those of the tensor."""
        with self.paused():
            copied = tensor.clone()
        self.begin(copied, sources)
        return copied

    def read(self, values: object) -> None:
        """Count the values of all tensors among `values`, and later ones in their memory, as known outside of torch."""
        for value in tree_leaves(values):
            if isinstance(value, Tensor):
                self.lost |= self.sources(value)
                memory = self._memory(value)
                if memory is not None:
                    memory.is_shared = True
                    self._find_shared_bytes(value, memory)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Ignore operations within a ``with`` block, such as those of layerbits itself."""
        self._paused, before = True, self._paused
        try:
            yield
        finally:
            self._paused = before

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        check_runs_no_functions(func)
        operation = Operation(func, args, kwargs)
        self.shows_sizes = self.shows_sizes and func.namespace == "aten"
        literal = operation.literal()
        if literal is not None and _address(literal) not in self.memories:
            self.begin(literal, NOTHING)
        sources = self._read(operation) | self._own_source(operation)
        known = {_address(tensor) for tensor in operation.tensors}
        if is_custom(operation):
            self._custom |= sources
            sources = self._custom
            undeclared_writes = UndeclaredWrites(operation)
            output = func(*args, **kwargs)
            if undeclared_writes.exist():
                self.opaque = "has an operation that writes into an argument that its schema does not name"
        else:
            output = func(*args, **kwargs)
        self._keep_generator_states(operation)
        for tensor in operation.written:
            self._write(tensor, sources, covers=operation.overwrites and _covers_memory(tensor))
        results = tree_leaves(output)
        written = {_address(tensor) for tensor in operation.written}
        for tensor in results:
            if isinstance(tensor, Tensor) and _address(tensor) not in written:
                self._add_result(tensor, sources, known, operation)
        if operation.loses(results):
            self.lost |= sources
        self.operations.append(operation.identity(results))
        return output

    def _read(self, operation: Operation) -> Sources:
        """Return the sources of the values that an operation reads, without lost ones."""
        sources = NOTHING
        for tensor in operation.read:
            memory = self._memory(tensor)
            sources |= {INPUT} if memory is None else memory.sources
            if memory is not None and operation.uses_values:
                memory.is_used = True
                if not memory.is_written and tensor.numel():
                    self.opaque = "uses memory that no operation of torch has written"
        if operation.shows_values:
            self.lost |= sources
        self.lost = self.lost.union(*map(self.sources, operation.masks))
        return sources

    def _add_result(self, tensor: Tensor, sources: Sources, known: set[int | None], operation: Operation) -> None:
        address = _address(tensor)
        if address is None:
            self.lost |= sources
        elif address in known or address in self.memories:
            self._add_sources(self.memories[address], sources)
        else:
            self.begin(tensor, sources)
            self.memories[address].is_written = not operation.leaves_unwritten

    def _write(self, tensor: Tensor, sources: Sources, *, covers: bool) -> None:
        memory = self._memory(tensor)
        if memory is None:
            self.lost |= sources
            return
        if covers:
            memory.sources = NOTHING
        self._add_sources(memory, sources)
        memory.is_written = True
        memory.is_outside = memory.is_outside and (memory.is_used or not covers)

    def _add_sources(self, memory: Memory, sources: Sources) -> None:
        memory.sources |= sources
        if memory.is_shared:
            self.lost |= sources

    def _memory(self, tensor: Tensor) -> Memory | None:
        address = _address(tensor)
        if address is None:
            return None
        if address not in self.memories:
            self.begin(tensor, NOTHING)
            self.memories[address].is_outside = True
            self._find_shared_bytes(tensor, self.memories[address])
        return self.memories[address]

    def _find_shared_bytes(self, tensor: Tensor, memory: Memory) -> None:
        storage = _single_storage(tensor)
        if storage is not None and self._shared_bytes.add(storage, is_outside=memory.is_outside):
            self.opaque = "has tensors that share bytes, as two tensors of one NumPy array"

    def _own_source(self, operation: Operation) -> Sources:
        """Return the source of the random numbers that an operation generates; nothing for other operations."""
        if not operation.is_random:
            return NOTHING
        if operation.generator is not None:
            return frozenset({_GIVEN_GENERATOR})
        device = operation.device
        if not torch.equal(self._generator_states.setdefault(device, _state(device)), _state(device)):
            # Random numbers after the same seed are equal, so they are no independent sources.
            self.opaque = "sets the seed or the state of a generator"
        self._n_random += 1
        return frozenset({Source("random", str(self._n_random))})

    def _keep_generator_states(self, operation: Operation) -> None:
        if operation.is_random and operation.generator is None:
            self._generator_states[operation.device] = _state(operation.device)

    def keep_first_states(self, devices: Iterable[torch.device]) -> None:
        """Keep the states of torch's generators before the pass, to find that the network sets them."""
        self._generator_states = {device: _state(device) for device in devices}


def _single_storage(tensor: Tensor) -> torch.UntypedStorage | None:
    """Return the memory of a tensor; None if it has several, as a nested or sparse tensor."""
    with torch._C.DisableTorchFunction():  # or the function mode of the pass would intercept this reading
        has_several = tensor.is_nested or tensor.layout != torch.strided
    return None if has_several else storage_of(tensor)


def _address(tensor: Tensor) -> int | None:
    storage = _single_storage(tensor)
    return None if storage is None else storage._cdata


def _covers_memory(tensor: Tensor) -> bool:
    """Return whether a tensor takes all of its memory, so that a write replaces all values."""
    storage = _single_storage(tensor)
    if storage is None or tensor.numel() * tensor.element_size() != storage.nbytes():
        return False
    return tensor.is_contiguous() or (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last))


def _state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
