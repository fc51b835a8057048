"""The settings of a frozen dataclass as a table: names, types, defaults, remarks and sources of the defaults.

Names, types and defaults are those of the fields. Remarks and sources come from the section Parameters of the
docstrings of the class and of its bases, so they stand in one place.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# The section ends at the underlined title of the next section.
_SECTION = re.compile(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^(\w+(?:, \w+)*)(?: : .*)?\n((?: {4}.*\n?)+)", re.MULTILINE)


class Setting(NamedTuple):
    """A setting: its name, type as in Python, default, remark, and the source of the default, empty if unknown."""

    name: str
    type: str
    default: object
    remark: str
    source: str


def settings_table(config: DataclassInstance) -> tuple[Setting, ...]:
    """Return the settings of a configuration; the defaults are its values."""
    kinds = typing.get_type_hints(type(config))
    remarks = _remarks(type(config))
    return tuple(
        Setting(
            field.name,
            _type_name(kinds[field.name]),
            getattr(config, field.name),
            *remarks.get(field.name, ("", "")),
        )
        for field in dataclasses.fields(config)
    )


def _remarks(kind: type) -> dict[str, tuple[str, str]]:
    """Return remark and source of each setting; docstrings of subclasses replace those of their bases."""
    remarks: dict[str, tuple[str, str]] = {}
    for base in reversed(kind.__mro__):
        section = _SECTION.search(inspect.cleandoc(base.__dict__.get("__doc__") or ""))
        for names, text in _ENTRY.findall(section[1]) if section else ():
            remark, _, source = " ".join(text.split()).partition("Source: ")
            remarks |= dict.fromkeys(names.split(", "), (remark.strip(), source.removesuffix(".")))
    return remarks


def _type_name(kind: type) -> str:
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
