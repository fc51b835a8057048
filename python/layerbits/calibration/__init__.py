"""Tasks whose information is known, the coverage of the estimators' intervals, and the errors of the baselines."""

from layerbits.calibration.coverage_check import Coverage, coverage, expected_seconds
from layerbits.calibration.tasks import (
    BASELINES,
    V1,
    V2,
    V3,
    BaselineTask,
    Channel,
    ErrorBound,
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
    "BASELINES",
    "V1",
    "V2",
    "V3",
    "BaselineTask",
    "Channel",
    "Coverage",
    "ErrorBound",
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
