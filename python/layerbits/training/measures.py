"""Measures of the activations of layers, such as class separation, that a `Monitor` takes beside the information."""

from __future__ import annotations

import dataclasses
import numbers
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from layerbits._base import COLUMNS, Integers, UsageError, flat_name, parse_csv, shown_repr, write_csv
from layerbits.estimators import Problem
from layerbits.geometry import DistanceHistogram, binned_entropy, class_separation, pairwise_distance_histogram
from layerbits.networks import Passes, copy_with_weights, network_without_noise, record

MEASURES_FILE = "measures.csv"
_EPOCH = "epoch"

Measure = Callable[[Tensor, Integers | None], object]
Measures = Sequence[str | Measure] | Mapping[str, str | Measure]

_NAMED: dict[str, Callable[..., object]] = {
    "binned_entropy": lambda activations, _: binned_entropy(activations),
    "class_separation": class_separation,
    "pairwise_distance_histogram": pairwise_distance_histogram,
}
_NEED_LABELS = ("class_separation", "pairwise_distance_histogram")


class MeasureRow(NamedTuple):
    """A number of a measure of a layer; a measure with several numbers has names such as class_separation/within."""

    layer: str
    measure: str
    value: float


# A table with a row for each layer and epoch may have these columns beside those of the measures.
_COLUMNS = {_EPOCH, *MeasureRow._fields, *COLUMNS}


def checked_measures(measures: Measures | None, problem: Problem) -> dict[str, Measure]:
    """Return the functions of the argument `measures` by name.

    Raises
    ------
    TypeError, ValueError
        A measure is neither a known name nor a function with a name, two have one name, a name is empty, has a slash or
        is that of a column or a quantity, or labels are missing.
    """
    if measures is None:
        return {}
    if isinstance(measures, str) or not isinstance(measures, Sequence | Mapping):
        raise TypeError(f"measures: got {type(measures).__name__}, wanted a list of names and functions, or a mapping")
    named = measures.items() if isinstance(measures, Mapping) else [(_name(measure), measure) for measure in measures]
    quantities = {quantity for _, quantity in problem.row_keys}
    checked: dict[str, Measure] = {}
    for name, measure in named:
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or "/" in name:
            raise ValueError(f"measures: got the name {shown_repr(name)}, wanted printable text without '/'")
        if name in _COLUMNS or name.removesuffix(" in nats").removesuffix(" in bits") in quantities:
            raise ValueError(f"measures: got the name {name!r}, which the tables or reports have; choose another")
        if name in checked:
            raise ValueError(f"measures: got {name!r} twice, wanted distinct names; pass a mapping with other names")
        checked[name] = _function(measure, problem)
    return checked


def measure_activations(problem: Problem, measures: Mapping[str, Measure]) -> tuple[MeasureRow, ...]:
    """Apply measures to the activations of each layer without noise, as `layer_activations` returns them.

    Raises
    ------
    TypeError
        A measure returns anything else than numbers.
    UsageError
        A measure raises an error.
    """
    if not measures:
        return ()
    problem.network.restore()
    model = copy_with_weights(problem.network.original, problem.network.module)  # with the weights of the table
    network = network_without_noise(model, problem.inputs, list(problem.layers), max_memory=problem.max_memory)
    labels = problem.classes.labels
    rows = []
    for layer in problem.layers:  # one after the other, because their signals may not fit in memory together
        signals = record(network, problem.inputs.tensors, Passes((layer,), range(1), seed=None))[layer][:, 0]
        for name, measure in measures.items():
            try:
                # A measure may write into its arguments.
                result = measure(signals.clone(), None if labels is None else labels.copy())
            except Exception as error:  # a function of the user may raise any exception
                raise UsageError(
                    f"measures[{name!r}]: got {type(error).__name__} ({error}) at layer {layer!r}, wanted a number or "
                    "a mapping of numbers"
                ) from error
            for part, value in _numbers(name, result).items():
                rows.append(MeasureRow(layer, f"{name}/{part}" if part else name, value))
    problem.network.weights.check()
    return tuple(rows)


def measure_scalars(rows: Iterable[MeasureRow]) -> dict[str, float]:
    """Return values by flat names such as ``"measures/fc1/class_separation/within"``, which loggers take."""
    return {flat_name("measures", row.layer, row.measure): row.value for row in rows}


def read_measures(path: Path) -> dict[int, tuple[MeasureRow, ...]]:
    """Read a measures.csv and return the rows of each epoch.

    Raises
    ------
    UsageError
        The file is missing or damaged.
    """
    rows: dict[int, tuple[MeasureRow, ...]] = {}
    parsers = {_EPOCH: int, **typing.get_type_hints(MeasureRow)}
    for epoch, row in parse_csv(path, parsers, lambda epoch, *cells: (epoch, MeasureRow(*cells))):
        rows[epoch] = (*rows.get(epoch, ()), row)
    return rows


def write_measures(path: Path, rows: Mapping[int, Iterable[MeasureRow]]) -> None:
    """Write a measures.csv with a row for each epoch, layer and measure."""
    write_csv(path, [_EPOCH, *MeasureRow._fields], [(epoch, *row) for epoch in sorted(rows) for row in rows[epoch]])


def _name(measure: object) -> str:
    name = measure if isinstance(measure, str) else getattr(measure, "__name__", "")
    if not (isinstance(measure, str) or callable(measure)):
        raise TypeError(f"measures: got {type(measure).__name__}, wanted a name or a function of (activations, labels)")
    if not name.isidentifier():  # a lambda, or an object
        raise ValueError("measures: got a function without a name, wanted a mapping, such as {'rank': function}")
    return name


def _function(measure: str | Measure, problem: Problem) -> Measure:
    if callable(measure):
        return measure
    if not isinstance(measure, str) or measure not in _NAMED:
        names = ", ".join(_NAMED)
        raise ValueError(
            f"measures: got {shown_repr(measure)}, wanted a function of (activations, labels), or one of {names}"
        )
    if measure in _NEED_LABELS and not problem.classes.labelled:
        raise ValueError(f"measures: got {measure!r} without labels, wanted labels; pass them to the monitor")
    return _NAMED[measure]


def _numbers(name: str, result: Any) -> dict[str, float]:
    """Return the numbers of a result by name; a single number has the name ``""``."""
    parts = result if isinstance(result, Mapping) else {"": result}
    if isinstance(result, DistanceHistogram):
        parts = {"overlap": result.overlap}
    elif dataclasses.is_dataclass(result):
        fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        parts = {key: value for key, value in fields.items() if isinstance(value, numbers.Real)}
    try:
        values = {str(part): float(value) for part, value in parts.items()}
    except (TypeError, ValueError):
        values = {}
    if not values:
        raise TypeError(f"measures: {name} returned {result!r:.80}, wanted a number or a mapping of numbers")
    return values
