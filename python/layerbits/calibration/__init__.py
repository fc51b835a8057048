"""Tasks whose information is known, and how often intervals contain it."""

from layerbits.calibration.coverage_check import Coverage, coverage
from layerbits.calibration.tasks import V1, MixtureTask, NetworkTask, Task, Truth
from layerbits.calibration.tasks.quadrature import Channel, on_line, through_leaky_relu, truths_of

__all__ = [
    "V1",
    "Channel",
    "Coverage",
    "MixtureTask",
    "NetworkTask",
    "Task",
    "Truth",
    "coverage",
    "on_line",
    "through_leaky_relu",
    "truths_of",
]
