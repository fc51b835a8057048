"""Groups of layers and readouts whose recorded signals fit into the budget together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence

import torch

from layerbits.estimators.problem import Problem
from layerbits.networks import DropoutNoise, GaussianNoise, RandomFramesView

# Bytes of the budget for each value that a group holds: half for the value, in float32, and half for its use.
_BUDGET_PER_VALUE = 8

# Bytes of a value, in float32.
_BYTES_OF_VALUE = 4

# Number of passes that show whether a layer lies behind no noise, and the principal axes of wide layers.
PROBING_PASSES = 2


def part_groups(problem: Problem, draws: int) -> Iterator[tuple[str, ...]]:
    """Yield the names of the parts of a problem in groups, in their order, whose signals fit into the budget together.

    A part that does not fit by itself is a group of its own. Each group has passes of its own, with the same noise.

    Warns
    -----
    UserWarning
        The signals of a layer behind no noise, which are held in full, exceed the budget.
    """
    exact, budgets = parts_behind_no_noise(problem, tuple(problem.parts)), dict[str, int]()
    for name in problem.parts:
        n_passes = 1 if name in exact else PROBING_PASSES if is_wide(problem, name, draws) else draws
        n_values = _n_values(problem, name, n_passes)
        if name in exact and n_values * _BYTES_OF_VALUE > problem.max_memory:
            warnings.warn(
                f"max_memory: got {problem.max_memory}, but the signals of {name!r}, which are held in full, take "
                f"{n_values * _BYTES_OF_VALUE} bytes, and, if sigma is no single number, a copy in float64 twice as "
                "much; if that is too much, take fewer inputs (limit) or a readout",
                stacklevel=2,
            )
        budgets[name] = n_values * _BUDGET_PER_VALUE
    yield from groups_within(problem.max_memory, budgets)


def groups_within(max_memory: int, budgets: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """Yield names in groups, in their order, whose bytes are at most `max_memory` together, or a single name."""
    group, n_bytes = list[str](), 0
    for name, added in budgets.items():
        if group and n_bytes + added > max_memory:
            yield tuple(group)
            group, n_bytes = [], 0
        group.append(name)
        n_bytes += added
    if group:
        yield tuple(group)


def parts_behind_no_noise(problem: Problem, names: Sequence[str]) -> set[str]:
    """Return the parts of layers whose signals are functions of the input."""
    return {name for name in names if problem.parts[name].layer in problem.network.behind_no_noise}


def is_wide(problem: Problem, name: str, draws: int) -> bool:
    """Return whether the signals of a part behind noise are too many to be held in full."""
    return bytes_of_draws(problem, name, draws) > problem.max_memory


def bytes_of_draws(problem: Problem, name: str, draws: int) -> int:
    """Return the bytes of the budget that the signals of a part take if they are held in full."""
    return _n_values(problem, name, draws) * _BUDGET_PER_VALUE


def wide_noise(problem: Problem, name: str, draws: int) -> GaussianNoise:
    """Return the noise of a wide part behind noise, which is projected on some dimensions.

    Raises
    ------
    ValueError
        The part has a `DropoutNoise` or random slices, so that all its values are held.
    """
    noise, wanted = problem.parts[name].noise(problem.network), bytes_of_draws(problem, name, draws)
    if isinstance(problem.parts[name].view, RandomFramesView):
        raise ValueError(
            f"max_memory: got {problem.max_memory}, wanted at least {wanted} for {draws} draws of {name!r}, whose "
            "slices are all held; raise max_memory, or lower count, draws or limit"
        )
    if isinstance(noise, DropoutNoise):
        raise ValueError(
            f"max_memory: got {problem.max_memory}, wanted at least {wanted} for {draws} draws of {name!r}, whose "
            f"units are all held, because it has {noise} and lies behind noise; raise max_memory, or lower draws or "
            "limit"
        )
    return noise


def _n_values(problem: Problem, name: str, draws: int) -> int:
    part = problem.parts[name]
    units = problem.network.units.get(part.layer, 0)
    if part.view is not None and units:
        values = part.view(torch.empty(1, 1, units), slice(0, 1))
        units = values.shape[-1] * (1 + values.is_complex())  # a complex value takes the memory of two
    return problem.n_inputs * draws * units
