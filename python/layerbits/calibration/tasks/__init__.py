"""Mixtures and noisy networks whose information is known, in frozen lists.

`V1` is the first list; `V2` has networks of structures and events that V1 lacks, and information between two layers;
`V3` has random slices of layers. A list never changes, because published comparisons refer to it: a different set of
tasks is a new list. `BASELINES` has samples for the estimators of `layerbits.baselines`.
"""

from layerbits.calibration.tasks.baselines import BASELINES, BaselineTask, ErrorBound
from layerbits.calibration.tasks.channels import Channel, leaky_relu_channel, line_channel
from layerbits.calibration.tasks.mixtures import MIXTURES
from layerbits.calibration.tasks.module_task import BETWEEN, ModuleTask
from layerbits.calibration.tasks.networks import NETWORKS
from layerbits.calibration.tasks.quadrature import quadrature_truths
from layerbits.calibration.tasks.slices import V3, SliceTask
from layerbits.calibration.tasks.task import MixtureTask, NetworkTask, Task, Truth
from layerbits.calibration.tasks.v2 import V2

CoverageTask = MixtureTask | NetworkTask | ModuleTask | BaselineTask

V1: tuple[MixtureTask | NetworkTask, ...] = (*MIXTURES, *NETWORKS)

__all__ = [
    "BASELINES",
    "BETWEEN",
    "V1",
    "V2",
    "V3",
    "BaselineTask",
    "Channel",
    "CoverageTask",
    "ErrorBound",
    "MixtureTask",
    "ModuleTask",
    "NetworkTask",
    "SliceTask",
    "Task",
    "Truth",
    "leaky_relu_channel",
    "line_channel",
    "quadrature_truths",
]
