"""The arguments of a pass: errors that name them, and the number of rows of a pass."""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layerbits._base import BackendError, check_count, listed
from layerbits.networks.execution.output_tensor import DENSE_ENCODER, all_tensors

# Default limits of a pass: number of rows, and number of input values.
_PASS_ROWS = 2**15
_PASS_VALUES = 2**20

# Default budget of a measurement in bytes, and the share of a budget that the tensors of a pass take. The rest is for
# the recorded signals, the estimator, and temporary memory inside operators, such as the columns of a convolution,
# which `LiveMemory` does not count. Passes of more than the default 32 MiB are not faster: they exceed the caches.
MAX_MEMORY = 2**30
_SHARE_OF_A_PASS = 1 / 32

# Parts of the messages of torch's allocator on the CPU.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "bad allocation")


REMEDY_FOR_A_GRAPH = (
    "for the nodes of one graph, let a module that holds the graph take numbers of nodes, or measure signals with "
    "layerbits.information"
)
REMEDY_FOR_LISTS = (
    'for rows of Python lists of one length, such as tokens (padding="max_length"), pass DataLoader(samples, '
    'batch_size=100, collate_fn=transformers.default_data_collator), or the data set after set_format("torch")'
)
_REMEDY_FOR_LABELS = (
    "; if batches hold labels, name their key or position, for instance labels=1; in a function without labels=, pass "
    "the inputs alone, for instance (batch[0] for batch in loader)"
)


def check_module(model: object) -> None:
    """Raise a TypeError unless `model` is a network."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, wanted a torch.nn.Module")


def first_argument(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the first argument of a call, by position or else by name; None if it has none."""
    return args[0] if args else next(iter(kwargs.values()), None)


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether an error stands for a KeyboardInterrupt: raised from one, or by C++ with its name."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or str(error).startswith("KeyboardInterrupt"):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def naming_inputs(model: nn.Module, arguments: object) -> Iterator[None]:
    """Turn errors of a network that cannot take its arguments, in a ``with`` block, into errors that name the inputs.

    Errors of a back end, of missing CUDA memory and of missing threads are raised unchanged.

    Raises
    ------
    ValueError
        The network raised a RuntimeError, TypeError, IndexError or AttributeError, or an encoder made nested tensors
        from a padding mask.
    MemoryError
        The system has no memory for the pass.
    KeyboardInterrupt
        The error comes from an interrupt, as in an import inside torch.
    """
    try:
        yield
    except (BackendError, torch.cuda.OutOfMemoryError):  # subclasses of RuntimeError
        raise
    except (RuntimeError, TypeError, IndexError, AttributeError) as error:  # a wrong shape, dtype, name, value or type
        if is_interrupt(error):
            raise KeyboardInterrupt from error
        if "can't start new thread" in str(error):
            raise
        if is_memory_error(error):
            raise MemoryError(
                f"max_memory: got a pass of more memory than the system has ({error}); lower `max_memory` or `chunk`"
            ) from error
        tensors = list(all_tensors(arguments))
        kinds = Counter(
            f"{tensor.dtype} of shape {'nested' if tensor.is_nested else tuple(tensor.shape)}" for tensor in tensors
        )
        got = listed(kind if count == 1 else f"{count} times {kind}" for kind, count in kinds.items())
        if tensors and tensors[0].ndim:
            got += f" in a pass of {tensors[0].size(0)} rows"  # rarely all rows of the caller's inputs
        raise ValueError(
            f"inputs: got {got}, which the network cannot take: {error}{_remedy(error, model, arguments)}"
        ) from error
    except AssertionError as error:
        if "NestedTensor" not in str(error):
            raise
        raise ValueError(
            "inputs: got a padding mask, from which an nn.TransformerEncoder makes nested tensors, wanted dense ones, "
            f"because torch has attention of nested tensors only in a fast path that calls no layers; {DENSE_ENCODER}"
        ) from error


def _remedy(error: Exception, model: nn.Module, arguments: object) -> str:
    """Return the remedy for a frequent cause of an error of the network, after a semicolon; empty for other errors."""
    words = str(error)
    if isinstance(error, TypeError) and "positional argument" in words and "given" in words:
        if "takes 1 positional argument" in words:  # self alone
            return "; pass the arguments by their names, for instance {name: inputs}"
        return _REMEDY_FOR_LABELS
    unexpected = re.search(r"forward\(\) got an unexpected keyword argument '(\w+)'", words)
    if unexpected is not None:
        if len(list(all_tensors(arguments))) < 2:
            return "; pass the inputs alone, or by the name of an argument of the network"
        return (
            f"; if {unexpected[1]!r} holds labels, pass labels={unexpected[1]!r}; otherwise, or in a function without "
            "labels=, leave it out of every batch, for instance ({key: batch[key] for key in batch if key != "
            f"{unexpected[1]!r}}} for batch in loader)"
        )
    if "'list' object has no attribute" in words or "must be Tensor, not list" in words:
        named = arguments[1] if isinstance(arguments, tuple) and len(arguments) == 2 else {}
        if isinstance(named, Mapping) and any(isinstance(value, list) for value in named.values()):
            return f"; {REMEDY_FOR_LISTS}"  # the default collate_fn makes a list of tensors of them
    if isinstance(error, TypeError) and re.search("must be Tensor, not (tuple|list|dict)", words):
        return (
            "; if an item of the batches holds all arguments of the network, put them and the labels into one tuple, "
            "for instance (a, b, y) with labels=2"
        )
    if "must have the same dtype" in words or ("Input type" in words and "should be the same" in words):
        return _remedy_for_dtypes(model, arguments)
    if "index out of range in self" in words:
        return "; lower the numbers, or give the embedding more rows"
    if "The shape of the 2D attn_mask is" in words:
        return "; if all inputs share the mask, let a module hold it as a buffer"
    if "scalar types: Long, Int" in words:
        return "; convert whole numbers, such as those of tokens, to int64: tensors by .long(), arrays by .astype(int)"
    tensors = list(all_tensors(arguments))
    if _is_of_a_graph(words, tensors):
        return f"; {REMEDY_FOR_A_GRAPH}"
    # The last argument may be labels, which an optional argument of the network took.
    return _REMEDY_FOR_LABELS if len(tensors) > 1 and tensors[-1].ndim == 1 else ""


