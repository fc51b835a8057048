"""Gates: T_1 multiplies the input or opens a path of the input. The two layers are no chain."""

from __future__ import annotations

import numpy as np
import torch

from layerbits.calibration.tasks.module_task import ModuleTask
from layerbits.calibration.tasks.scalar_tasks import bypass_task

# P(Z_1 > 3.1 sigma) = 1/1000.
_THRESHOLD = 3.1


def _rare_gate(sigma: float) -> ModuleTask:
    return bypass_task(
        "gate-rare",
        "a path that is open in one pass of 1000",
        np.linspace(-1, 1, 4),
        lambda x: 0 * x,
        lambda t, x: 4 * torch.relu(t - _THRESHOLD * sigma) * x,
        (sigma, 0.2),
        slope=4,
        kinks=[_THRESHOLD * sigma],
    )


GATES = (
    bypass_task(
        "gate",
        "T_1 is noise that multiplies the input",
        np.linspace(-1, 1, 6),
        lambda x: 0 * x,
        lambda t, x: t * x,
        (0.5, 0.4),
        slope=1,
    ),
    bypass_task(
        "gate-product",
        "T_1 depends on the input and multiplies it",
        np.linspace(-1.5, 2, 6),
        torch.tanh,
        lambda t, x: t * x,
        (0.3, 0.25),
        slope=2,
    ),
    _rare_gate(0.25),
)
