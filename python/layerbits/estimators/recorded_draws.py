"""The recorded draws of a sample: the probing draws, and the later draws in the same tensors."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from layerbits.estimators.layer_groups import PROBING_PASSES, is_wide
from layerbits.estimators.problem import Problem
from layerbits.mixtures import as_points
from layerbits.networks import Passes, record_draws


def probing_draws(
    problem: Problem, names: tuple[str, ...], parts_behind_no_noise: set[str], draws: int, seed: int
) -> tuple[dict[str, Tensor], frozenset[str]]:
    """Return the signals of the two probing passes, and the parts behind no noise whose two draws differ.

    If the draws of a part behind no noise are equal, its signals are (n, 1, d). Other signals are (n, 2, d) if the part
    is wide, and otherwise (n, max(draws, 2), d), of which the first two draws are recorded.
    """
    columns = {name: PROBING_PASSES if is_wide(problem, name, draws) else max(draws, 2) for name in names}
    columns_at_first = columns | dict.fromkeys(parts_behind_no_noise, 1)  # the second draw is only compared
    passes = Passes(
        names,
        range(PROBING_PASSES),
        seed,
        parts=problem.parts,
        columns=columns_at_first,
        keeps_half=True,
        processes=problem.workers.processes,
    )
    recording = record_draws(problem.network, problem.inputs.tensors, passes)
    signals, differing = recording.signals, recording.differing
    if differing:
        layers = tuple(sorted(differing, key=names.index))
        passes = dataclasses.replace(passes, layers=layers, columns=columns)
        signals |= record_draws(problem.network, problem.inputs.tensors, passes).signals
    return {name: signals[name] for name in names}, differing


def record_later_draws(problem: Problem, probes: dict[str, Tensor], passes: Passes) -> None:
    """Add the draws of `passes` to `probes`, in place; for a part with a view, all draws are values of the view."""
    view_values = {name: view(as_points(probes.pop(name))) for name, view in passes.views.items()}
    if passes.layers and passes.draws:
        passes = dataclasses.replace(
            passes, parts=problem.parts, columns=dict.fromkeys(passes.layers, passes.draws.stop)
        )
        probes |= record_draws(problem.network, problem.inputs.tensors, passes, probes).signals
        for name, values in view_values.items():
            probes[name][:, :PROBING_PASSES] = values
    else:
        probes |= view_values
