"""The cells of a grid of settings."""

from __future__ import annotations

import hashlib
import itertools
import re
import typing
from collections.abc import Iterable, Mapping, Sequence

from layerbits._base import UsageError, shown, shown_repr
from layerbits.experiments.framework.configuration import Configuration

_LARGEST_GRID = 100_000
_VALUE = r"[\w.,+-]{1,40}"  # a text that a folder name contains as it is


def cells_of(grid: Mapping[str, Iterable[object]]) -> dict[str, dict[str, str]]:
    """Return the settings of each cell, as texts, by the name of the cell's folder, such as ``seed=0,sigma=0.05``.

    Raises
    ------
    UsageError
        The grid is no mapping of names to several values, is empty, has a value twice, or more than 10^5 cells.
    """
    if not isinstance(grid, Mapping):
        raise UsageError(f"grid: got {type(grid).__name__}, wanted a mapping such as {{'seed': range(20)}}")
    texts = {name: _texts(name, values) for name, values in grid.items()}
    count = 1
    for name, values in texts.items():
        count *= len(values)
        if count > _LARGEST_GRID:
            raise UsageError(f"grid: got more than {_LARGEST_GRID} cells at {name}, wanted fewer; divide the sweep")
    if not texts:
        raise UsageError("grid: got no settings, wanted one at least, such as {'seed': range(20)}")
    settings = [dict(zip(texts, values, strict=True)) for values in itertools.product(*texts.values())]
    return {_folder_name(cell): cell for cell in settings}


def parse_grid(
    config_type: type[Configuration], texts: Sequence[str], seeds: str | None = None
) -> dict[str, list[str]]:
    """Return the grid of a command line: ``KEY=VALUE,VALUE`` texts and seeds such as ``0:20``.

    Commas divide the values of a setting, but belong to the value of a setting that is a tuple. Several texts with the
    same key add their values.

    Raises
    ------
    UsageError
        A text has another form, or names no setting; or both arguments have seeds.
    """
    types = typing.get_type_hints(config_type)
    grid: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set: got {text!r}, wanted KEY=VALUE or KEY=VALUE,VALUE")
        if name not in types:
            raise UsageError(f"{name}: no such setting; there are {', '.join(types)}")
        is_tuple = any(typing.get_origin(kind) is tuple for kind in (types[name], *typing.get_args(types[name])))
        grid.setdefault(name, []).extend([value] if is_tuple else value.split(","))
    if seeds is not None:
        if "seed" in grid:
            raise UsageError("--seeds: got --set seed= too, wanted the seeds in one of the two")
        grid["seed"] = [str(seed) for seed in _parse_seeds(seeds)]
    return grid


def _parse_seeds(text: str) -> Sequence[int]:
    """Return the seeds ``3``, ``0,5,7``, or ``0:20``, whose end is left out."""
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text)
    if match and int(match[1]) < int(match[2]):
        if int(match[2]) - int(match[1]) > _LARGEST_GRID:
            raise UsageError(f"--seeds: got {text}, wanted at most {_LARGEST_GRID} seeds; divide the sweep")
        return range(int(match[1]), int(match[2]))
    if re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        return [int(seed) for seed in text.split(",")]
    raise UsageError(f"--seeds: got {text!r}, wanted seeds such as 0:20 (the end is left out) or 0,5,7")


def _texts(name: str, values: Iterable[object]) -> list[str]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UsageError(f"grid: got {shown_repr(values)} for {shown(name)}, wanted a list of values")
    try:
        texts = [_text(value) for value in itertools.islice(values, _LARGEST_GRID + 1)]
    except ValueError as error:  # an integer of more than 4300 digits
        raise UsageError(f"grid: got a value of {shown(name)} without a text, wanted numbers and texts") from error
    if not texts:
        raise UsageError(f"grid: got no values for {shown(name)}, wanted one at least")
    if len(set(texts)) < len(texts):
        raise UsageError(f"grid: got a value of {shown(name)} twice, wanted each once")
    return texts


def _text(value: object) -> str:
    """Return the text of a value as `with_settings` reads it."""
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _folder_name(cell: Mapping[str, str]) -> str:
    """Return ``seed=0,sigma=0.05``; hashes stand for long texts and for those that a file name cannot contain."""
    parts = [f"{name}={_short(text, _VALUE)}" for name, text in cell.items()]
    return _short(",".join(parts), ".{1,200}")


def _short(text: str, pattern: str) -> str:
    if re.fullmatch(pattern, text, re.ASCII):
        return text
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
