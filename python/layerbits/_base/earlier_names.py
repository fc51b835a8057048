"""Names of version 0.1 that have changed: errors that say the present name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Returned = TypeVar("_Returned")


def missing_attribute(place: str, name: str, present_names: Mapping[str, str]) -> AttributeError:
    """Return the error of an attribute that `place` lacks, with the present name if version 0.1 had the attribute."""
    remedy = f", which was removed after version 0.1; use {present_names[name]}" if name in present_names else ""
    return AttributeError(f"{place} has no attribute {name!r}{remedy}")


def refuse_earlier_parameters(
    **present_names: str,
) -> Callable[[Callable[_Parameters, _Returned]], Callable[_Parameters, _Returned]]:
    """Return a decorator of a function that refuses parameters of version 0.1 with a TypeError that says what to use.

    Parameters
    ----------
    **present_names : str
        For each parameter of version 0.1, what to use now.
    """

    def decorate(function: Callable[_Parameters, _Returned]) -> Callable[_Parameters, _Returned]:
        @functools.wraps(function)
        def checked(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Returned:
            for name, present_name in present_names.items():
                if name in kwargs:
                    raise TypeError(f"{name}: got a parameter of version 0.1, wanted none; use {present_name}")
            return function(*args, **kwargs)

        return checked

    return decorate
