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

# Operators that draw random numbers and also add over rows or tokens, by the beginning of their names.
_MIXING = ("_scaled_dot_product", "_flash_attention", "_efficient_attention", "_cudnn_rnn", "miopen_rnn")


@dataclasses.dataclass(frozen=True)
class Draw:
    """One call of an operator that draws random numbers: its name, its results and the values that it reads."""

    name: str
    results: tuple[Tensor, ...]
    read: tuple[Tensor, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first result."""
        return tuple(self.results[0].shape) if self.results else ()


@dataclasses.dataclass(frozen=True)
class DrawLayout:
    """Where the rows of a pass stand in its draws.

    Attributes
    ----------
    axes : tuple of int or None
        For each draw the axis of the rows in its first result; None if there is none.
    adjacent : mapping of int to int
        For draws with several entries a row along the axis, the number of entries of a row that stand together: 1 if
        the rows stand side by side, d in a flat draw of (tokens, rows, d) values. In other draws all stand together.
    """

    axes: tuple[int | None, ...]
    adjacent: Mapping[int, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, draws: Sequence[Draw], n_rows: int, fewer: Sequence[Draw], n_fewer: int) -> DrawLayout:
        """Return the layout that the draws of two passes show, with the entries of a row together."""
        pairs = itertools.zip_longest((draw.shape for draw in draws), (draw.shape for draw in fewer), fillvalue=())
        return cls(tuple(_axis(shape, other, n_rows, n_fewer) for shape, other in pairs))

    def entries(self, index: int, rows: Sequence[int], n_rows: int, length: int) -> list[int]:
        """Return the entries of some rows along the axis of draw `index`, of a length, in a pass of `n_rows`."""
        per_row = length // n_rows
        adjacent = self.adjacent.get(index, per_row)
        blocks = ((block * n_rows + row) * adjacent for block in range(per_row // adjacent) for row in rows)
        return [start + entry for start in blocks for entry in range(adjacent)]

    def rows(self, index: int, draw: Draw, rows: Sequence[int], n_rows: int) -> Draw:
        """Return the part of a draw, `index`, of a pass that belongs to some rows; all of it if it has no such part."""
        axis = self.axes[index]
        if axis is None or len(draw.shape) <= axis or draw.shape[axis] % n_rows:
            return draw
        length, n_axes = draw.shape[axis], len(draw.shape)
        entries = self.entries(index, rows, n_rows, length)

        def part(tensor: Tensor, axis: int) -> Tensor:
            if not 0 <= axis < tensor.ndim or tensor.shape[axis] != length:
                return tensor
            return tensor.index_select(axis, torch.tensor(entries, device=tensor.device))

        return Draw(
            draw.name,
            tuple(part(tensor, axis) for tensor in draw.results),
            tuple(part(tensor, axis - n_axes + tensor.ndim) for tensor in draw.read),
        )


class DrawMode(TorchDispatchMode, abc.ABC):  # type: ignore[no-untyped-call]
    """Calls `_drawn` after each operator that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_draws = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        operation = Operation(func, args, kwargs)
        if not operation.draws:
            return func(*args, **kwargs)
        _check_draws_by_row(operation)
        # The second tensor of rrelu_with_noise gets the noise.
        read = operation.tensors[:1] if operation.name.startswith("rrelu") else operation.read
        kept = tuple(tensor.clone() if operation.written else tensor for tensor in read)
        output = func(*args, **kwargs)
        results = tuple(leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor))
        self._drawn(self.n_draws, Draw(str(func), results, kept), lambda: func(*args, **kwargs), operation)
        self.n_draws += 1
        return output

    @abc.abstractmethod
    def _drawn(self, index: int, draw: Draw, repeat: Callable[[], Any], operation: Operation) -> None:
        """Read or overwrite the results of draw `index`, which `repeat` calls again."""


class DrawRecorder(DrawMode):  # type: ignore[no-untyped-call]
    """Records copies of the draws of a pass in `draws`.

    Parameters
    ----------
    part : callable, optional
        Returns for the number of a draw and the draw the part to record; None if none is.
    """

    def __init__(self, part: Callable[[int, Draw], Draw | None] = lambda _, draw: draw) -> None:
        super().__init__()
        self.draws: list[Draw] = []
        self._part = part

    def _drawn(self, index: int, draw: Draw, repeat: Callable[[], Any], operation: Operation) -> None:
        part = self._part(index, draw)
        if part is not None:
            results, read = (tuple(map(torch.clone, tensors)) for tensors in (part.results, part.read))
            self.draws.append(Draw(part.name, results, read))  # copies, because the network may overwrite the tensors


@dataclasses.dataclass(frozen=True)
class RecordedDraws:
    """The draws of `n_rows` rows of a pass."""

    layout: DrawLayout
    draws: Sequence[Draw]
    n_rows: int

    def replay(self, rows: Sequence[int], compared: Sequence[int] | None = None) -> DrawReplay:
        """Return a mode in which the rows of a pass get the draws of these recorded rows.

        The values that the draws read are compared with the recorded ones in the rows `compared` of the pass, by
        default in all.
        """
        draws = [self.layout.rows(index, draw, rows, self.n_rows) for index, draw in enumerate(self.draws)]
        return DrawReplay(self.layout, draws, len(rows), range(len(rows)) if compared is None else compared)


class DrawReplay(DrawMode):  # type: ignore[no-untyped-call]
    """Replaces the results of draws by recorded ones; `check` raises if a draw does not correspond to the record."""

    def __init__(self, layout: DrawLayout, draws: Sequence[Draw], n_rows: int, compared: Sequence[int]) -> None:
        super().__init__()
        self._layout, self._draws, self._n_rows, self._compared = layout, draws, n_rows, compared
        self._other_calls = self._other_values = ""

    def _drawn(self, index: int, draw: Draw, repeat: Callable[[], Any], operation: Operation) -> None:
        record = self._draws[index] if index < len(self._draws) else None
        if record is None or _forms(draw) != _forms(record):
            self._other_calls = self._other_calls or draw.name
            return
        own, recorded = (self._layout.rows(index, values, self._compared, self._n_rows) for values in (draw, record))
        if not all(map(_agree, own.read, recorded.read)):
            self._other_values = self._other_values or draw.name
        for result, value in zip(draw.results, record.results, strict=True):
            result.copy_(value)

    def check(self, weights: WeightSums) -> None:
        """Raise a ValueError if the pass called other operators, or one that reads other values in the same rows."""
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


def _check_draws_by_row(operation: Operation) -> None:
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
    """Return the axis of the rows in a draw, from its shapes in passes of two numbers of rows; None if unknown."""
    if len(shape) != len(other):
        return None
    pairs = enumerate(zip(shape, other, strict=True))
    return next((axis for axis, (size, fewer) in pairs if size != fewer and size * n_fewer == fewer * n_rows), None)


def _forms(draw: Draw) -> tuple[object, ...]:
    return draw.name, *((tensor.shape, tensor.dtype) for tensor in (*draw.results, *draw.read))


def _agree(values: Tensor, others: Tensor) -> bool:
    return are_close(values, others) if values.is_floating_point() or values.is_complex() else values.equal(others)
