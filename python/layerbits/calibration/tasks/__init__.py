"""Tasks with known answers: mixtures and noisy networks whose information is known, in frozen lists.

`V1` is the first list. Lists never change: what is to be different goes into a new one.
"""

from layerbits.calibration.tasks.mixtures import MIXTURES
from layerbits.calibration.tasks.networks import NETWORKS
from layerbits.calibration.tasks.task import MixtureTask, NetworkTask, Task, Truth

V1: tuple[MixtureTask | NetworkTask, ...] = (*MIXTURES, *NETWORKS)

__all__ = ["V1", "MixtureTask", "NetworkTask", "Task", "Truth"]
