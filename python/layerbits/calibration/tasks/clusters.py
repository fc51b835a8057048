"""Clusters 5 to 8 sigmas apart: entropies and information that depend on rare confusions."""

from __future__ import annotations

import numpy as np
import torch

from layerbits.calibration.tasks.module_task import ModuleTask
from layerbits.calibration.tasks.scalar_tasks import Values, chain_task


def _clusters(name: str, description: str, inputs: Values, gap: float) -> ModuleTask:
    """Make 2 clusters at -1 and 1, by a steep second layer."""
    functions = (lambda t: t), (lambda t: torch.tanh(40 * t))
    return chain_task(name, description, inputs, functions, (0.1, 2 / gap), slope=40)


def _three_clusters(gap: float) -> ModuleTask:
    functions = torch.tanh, lambda t: (torch.tanh(30 * (t - 0.4)) + torch.tanh(30 * (t + 0.4))) / 2
    description = f"12 inputs in 3 clusters {gap:g} sigmas apart"
    return chain_task("clusters-of-3", description, np.linspace(-1.5, 1.5, 12), functions, (0.1, 1 / gap), slope=15)


CLUSTERS = (
    *(
        _clusters(f"clusters-{gap}", f"2 clusters {gap} sigmas apart", [-1.3, -0.7, 0.7, 1.3], gap)
        for gap in range(5, 9)
    ),
    _clusters("clusters-of-64", "64 inputs in 2 clusters 6.5 sigmas apart", np.linspace(-2, 2, 64), 6.5),
    _three_clusters(6),
)
