"""The typed interface to the C++ and CUDA kernels: operations, arrays, threads, devices, random streams, reference.

Other packages call the functions listed here; only this package imports the native modules.
"""

import os as _os

from layerbits.kernels.arrays import as_floats, as_number, as_sigma, as_tensor, check_plain
from layerbits.kernels.back_ends import Backend, backends, cuda_devices
from layerbits.kernels.cpu_threads import single_threaded_torch, threads
from layerbits.kernels.forked_child import prepare_forked_child as _prepare_forked_child
from layerbits.kernels.operations import (
    distance_histogram,
    largest_distance,
    log_sum_exp_diagonal,
    log_sum_exp_full,
    log_sum_exp_isotropic,
)
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
from layerbits.kernels.sharding import Devices, log_sums, resolve_devices

__all__ = [
    "Backend",
    "Devices",
    "NormalStream",
    "RandomStream",
    "as_floats",
    "as_number",
    "as_sigma",
    "as_tensor",
    "backends",
    "check_plain",
    "cuda_devices",
    "derived_seed",
    "distance_histogram",
    "empty_for_draws",
    "fill_rows",
    "largest_distance",
    "log_sum_exp_diagonal",
    "log_sum_exp_full",
    "log_sum_exp_isotropic",
    "log_sums",
    "resolve_devices",
    "single_threaded_torch",
    "standard_normal",
    "stream",
    "threads",
    "uniform_like",
]

_os.register_at_fork(after_in_child=_prepare_forked_child)
