"""`Operation`: the values that an operation of torch reads, writes, generates or shows, by its schema and tags."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.generators import generates_random_numbers

# Operations that read the shape and the type of their first argument, not its values.
_VALUE_FREE = {
    "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like",
    "new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided", "aten.bernoulli.p",
}  # fmt: skip

# Operations that replace the values of their first argument, which they do not read.
_OVERWRITING = {
    "copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_", "exponential_", "cauchy_", "geometric_",
    "log_normal_",
}  # fmt: skip

# Operations whose result holds whatever the memory held before.
_UNWRITTEN = {
    "empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided",
}  # fmt: skip

# Operations without the tag of torch whose results have sizes that depend on values.
_SIZED_BY_VALUES = {"_pack_padded_sequence", "unique_dim_consecutive"}

# Operations on a tensor that Python or NumPy made.
_LITERALS = {"lift_fresh", "lift"}


class Operation:
    """One call of an operation.

    Attributes
    ----------
    name : str
        Name without namespace and overload.
    tensors, read, written : list of Tensor
        All tensors among the arguments; those whose values the operation may read; those that it writes.
    overwrites : bool
        Whether the written values do not depend on the values before.
    """

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs
        self.name = func._schema.name.partition("::")[2]
        self.arguments = list(_arguments(func, args, kwargs))
        self.tensors = _tensors((args, kwargs))
        written = [argument for argument in self.arguments if _is_written(argument[0])]
        self.written = _tensors([value for _, value in written])
        self.overwrites = (
            self.name in _OVERWRITING or all(argument.is_out for argument, _ in written) or self._scatters_to_all()
        )
        # By argument, not by tensor: in add(x, y, out=x) x is read too.
        self.read = _tensors([value for index, (_, value) in enumerate(self.arguments) if self._is_read(index)])

    def _scatters_to_all(self) -> bool:
        """Return whether the operation writes to all entries of a vector in another order, as packed sequences do."""
        if self.name != "scatter_" or self.func._overloadname not in ("src", "value") or len(self.args) < 3:
            return False
        values, index = self.args[0], self.args[2]
        return values.ndim == 1 and values.shape == index.shape and len(index.unique()) == len(index)

    def _is_read(self, index: int) -> bool:
        argument, _ = self.arguments[index]
        if _is_written(argument) and (self.overwrites or argument.is_out):
            return False
        return index > 0 or not {self.name, str(self.func)} & _VALUE_FREE

    @property
    def uses_values(self) -> bool:
        """Whether the operation uses the values of the tensors in `read`; a view does not."""
        return all(argument.alias_info is None or _is_written(argument) for argument, _ in self.arguments)

    @functools.cached_property
    def is_random(self) -> bool:
        """Whether the operation generates random numbers."""
        return generates_random_numbers(self.func, self.args, self.kwargs)

    @property
    def generator(self) -> torch.Generator | None:
        """The generator that the network passes; None for torch's own."""
        return next((value for value in tree_leaves(self.kwargs) if isinstance(value, torch.Generator)), None)

    @property
    def device(self) -> torch.device:
        """The device whose generator the operation uses."""
        device = self.tensors[0].device if self.tensors else torch.device(self.kwargs.get("device") or "cpu")
        if device.type == "cuda" and device.index is None:
            return torch.device("cuda", torch.cuda.current_device())
        return device

    @property
    def shows_values(self) -> bool:
        """Whether Python gets values: `item`, `equal`, or a size that depends on values."""
        tags = self.func.tags
        by_shape = torch.Tag.dynamic_output_shape in tags and self.name != "index"
        by_shape = by_shape or self.name in _SIZED_BY_VALUES
        return by_shape or torch.Tag.data_dependent_output in tags

    @property
    def masks(self) -> list[Tensor]:
        """The masks of an index: their values decide the size of the result."""
        if self.name != "index":
            return []
        return [tensor for tensor in _tensors(self.args[1:]) if tensor.dtype in (torch.bool, torch.uint8)]

    @property
    def leaves_unwritten(self) -> bool:
        """Whether the result holds whatever the memory held before."""
        return self.name in _UNWRITTEN

    def literal(self) -> Tensor | None:
        """Return the tensor that Python, or NumPy, made for this call; None for an operation on tensors of torch."""
        return self.tensors[0] if self.name in _LITERALS and self.tensors else None

    def loses(self, results: Sequence[object]) -> bool:
        """Return whether values leave as a number; integers of torch's own operations are sizes."""
        is_torch = self.func.namespace == "aten"
        others = [result for result in results if not isinstance(result, Tensor) and result is not None]
        return any(isinstance(result, bool | float | complex) or not is_torch for result in others)

    def identity(self, results: Sequence[object]) -> tuple[object, ...]:
        """Return what must be equal in two passes: name, numbers, values of literals, shapes of results."""
        numbers = [
            repr(value)
            for value in tree_leaves((self.args, dict(self.kwargs)))
            if not isinstance(value, Tensor | torch.Generator)
        ]
        literal = self.literal()
        content = b"" if literal is None else _content(literal)
        shapes = [tuple(result.shape) for result in results if isinstance(result, Tensor) and not result.is_nested]
        return (str(self.func), tuple(numbers), content, tuple(shapes))


def check_runs_no_functions(func: Any) -> None:
    """Raise a LayerSelectionError for an operator that runs functions, such as `torch.cond`."""
    if not isinstance(func, torch._ops.OpOverload):
        raise LayerSelectionError(
            f"model: got the operator {func}, which runs functions of the network, wanted operators on tensors, whose "
            "layers can be observed; replace torch.cond by torch.where for each row, loops by loops of Python, and "
            "flex_attention by torch.nn.functional.scaled_dot_product_attention"
        )


def _arguments(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the arguments of an operation, as its schema describes them, with their values."""
    arguments = func._schema.arguments
    yield from zip(arguments, args, strict=False)
    yield from ((argument, kwargs[argument.name]) for argument in arguments if argument.name in kwargs)


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


def _tensors(values: object) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _content(tensor: Tensor) -> bytes:
    """Return the values of a tensor as bytes."""
    return tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
