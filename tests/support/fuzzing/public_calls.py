"""Strategies for the calls of a public name, made from its signature."""

import inspect
from typing import NamedTuple

import hypothesis.strategies as st

import layerbits as lb
from tests.support.fuzzing.odd_values import FUNCTIONS, ODD_VALUES
from tests.support.fuzzing.usual_values import usual_values

_LARGEST_DRAWN = 2**12
PLOTS = ("curves", "distances", "information_plane", "intervals", "scatter", "sigma_profile")  # the rest are parts


def public_callables():
    """Return the functions and classes that are public, by name; exceptions take any arguments, and are left out."""
    modules = {"": lb, "plots.": lb.plots}
    modules |= {f"{package}.": getattr(lb, package) for package in ("baselines", "calibration", "data", "theory")}
    names = {prefix: PLOTS if prefix == "plots." else module.__all__ for prefix, module in modules.items()}
    public = {prefix + name: getattr(modules[prefix], name) for prefix in modules for name in names[prefix]}
    return {name: value for name, value in public.items() if _is_fuzzed(value)}


def _is_fuzzed(value):
    return inspect.isfunction(value) or (
        inspect.isclass(value) and not issubclass(value, BaseException) and not getattr(value, "_is_protocol", False)
    )


class Argument(NamedTuple):
    """An argument of a call: the parameter, a description of the value, and a function that makes the value."""

    parameter: str
    description: str
    make: object

    def __repr__(self):
        return f"{self.parameter}={self.description}"


def calls(function):
    """Return a strategy for the arguments of `function`: usual ones, of which up to two are replaced by odd ones."""
    parameters = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    choices = {parameter.name: (_usual(parameter), _odd(parameter)) for parameter in parameters}

    @st.composite
    def arguments(draw):
        odd = draw(st.sets(st.sampled_from(list(choices)), max_size=2)) if choices else ()
        return [draw(choices[name][name in odd]) for name in choices]

    return arguments()


def _usual(parameter):
    makers = usual_values(parameter)
    return st.sampled_from([Argument(parameter.name, f"usual {index}", make) for index, make in enumerate(makers)])


def _odd(parameter):
    takes_functions = parameter.name in ("channel", "labels") or "Callable" in str(parameter.annotation)
    values = [
        Argument(parameter.name, name, make)
        for name, make in ODD_VALUES.items()
        if not (takes_functions and name in FUNCTIONS)  # a function of the caller raises its own errors
    ]
    # Larger numbers of draws may ask for long work; numbers that are refused are among `ODD_VALUES`.
    integers = st.integers(-_LARGEST_DRAWN, _LARGEST_DRAWN)
    drawn = st.one_of(integers, st.floats(), st.text(max_size=5))
    return st.sampled_from(values) | drawn.map(lambda value: Argument(parameter.name, repr(value), lambda: value))