def _is_of_a_graph(words: str, tensors: Sequence[Tensor]) -> bool:
    """Return whether an error arises because the rows of a pass are only some of the nodes of a graph.

    Edges then index missing nodes; or the rows of an adjacency matrix, or the square matrix of a buffer, have more
    columns than the pass has nodes.
    """
    n_rows = len(tensors[0]) if tensors and tensors[0].ndim else 0
    if re.search(rf"out of bounds for dimension 0 with size {n_rows}\b", words):
        return True
    sizes = re.search(r"shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x\d+\)", words)
    if sizes is None or int(sizes[3]) != n_rows:
        return False
    n_left, n_nodes = int(sizes[1]), int(sizes[2])
    return n_left == n_nodes or any(tensor.shape == (n_rows, n_nodes) for tensor in tensors[1:])


def _remedy_for_dtypes(model: nn.Module, arguments: object) -> str:
    wanted = next((parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()), None)
    if wanted is None or all(tensor.dtype == wanted for tensor in all_tensors(arguments)):
        return "; convert the network and the inputs to one dtype, for instance by model.float()"
    has_embedding = any(isinstance(module, nn.Embedding | nn.EmbeddingBag) for module in model.modules())
    if has_embedding and not any(tensor.is_floating_point() for tensor in all_tensors(arguments)):
        return f"; forward mixes dtypes: convert the tensors that it makes to {wanted}, or the network by model.float()"
    # NumPy has no bfloat16; arrays of float32 become tensors of the network's dtype.
    array_dtype = "float32" if wanted is torch.bfloat16 else str(wanted).removeprefix("torch.")
    detail = ", which layerbits converts to bfloat16" * (wanted is torch.bfloat16)
    return (
        f"; convert the inputs to the dtype of the network, a tensor by inputs.to({wanted}), an array by "
        f'inputs.astype("{array_dtype}"){detail}, the rows of a Dataset where it returns them'
    ) + ", scaled as in training: images often by 1 / 255" * any(map(_is_of_bytes, all_tensors(arguments)))


def _is_of_bytes(tensor: Tensor) -> bool:
    return tensor.dtype == torch.uint8


def is_memory_error(error: BaseException) -> bool:
    """Return whether an error of torch reports that the system, or a CUDA device, has too little memory."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


@contextlib.contextmanager
def naming_memory() -> Iterator[None]:
    """Turn torch's error of missing CPU memory in a ``with`` block into a MemoryError that names what to lower."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.cuda.OutOfMemoryError) or not is_memory_error(error):
            raise
        raise MemoryError(
            f"max_memory: got a measurement of more memory than the system has ({error}); lower `max_memory`, `draws` "
            "or `queries`, or take fewer inputs or narrower layers"
        ) from error


def check_max_memory(max_memory: object) -> int:
    """Return a budget in bytes; raise a TypeError or a ValueError unless it is a whole number of at least 1 MiB."""
    return check_count("max_memory", max_memory, minimum=2**20, maximum=2**63 - 1)


def rows_per_pass(
    tensors: Sequence[Tensor], chunk: int | None = None, *, row_bytes: int = 0, max_memory: int = MAX_MEMORY
) -> int:
    """Return the number of rows of a pass.

    By default a pass has at most 32,768 rows, 2^20 input values and 1/32 of `max_memory`, but at least one row.

    Parameters
    ----------
    tensors : sequence of Tensor of shape (n, ...)
        The inputs.
    chunk : int, optional
        The number of rows that the caller wants.
    row_bytes : int
        Bytes that a row takes in a pass; 0 if they are not known.
    max_memory : int
        Budget of the measurement in bytes.

    Raises
    ------
    TypeError, ValueError
        `chunk` is not a positive integer.
    """
    if chunk is None:
        width = sum(math.prod(tensor.shape[1:]) for tensor in tensors)
        bytes_of_pass = int(_SHARE_OF_A_PASS * max_memory)
        chunk = max(1, min(_PASS_ROWS, _PASS_VALUES // max(1, width), bytes_of_pass // max(1, row_bytes)))
    return check_count("chunk", chunk, minimum=1)
