"""Refuse the import in a subinterpreter, in which torch and the kernels would wait for their lock for ever."""

from __future__ import annotations

import contextlib
import importlib
import sys


def _check() -> None:
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    with contextlib.suppress(ModuleNotFoundError):  # an implementation of Python without subinterpreters
        interpreters = importlib.import_module(name)
        if interpreters.get_current() != interpreters.get_main():
            raise ImportError(
                "layerbits: got a subinterpreter, wanted the main interpreter of a process, because torch and NumPy "
                "support no other; use processes"
            )


_check()
