"""The typed interface to the C++ and CUDA kernels: operations, arrays, threads, devices, random streams, reference.

Other packages call the functions listed here; only this package imports the native modules.
"""

import os as _os

from layerbits.kernels.arrays import as_floats, as_number, as_sigma, as_tensor, check_plain
from layerbits.kernels.back_ends import Backend, backends, cuda_devices
from layerbits.kernels.cpu_threads import map_in_threads, single_threaded_torch, threads
from layerbits.kernels.digests import digest, tensor_bytes
from layerbits.kernels.environments import environment, other_environment
from layerbits.kernels.forked_child import prepare_forked_child as _prepare_forked_child
from layerbits.kernels.operations import (
    check_metric,
    distance_histogram,
    largest_distance,
    log_sum_exp_diagonal,
    log_sum_exp_full,
    log_sum_exp_isotropic,
)
from layerbits.kernels.processes import ALONE, Group, Processes
from layerbits.kernels.random_streams import (
    NormalStream,
    RandomStream,
    derived_seed,
    empty_for_draws,
    fill_rows,
    standard_normal,
    stream,
    uniform_like,
)
from layerbits.kernels.sharding import (
    GRID_TOLERANCE,
    NO_WORKERS,
    Devices,
    Workers,
    isotropic_log_sums,
    log_sums,
    resolve_devices,
)
from layerbits.kernels.shared_operations import shared_distance_histogram, shared_largest_distance

__all__ = [
    "ALONE",
    "GRID_TOLERANCE",
    "NO_WORKERS",
    "Backend",
    "Devices",
    "Group",
    "NormalStream",
    "Processes",
    "RandomStream",
    "Workers",
    "as_floats",
    "as_number",
    "as_sigma",
    "as_tensor",
    "backends",
    "check_metric",
    "check_plain",
    "cuda_devices",
    "derived_seed",
    "digest",
    "distance_histogram",
    "empty_for_draws",
    "environment",
    "fill_rows",
    "isotropic_log_sums",
    "largest_distance",
    "log_sum_exp_diagonal",
    "log_sum_exp_full",
    "log_sum_exp_isotropic",
    "log_sums",
    "map_in_threads",
    "other_environment",
    "resolve_devices",
    "shared_distance_histogram",
    "shared_largest_distance",
    "single_threaded_torch",
    "standard_normal",
    "stream",
    "tensor_bytes",
    "threads",
    "uniform_like",
]

_os.register_at_fork(after_in_child=_prepare_forked_child)
