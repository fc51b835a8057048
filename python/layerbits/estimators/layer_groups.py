"""Groups of layers whose recorded signals fit into the budget together, and layers that do not fit by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layerbits.estimators.problem import Problem

# Bytes of the budget for each value that a group of layers holds: half for the value, in float32, and half for its use.
_BUDGET_PER_VALUE = 8

# Number of passes that show whether a layer lies behind no noise, and the principal axes of wide layers.
PROBING_PASSES = 2


def layer_groups(problem: Problem, draws: int) -> Iterator[tuple[str, ...]]:
    """Yield the layers of a problem in groups, in their order, whose signals fit into the budget together.

    A layer that does not fit by itself is a group of its own. Each group has its passes, with the same noise.
    """
    exact, group, n_values = layers_behind_no_noise(problem, problem.layers), list[str](), 0
    for layer in problem.layers:
        held = 1 if layer in exact else PROBING_PASSES if is_wide(problem, layer, draws) else draws
        added = _n_values(problem, layer, held)
        if group and (n_values + added) * _BUDGET_PER_VALUE > problem.max_memory:
            yield tuple(group)
            group, n_values = [], 0
        group.append(layer)
        n_values += added
    if group:
        yield tuple(group)


def layers_behind_no_noise(problem: Problem, layers: Sequence[str]) -> set[str]:
    """Return the layers that lie behind no noise of layerbits; a network may have random numbers of its own."""
    first = problem.network.layer_names[0]
    return {layer for layer in layers if not problem.network.adds_noise or layer == first}


def _n_values(problem: Problem, layer: str, draws: int) -> int:
    return problem.n_inputs * draws * problem.network.units.get(layer, 0)


def is_wide(problem: Problem, layer: str, draws: int) -> bool:
    """Return whether the signals of a layer behind noise are too many to be held in full."""
    return _n_values(problem, layer, draws) * _BUDGET_PER_VALUE > problem.max_memory
