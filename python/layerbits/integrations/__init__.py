"""Callbacks that measure information in the trainers of other libraries; each module needs the extra of its name.

`layerbits.integrations.accelerate`, `.lightning` and `.transformers` are imported when they are first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from layerbits._base import require_package

_MODULES = ("accelerate", "lightning", "transformers")


def __getattr__(name: str) -> ModuleType:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_package(name, extra=name, purpose="its callbacks")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return list(_MODULES)
