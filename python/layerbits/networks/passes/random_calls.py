"""The random numbers of a network itself, by row: recorded in one pass, and given to the same rows in another pass.

A row keeps its random numbers whatever rows stand beside it. If its signal changes all the same, then it depends on the
other rows, on their random numbers, or on its place in the pass.
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from layerbits.networks.execution.weights import WeightSums
from layerbits.networks.observation.operations import Operation
from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.passes.interaction import refuse_interaction

# Beginnings of the names of operators that generate random numbers and also add over rows or tokens.
_MIXING = ("_scaled_dot_product", "_flash_attention", "_efficient_attention", "_cudnn_rnn", "miopen_rnn")


@dataclasses.dataclass(frozen=True)
class RandomCall:
    """One call of an operator that generates random numbers: its name, its results and the values that it reads."""

    name: str
    results: tuple[Tensor, ...]
    read: tuple[Tensor, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first result."""
        return tuple(self.results[0].shape) if self.results else ()


@dataclasses.dataclass(frozen=True)
class CallLayout:
    """The positions of the rows of a pass in its random calls.

    Attributes
    ----------
    axes : tuple of int or None
        For each call the axis of the rows in its first result; None if there is none.
    adjacent : mapping of int to int
        For calls with several entries for each row along the axis, the number of entries of a row that stand together:
        1 if the rows stand side by side, d in a flat result of (tokens, rows, d) values. In other calls all entries of
        a row stand together.
    """

    axes: tuple[int | None, ...]
    adjacent: Mapping[int, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, calls: Sequence[RandomCall], n_rows: int, fewer: Sequence[RandomCall], n_fewer: int) -> CallLayout:
        """Return the layout that the calls of two passes show, with the entries of a row together."""
        pairs = itertools.zip_longest((call.shape for call in calls), (call.shape for call in fewer), fillvalue=())
        return cls(tuple(_axis(shape, other, n_rows, n_fewer) for shape, other in pairs))

    def entries(self, index: int, rows: Sequence[int], n_rows: int, length: int) -> list[int]:
        """Return the positions of the entries of `rows` in a pass of `n_rows`.

        The positions are those along the axis of the rows, of size `length`, in call `index`.
        """
        per_row = length // n_rows
        adjacent = self.adjacent.get(index, per_row)
        blocks = ((block * n_rows + row) * adjacent for block in range(per_row // adjacent) for row in rows)
        return [start + entry for start in blocks for entry in range(adjacent)]

    def rows(self, index: int, call: RandomCall, rows: Sequence[int], n_rows: int) -> RandomCall:
        """Return the part of call `index` that belongs to some rows, or the whole call if it has no axis of rows."""
        axis = self.axes[index]
        if axis is None or len(call.shape) <= axis or call.shape[axis] % n_rows:
            return call
        length, n_axes = call.shape[axis], len(call.shape)
        entries = self.entries(index, rows, n_rows, length)

        def part(tensor: Tensor, axis: int) -> Tensor:
            if not 0 <= axis < tensor.ndim or tensor.shape[axis] != length:
                return tensor
            return tensor.index_select(axis, torch.tensor(entries, device=tensor.device))

        return RandomCall(
            call.name,
            tuple(part(tensor, axis) for tensor in call.results),
            tuple(part(tensor, axis - n_axes + tensor.ndim) for tensor in call.read),
        )


class RandomCallMode(TorchDispatchMode, abc.ABC):  # type: ignore[no-untyped-call]
    """Calls `_after` after each operator that generates random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_calls = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        operation = Operation(func, args, kwargs)
        if not operation.is_random:
            return func(*args, **kwargs)
        _check_numbers_by_row(operation)
        # The second tensor of rrelu_with_noise gets the noise.
        read = operation.tensors[:1] if operation.name.startswith("rrelu") else operation.read
        kept = tuple(tensor.clone() if operation.written else tensor for tensor in read)
        output = func(*args, **kwargs)
        results = tuple(leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor))
        self._after(self.n_calls, RandomCall(str(func), results, kept), lambda: func(*args, **kwargs), operation)
        self.n_calls += 1
        return output

    @abc.abstractmethod
    def _after(self, index: int, call: RandomCall, repeat: Callable[[], Any], operation: Operation) -> None:
        """Read or overwrite the results of call `index`; `repeat` runs the operator again."""


class RandomCallRecorder(RandomCallMode):  # type: ignore[no-untyped-call]
    """Records copies of the random calls of a pass in `calls`.

    Parameters
    ----------
    part : callable, optional
        Called with the number of a call and the call; returns the part to record, or None.
    """

    def __init__(self, part: Callable[[int, RandomCall], RandomCall | None] = lambda _, call: call) -> None:
        super().__init__()
        self.calls: list[RandomCall] = []
        self._part = part

    def _after(self, index: int, call: RandomCall, repeat: Callable[[], Any], operation: Operation) -> None:
        part = self._part(index, call)
        if part is not None:
            results, read = (tuple(map(torch.clone, tensors)) for tensors in (part.results, part.read))
            # Copies, because the network may overwrite the tensors.
            self.calls.append(RandomCall(part.name, results, read))


@dataclasses.dataclass(frozen=True)
class RandomCallRecord:
    """The random calls of `n_rows` rows of a pass."""

    layout: CallLayout
    calls: Sequence[RandomCall]
    n_rows: int

    def replay(self, rows: Sequence[int], compared: Sequence[int] | None = None) -> RandomCallReplay:
        """Return a mode in which the rows of a pass get the random numbers of these recorded rows.

        The values that the calls read are compared with the recorded values in the rows `compared` of the pass, by
        default in all.
        """
        calls = [self.layout.rows(index, call, rows, self.n_rows) for index, call in enumerate(self.calls)]
        return RandomCallReplay(self.layout, calls, len(rows), range(len(rows)) if compared is None else compared)


class RandomCallReplay(RandomCallMode):  # type: ignore[no-untyped-call]
    """Replaces the results of random calls by recorded results; `check` raises if a call differs from the record."""

    def __init__(self, layout: CallLayout, calls: Sequence[RandomCall], n_rows: int, compared: Sequence[int]) -> None:
        super().__init__()
        self._layout, self._calls, self._n_rows, self._compared = layout, calls, n_rows, compared
        self._other_calls = self._other_values = ""

    def _after(self, index: int, call: RandomCall, repeat: Callable[[], Any], operation: Operation) -> None:
        record = self._calls[index] if index < len(self._calls) else None
        if record is None or _forms(call) != _forms(record):
            self._other_calls = self._other_calls or call.name
            return
        own, recorded = (self._layout.rows(index, values, self._compared, self._n_rows) for values in (call, record))
        if not all(map(_agree, own.read, recorded.read)):
            self._other_values = self._other_values or call.name
        for result, value in zip(call.results, record.results, strict=True):
            result.copy_(value)

    def check(self, weights: WeightSums) -> None:
        """Raise a ValueError if the pass called other operators, or one that reads other values in the same rows.

        Nothing is raised if the weights have changed meanwhile.
        """
        if self._other_values:
            refuse_interaction(weights, self._other_values)
        if self._other_calls and not weights.have_changed():
            raise other_calls(self._other_calls)


def other_calls(got: str) -> ValueError:
    """Return the error for a network whose calls of random functions depend on the rows of a pass."""
    return ValueError(
        f"inputs: got a network whose calls of random functions depend on the rows of a pass ({got}), as in a loop "
        "over rows or in rejection sampling, wanted the same calls in each pass, of all rows at once: only these show "
        "that rows share no random numbers; draw the numbers of all rows in one call, or switch them off"
    )


def _check_numbers_by_row(operation: Operation) -> None:
    """Raise a ValueError for an operator whose random numbers cannot be told apart by row."""
    is_mixing = operation.name.startswith(_MIXING)
    if is_mixing or (operation.name == "multinomial" and operation.tensors[0].ndim == 1):
        remedy = (
            "switch its dropout off, or run it within torch.nn.attention.sdpa_kernel(SDPBackend.MATH)"
            if is_mixing
            else "pass the probabilities of each row, (rows, values)"
        )
        raise ValueError(
            f"inputs: got a network that draws random numbers in {operation.name}, wanted operators that draw them for "
            f"each row; {remedy}"
        )


def _axis(shape: Sequence[int], other: Sequence[int], n_rows: int, n_fewer: int) -> int | None:
    """Return the axis of the rows in a call, from its shapes in passes of two numbers of rows; None if unknown."""
    if len(shape) != len(other):
        return None
    pairs = enumerate(zip(shape, other, strict=True))
    return next((axis for axis, (size, fewer) in pairs if size != fewer and size * n_fewer == fewer * n_rows), None)


def _forms(call: RandomCall) -> tuple[object, ...]:
    return call.name, *((tensor.shape, tensor.dtype) for tensor in (*call.results, *call.read))


def _agree(values: Tensor, others: Tensor) -> bool:
    return are_close(values, others) if values.is_floating_point() or values.is_complex() else values.equal(others)
