"""The methods: layerbits and its rivals, called as their users would, and their allowed errors."""

from benchmarks.methods.accuracy import MeasuredError, ResultError, check_gradients, measure_accuracy
from benchmarks.methods.calls import (
    DTYPES,
    METHODS,
    NUMPY,
    Method,
    fastest_chunks,
    gradient_calls,
    group_call,
    information_calls,
    log_density_calls,
)
from benchmarks.methods.numpy_torch import (
    numpy_log_sums_of_groups,
    torch_gradient,
    torch_log_density,
    torch_log_sums_of_groups,
)
from benchmarks.methods.packages import PACKAGES, TREES, installed, keops_log_density, tree_calls

__all__ = [
    "DTYPES",
    "METHODS",
    "NUMPY",
    "PACKAGES",
    "TREES",
    "MeasuredError",
    "Method",
    "ResultError",
    "check_gradients",
    "fastest_chunks",
    "gradient_calls",
    "group_call",
    "information_calls",
    "installed",
    "keops_log_density",
    "log_density_calls",
    "measure_accuracy",
    "numpy_log_sums_of_groups",
    "torch_gradient",
    "torch_log_density",
    "torch_log_sums_of_groups",
    "tree_calls",
]
