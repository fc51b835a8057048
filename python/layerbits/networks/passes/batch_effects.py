"""Probing passes in which the same rows stand among extreme rows: a network may act on values of the whole batch.

A branch on the largest value of a batch, for instance, shows only if the batch has a row with such a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from layerbits._base import LayerSelectionError
from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.passes.interaction import refuse_interaction
from layerbits.networks.passes.probing import Probe

Shape = tuple[int, ...]

# Rows that are compared, and the largest number of other rows in a pass: six extremes of each of two tensors, and two.
_COMPARED_ROWS = 2
_OTHER_ROWS = 14

# Places of the first row, beside 0 and the last, at which its signals are compared: one of them differs from 0 modulo
# any number larger than 1.
_PLACES = (2, 3)

# Factors that make a row larger than all inputs: hidden values with noise may pass a threshold that no input passes.
# Their sum is not 0, so that a small multiple of the mean over the rows shows.
_FACTORS = (10.0, -10.0, 1e3, -3e3)

# Number of values of an input tensor that are read at once: 32 MiB as float64.
_VALUES_AT_ONCE = 2**22


def check_batch_effects(probe: Probe) -> None:
    """Compare the signals of two rows in passes whose other rows are extreme, typical, or multiples of a row.

    The place of a row in the pass must not count either.

    Raises
    ------
    LayerSelectionError
        The shape of a signal depends on the other rows.
    ValueError
        The signal of a row depends on the other rows of the pass, or on its place; or random calls depend on the rows.
    """
    n_others = _n_others(probe)
    rows = (0, 1, *[0] * n_others)
    places = (*range(_COMPARED_ROWS), *(place for place in _PLACES if place < len(rows)), len(rows) - 1)
    signals = probe.run_replaying(probe.rows(rows), rows, kept_rows=places)
    probe.check_replay()
    for layer, signal in signals.items():
        if not are_close(signal[:1].expand_as(signal[_COMPARED_ROWS:]), signal[_COMPARED_ROWS:]):
            refuse_interaction(probe.weights, layer, "its place in")
    shapes = probe.shapes
    for batch in batches_among_other_rows(probe):
        _compare(probe, (signals, shapes), _run(probe, batch))
    if any(tensor.device.type != "cpu" for tensor in probe.inputs):  # an index out of range would end a CUDA context
        return
    try:
        other_signals = _run(probe, _with_compared_rows(probe, _multiples(probe, n_others)))
    except Exception:  # the network takes no such rows, and may raise any error
        return
    _compare(probe, (signals, shapes), other_signals)


def batches_among_other_rows(probe: Probe) -> Iterator[list[Tensor]]:
    """Yield batches of the compared rows and other inputs, which are extreme or typical."""
    for positions in _compositions(probe.inputs, _n_others(probe)):
        yield _with_compared_rows(probe, [tensor[positions.to(tensor.device)] for tensor in probe.inputs])


def _n_others(probe: Probe) -> int:
    return max(1, min(_OTHER_ROWS, probe.network.rows_per_pass(probe.inputs) - _COMPARED_ROWS))


def _with_compared_rows(probe: Probe, others: Sequence[Tensor]) -> list[Tensor]:
    return [torch.cat(pair) for pair in zip(probe.rows(range(_COMPARED_ROWS)), others, strict=True)]


def _run(probe: Probe, batch: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the signals of the compared rows in a pass."""
    rows = range(_COMPARED_ROWS)
    recorded_rows = (*rows, *[0] * (len(batch[0]) - _COMPARED_ROWS))
    return probe.run_replaying(batch, recorded_rows, kept_rows=rows, compared=rows)


def _compare(
    probe: Probe, reference: tuple[Mapping[str, Tensor], Mapping[str, Shape]], others: Mapping[str, Tensor]
) -> None:
    """Raise an error unless the signals of the compared rows in the last pass, `others`, are those of a reference pass.

    `reference` has the signals of the compared rows, and the shapes of the signals of all rows, with the rows first.
    """
    signals, shapes = reference
    probe.check_replay()
    for layer, signal in signals.items():
        other_shape = probe.shapes.get(layer)
        if other_shape != shapes[layer]:
            got = "no value" if other_shape is None else f"shape {other_shape}"
            raise LayerSelectionError(
                f"layers: got {layer!r}, which returns shape {shapes[layer]} or {got} for {shapes[layer][0]} rows, "
                "depending on their values, wanted one row for each row of the pass; "
                f"{probe.network.remedy_for_rows(layer)}"
            )
        if not are_close(signal[:_COMPARED_ROWS], others[layer]):
            refuse_interaction(probe.weights, layer)


def _compositions(inputs: Sequence[Tensor], n_others: int) -> Iterator[Tensor]:
    """Yield the positions of the other rows of each pass, (n_others,), among the inputs.

    The first pass has the rows whose largest value, smallest value or mean is extreme, and others at equal distances.
    Then, for each tensor whose rows have different means, come the rows of the smallest and those of the largest means.
    """
    n_inputs = len(inputs[0])
    statistics = [_row_statistics(tensor) for tensor in inputs]
    extremes = [int(values.argmax()) for columns in statistics for values in columns]
    extremes += [int(values.argmin()) for columns in statistics for values in columns]
    spread = torch.linspace(0, n_inputs - 1, n_others).round().long().tolist()
    yield torch.tensor([*dict.fromkeys(extremes), *spread][:n_others])
    for *_, means in statistics:
        if means.min() < means.max():
            ranks = torch.arange(n_others, device=means.device) % n_inputs
            yield means.argsort(stable=True)[ranks]
            yield means.argsort(descending=True, stable=True)[ranks]


def _row_statistics(tensor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest value, the smallest and the mean of each row, each of shape (n,), on its device."""
    rows = max(1, _VALUES_AT_ONCE // max(1, tensor[:1].numel()))
    statistics = []
    for part in torch.split(tensor, rows):
        values = (part.abs() if part.is_complex() else part).reshape(len(part), -1).double()
        values = values if values.shape[1] else values.new_zeros(len(part), 1)
        statistics.append(torch.stack([values.amax(1), values.amin(1), values.mean(1)]))
    largest, smallest, means = torch.cat(statistics, 1)
    return largest, smallest, means


def _multiples(probe: Probe, n_others: int) -> list[Tensor]:
    """Return multiples of row 1 in floating-point tensors, and row 1 itself in the others."""
    multiples = []
    for tensor in probe.rows([1] * n_others):
        if tensor.is_floating_point():
            factors = torch.tensor([_FACTORS[row % len(_FACTORS)] for row in range(n_others)], dtype=tensor.dtype)
            tensor = tensor * factors.reshape(-1, *[1] * (tensor.ndim - 1))
        multiples.append(tensor)
    return multiples
