"""Settings of an experiment: frozen dataclasses whose fields can be given as text, and the checks on their values."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import torch

from layerbits._base import UsageError
from layerbits.kernels import backends, cuda_devices

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    _Config = TypeVar("_Config", bound=DataclassInstance)

_NEEDED = "needed"  # key of the metadata of a field
_PARSERS = {int: int, float: float, str: str}
_LARGEST = 2**31 - 1  # what every library that a setting reaches can count to


def with_settings(config: _Config, texts: Mapping[str, str]) -> _Config:
    """Return `config` with the fields named in `texts` replaced.

    A tuple is written with commas, ``10,7,5``, and None, where a field may be that, ``None``.

    Raises
    ------
    UsageError
        If a name is not that of a field, or a text is not a value of the field's type.
    """
    kinds = typing.get_type_hints(type(config))
    unknown = [name for name in texts if name not in kinds]
    if unknown:
        raise UsageError(f"{unknown[0]}: no such setting; there are {', '.join(kinds)}")
    return dataclasses.replace(config, **{name: _parse(name, kinds[name], text) for name, text in texts.items()})


def needed(what: str) -> str:
    """Return the default of a field of text that a run cannot do without; `what` says what it is."""
    return dataclasses.field(default="", metadata={_NEEDED: what})


def require_needed(config: DataclassInstance) -> None:
    """Raise UsageError, which says how to give it, if a field that is `needed` is left empty."""
    for field in dataclasses.fields(config):
        if _NEEDED in field.metadata and not getattr(config, field.name):
            wanted = field.metadata[_NEEDED]
            raise UsageError(f"{field.name}: not given, wanted {wanted}; add --set {field.name}=...")


def require(config: DataclassInstance, name: str, holds: bool, wanted: str) -> None:
    """Raise UsageError, with the value of the field `name` and what was wanted, unless the condition `holds`."""
    if not holds:
        raise UsageError(f"{name}: got {getattr(config, name)}, wanted {wanted}")


def require_positive(config: DataclassInstance, *names: str) -> None:
    """Require each of the fields `names`, or each item where it is a tuple, to be finite and above 0, unless None."""
    for name in names:
        value = getattr(config, name)
        items = value if isinstance(value, tuple) else (value,)
        positive = value is None or (bool(items) and all(0 < item < math.inf for item in items))
        require(config, name, positive, "more than 0, and finite")


def require_within(config: DataclassInstance, **limits: tuple[float, float]) -> None:
    """Require each of the fields, or each item where it is a tuple, to be from its least to its most, unless None."""
    for name, (least, most) in limits.items():
        value = getattr(config, name)
        items = value if isinstance(value, tuple) else (value,)
        within = value is None or (bool(items) and all(least <= item <= most for item in items))
        require(config, name, within, f"from {least} to {most}")


def require_tolerance(config: DataclassInstance) -> None:
    """Require the field `tolerance` to be one that sampling can meet, whose work grows with its inverse square."""
    require_within(config, tolerance=(1e-6, 10**6))


def require_distinct(config: DataclassInstance, *names: str) -> None:
    """Require each of the tuples `names` to hold each item once; floats in six digits, for so they stand in names."""
    for name in names:
        items = getattr(config, name)
        told = {f"{item:g}" if isinstance(item, float) else str(item) for item in items}
        in_digits = ", in six digits" if any(isinstance(item, float) for item in items) else ""
        require(config, name, len(told) == len(items), f"each once{in_digits}")


def require_device(config: DataclassInstance) -> None:
    """Require the field `device` to be the name of one, usable here or not."""
    named = re.fullmatch(r"cpu|cuda(:\d{1,3})?", device_of(config)) is not None
    require(config, "device", named, "cpu, cuda, or cuda:N with N from 0")


def require_usable_device(config: DataclassInstance) -> None:
    """Raise UsageError, which says why, if there is a field `device` and the device is not usable here."""
    name = device_of(config)
    reason = "" if name == "cpu" else _why_not(torch.device(name).index or 0)
    if reason:
        raise UsageError(f"device: got {name}, which is not usable here: {reason}; leave it out, to run on the CPU")


def device_of(config: DataclassInstance) -> str:
    """Return the device that a run works on: cpu where its configuration leaves no choice."""
    return str(vars(config).get("device", "cpu"))


def _why_not(index: int) -> str:
    backend = backends()[1]
    if not backend.usable:
        return backend.reason
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no device, or was built without CUDA"
    devices = cuda_devices()
    return str(devices[index][1]) if index < len(devices) else f"there are {len(devices)}, counted from 0"


def _parse(name: str, kind: type, text: str) -> object:
    if type(None) in typing.get_args(kind):
        return None if text == "None" else _parse(name, typing.get_args(kind)[0], text)
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_parse(name, item, part) for part in text.split(",") if part.strip())
    try:
        value: int | float | str = _PARSERS[kind](text)
    except ValueError as error:
        raise UsageError(f"{name}: got {text!r}, wanted a value of type {kind.__name__}") from error
    if isinstance(value, int) and value > _LARGEST:
        raise UsageError(f"{name}: got {text}, wanted at most {_LARGEST}")
    return value
