"""The networks of V2: structures and events that V1 lacks."""

from __future__ import annotations

from layerbits.calibration.tasks.branches import BRANCHES
from layerbits.calibration.tasks.clusters import CLUSTERS
from layerbits.calibration.tasks.correlated_noise import CORRELATED_NOISE
from layerbits.calibration.tasks.dropout import DROPOUT
from layerbits.calibration.tasks.forwards import FORWARDS
from layerbits.calibration.tasks.gates import GATES
from layerbits.calibration.tasks.input_counts import INPUT_COUNTS
from layerbits.calibration.tasks.module_task import ModuleTask
from layerbits.calibration.tasks.offsets import OFFSETS
from layerbits.calibration.tasks.rare_events import RARE_EVENTS

V2: tuple[ModuleTask, ...] = (
    *CLUSTERS,
    *GATES,
    *BRANCHES,
    *RARE_EVENTS,
    *OFFSETS,
    *FORWARDS,
    *CORRELATED_NOISE,
    *INPUT_COUNTS,
    *DROPOUT,
)
