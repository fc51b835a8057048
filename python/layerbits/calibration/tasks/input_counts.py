"""Chains of 1 to 200 inputs."""

from __future__ import annotations

import numpy as np
import torch

from layerbits.calibration.tasks.scalar_tasks import chain_task

_FUNCTIONS = (lambda x: torch.tanh(1.5 * x)), (lambda t: torch.tanh(2 * t))

INPUT_COUNTS = tuple(
    chain_task(
        f"inputs-{count}",
        f"2 tanh layers, {count} input{'s' * (count > 1)}",
        np.linspace(-1, 1, count) if count > 1 else [0.5],
        _FUNCTIONS,
        (0.3, 0.25),
        slope=2,
    )
    for count in (1, 2, 3, 5, 20, 200)
)
