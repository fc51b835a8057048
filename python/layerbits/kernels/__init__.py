"""The typed interface to the C++ and CUDA kernels, with arrays, threads, devices and random streams."""

from layerbits.kernels.back_ends import Backend, backends, cuda
from layerbits.kernels.operations import (
    as_floats,
    as_sigma,
    as_tensor,
    distance_histogram,
    largest_distance,
    log_sum_exp_full,
    log_sum_exp_isotropic,
    single_threaded_torch,
    threads,
)
from layerbits.kernels.random_streams import (
    NormalStream,
    empty_for_draws,
    fill_rows,
    standard_normal,
    stream,
    uniform_like,
)
from layerbits.kernels.sharding import Devices, log_sums, shared_by

__all__ = [
    "Backend",
    "Devices",
    "NormalStream",
    "as_floats",
    "as_sigma",
    "as_tensor",
    "backends",
    "cuda",
    "distance_histogram",
    "empty_for_draws",
    "fill_rows",
    "largest_distance",
    "log_sum_exp_full",
    "log_sum_exp_isotropic",
    "log_sums",
    "shared_by",
    "single_threaded_torch",
    "standard_normal",
    "stream",
    "threads",
    "uniform_like",
]
