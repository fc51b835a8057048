"""Settings of an experiment: frozen dataclasses, replacement of fields by texts, and checks of values."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from layerbits._base import UsageError, shown
from layerbits.kernels import backends, cuda_devices

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ConfigT = TypeVar("ConfigT", bound="Configuration")
SettingsT = TypeVar("SettingsT", bound="DataclassInstance")

_NEEDED = "needed"  # key in the metadata of a field
_LARGEST_INTEGER = 2**31 - 1  # libraries may store a setting in 32 bits


@dataclasses.dataclass(frozen=True)
class Configuration:
    """Settings that all experiments have; a subclass adds its own, each with a default.

    `layerbits run NAME --help` prints the entries of the section Parameters, also those of subclasses.

    Parameters
    ----------
    seed
        Seed of all random numbers.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            integers = [item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, int)]
            in_range = all(item <= _LARGEST_INTEGER for item in integers)
            require(self, field.name, in_range, f"at most {_LARGEST_INTEGER}")
        require(self, "seed", self.seed >= 0, "an integer >= 0")

    def identity(self, part: str = "") -> str:
        """Return a hash of the settings and of the part of the run, for its checkpoints."""
        settings = json.dumps([type(self).__qualname__, dataclasses.asdict(self), part], sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class DeviceConfiguration(Configuration):
    """Settings of an experiment that can run on a GPU. The name of the device is checked, not its presence.

    Parameters
    ----------
    device
        Device of the run: cpu, cuda, or cuda:1.
    """

    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        matches = re.fullmatch(r"cpu|cuda(:\d{1,3})?", self.device) is not None
        require(self, "device", matches, "cpu, cuda, or cuda:N with N from 0")


def with_settings(config: SettingsT, texts: Mapping[str, str]) -> SettingsT:
    """Return a frozen dataclass with the fields named in `texts` replaced.

    A tuple is written with commas, ``10,7,5``. A field that may be None takes the text ``None``.

    Raises
    ------
    UsageError
        A name is not a field, a text is not a value of the field's type, or a value is out of range.
    """
    types = typing.get_type_hints(type(config))
    unknown_names = [name for name in texts if name not in types]
    if unknown_names:
        raise UsageError(f"{shown(unknown_names[0])}: no such setting; there are {', '.join(types)}")
    values: dict[str, Any] = {name: _parse(name, types[name], text) for name, text in texts.items()}
    return dataclasses.replace(config, **values)


def needed(description: str) -> str:
    """Return an empty text field that must be set before a run; messages contain the `description` of its value."""
    return dataclasses.field(default="", metadata={_NEEDED: description})


def require_needed(config: Configuration) -> None:
    """Raise UsageError if a field that is `needed` is empty."""
    for field in dataclasses.fields(config):
        if _NEEDED in field.metadata and not getattr(config, field.name):
            wanted = field.metadata[_NEEDED]
            raise UsageError(f"{field.name}: not given, wanted {wanted}; add --set {field.name}=...")


def require(config: Configuration, name: str, condition: bool, wanted: str) -> None:
    """Raise UsageError, with the value of the field `name` and the text `wanted`, unless `condition` is true."""
    if not condition:
        raise UsageError(f"{name}: got {shown(getattr(config, name))}, wanted {wanted}")


def require_positive(config: Configuration, *names: str) -> None:
    """Require the fields `names`, or all items of a nonempty tuple, to be finite and above 0; None is accepted."""
    for name in names:
        items = _items(config, name)
        wanted = "an integer >= 1" if all(isinstance(item, int) for item in items) else "a positive, finite number"
        suffix = " for each item" if isinstance(getattr(config, name), tuple) else ""
        require(config, name, all(0 < item < math.inf for item in items), wanted + suffix)


def require_within(config: Configuration, **limits: tuple[float, float]) -> None:
    """Require fields to be in [lower, upper]; tuples as in `require_positive`, None is accepted."""
    for name, (lower, upper) in limits.items():
        in_range = all(lower <= item <= upper for item in _items(config, name))
        require(config, name, in_range, f"from {lower} to {upper}")


def _items(config: Configuration, name: str) -> tuple[float, ...]:
    """Return the numbers in the field `name`, none for None; raise UsageError if the field is an empty tuple."""
    value = getattr(config, name)
    if not isinstance(value, tuple):
        return () if value is None else (value,)
    require(config, name, bool(value), "at least one number")
    return value


def require_tolerance(config: Configuration) -> None:
    """Require the field `tolerance` to be from 1e-6 to 10^6: the number of samples grows with its inverse square."""
    require_within(config, tolerance=(1e-6, 10**6))


def require_distinct(config: Configuration, *names: str) -> None:
    """Require the items of the tuples `names` to differ; floats in six digits, as file names show them."""
    for name in names:
        items = getattr(config, name)
        texts = {f"{item:g}" if isinstance(item, float) else str(item) for item in items}
        in_digits = ", in six digits" if any(isinstance(item, float) for item in items) else ""
        require(config, name, len(texts) == len(items), f"distinct items{in_digits}")


def require_usable_device(config: Configuration) -> None:
    """Raise UsageError, with the reason, if the device of the configuration is not usable on this machine."""
    device = device_of(config)
    reason = "" if device == "cpu" else _unusable_reason(torch.device(device).index or 0)
    if reason:
        raise UsageError(f"device: got {device}, which is not usable here: {reason}; leave it out to run on the CPU")


def device_of(config: Configuration) -> str:
    """Return the device that a run works on: the CPU if the configuration has no device."""
    return config.device if isinstance(config, DeviceConfiguration) else "cpu"


def _unusable_reason(index: int) -> str:
    backend = backends()[1]
    if not backend.usable:
        return backend.reason
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no device, or was built without CUDA"
    devices = cuda_devices()
    return str(devices[index][1]) if index < len(devices) else f"there are {len(devices)} devices, counted from 0"


def _parse(name: str, kind: type, text: str) -> object:
    if type(None) in typing.get_args(kind):
        return None if text == "None" else _parse(name, typing.get_args(kind)[0], text)
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_parse(name, item, part) for part in text.split(",") if part.strip())
    if kind is bool:
        if text not in ("True", "False"):
            raise UsageError(f"{name}: got {shown(repr(text))}, wanted True or False")
        return text == "True"
    try:
        value: int | float | str = kind(text)
    except ValueError as error:
        raise UsageError(f"{name}: got {shown(repr(text))}, wanted a value of type {kind.__name__}") from error
    return value
