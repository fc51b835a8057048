"""Tasks whose information is known, and the share of the estimators' intervals that contain the true value."""

from layerbits.calibration.coverage_check import Coverage, coverage, expected_seconds
from layerbits.calibration.tasks import (
    V1,
    V2,
    V3,
    Channel,
    MixtureTask,
    ModuleTask,
    NetworkTask,
    SliceTask,
    Task,
    Truth,
    leaky_relu_channel,
    line_channel,
    quadrature_truths,
)
from layerbits.calibration.worker_processes import coverage_in_processes

__all__ = [
    "V1",
    "V2",
    "V3",
    "Channel",
    "Coverage",
    "MixtureTask",
    "ModuleTask",
    "NetworkTask",
    "SliceTask",
    "Task",
    "Truth",
    "coverage",
    "coverage_in_processes",
    "expected_seconds",
    "leaky_relu_channel",
    "line_channel",
    "quadrature_truths",
]
