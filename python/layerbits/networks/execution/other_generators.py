"""The states of the generators of Python and NumPy that a network may use, to find that a pass uses one.

The generators are the global ones, and those among the attributes of modules and the items of their containers, the
defaults and closure variables of forward methods, the globals that the methods name, and the same values of functions
found in this way.
"""

from __future__ import annotations

import pickle
import random
import types
from collections.abc import Iterator, Mapping

import numpy as np
from torch import nn

_GENERATORS = random.Random | np.random.RandomState | np.random.Generator


class OtherGenerators:
    """The generators of Python and NumPy that a network may use, with their states at the last comparison."""

    def __init__(self, model: nn.Module) -> None:
        self._generators = list({id(value): value for value in _generators(model)}.values())
        self._states = self._present_states()

    def have_changed(self) -> bool:
        """Return whether a generator has another state than at the last comparison, and keep the present states.

        Another thread may have used a global generator too.
        """
        before, self._states = self._states, self._present_states()
        return self._states != before

    def _present_states(self) -> list[object]:
        states = np.random.get_state(), *self._generators  # noqa: NPY002 - networks may use the global generator
        return [random.getstate(), *map(pickle.dumps, states)]


def _generators(model: nn.Module) -> Iterator[object]:
    for module in model.modules():
        values = [*vars(module).values(), *_values_of_function(vars(module).get("forward", type(module).forward))]
        for value in values:
            items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
            for candidate in (value, *items):
                if isinstance(candidate, types.FunctionType | types.MethodType):
                    yield from filter(_has_state, _values_of_function(candidate))
                elif _has_state(candidate):
                    yield candidate


def _has_state(value: object) -> bool:
    # The random numbers of the operating system have no state.
    return isinstance(value, _GENERATORS) and not isinstance(value, random.SystemRandom)


def _values_of_function(function: object) -> list[object]:
    """Return the defaults and closure variables of a function, and the globals that it names."""
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType):
        return []
    values = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # a variable without a value so far
            continue
    values += [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
    return values
