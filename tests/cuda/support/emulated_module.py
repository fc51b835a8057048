"""The emulated CUDA module, called with NumPy arrays; without torch, so that a new process starts quickly."""

import glob
import importlib.util
import os

import numpy as np

PRUNED_DIMS = 32  # kPrunedDims of csrc/cuda/cuda_operations.h


def load_emulated():
    """Return the module that cmake builds with LAYERBITS_CUDA_EMULATION=ON, from $LAYERBITS_CUDA_EMULATED."""
    paths = glob.glob(os.environ.get("LAYERBITS_CUDA_EMULATED", ""))
    if not paths:
        raise ImportError("LAYERBITS_CUDA_EMULATED names no module: build with LAYERBITS_CUDA_EMULATION=ON and set it")
    spec = importlib.util.spec_from_file_location("_cuda_emulated", paths[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class EmulatedModule:
    """Calls of the emulated module with scratch memory of NaN: a read before a write gives NaN results."""

    def __init__(self):
        self.module = load_emulated()

    def call(self, operation, *arguments, **options):
        return getattr(self.module, operation)(
            *arguments, **options, stream=0, allocate=lambda count: np.full(count, np.nan)
        )


def all_results(module, dtype, *, m=40, n=700, d=5):
    """Return the results of the log-sums, their gradient, and the histogram for one problem."""
    generator = np.random.default_rng(0)
    points, centers = (generator.standard_normal((k, d)).astype(dtype) for k in (m, n))
    factors = (generator.standard_normal((n, d, d)) + np.eye(d)).astype(dtype)
    log_sum, pruned_log_sum, full_log_sum, d_sigma = (np.full(m, 7.0) for _ in range(4))
    d_points, d_centers, counts = np.full_like(points, 7), np.full_like(centers, 7), np.full((12, 2), 7)
    orders = {"point_order": generator.permutation(m), "center_order": generator.permutation(n)}
    orders = orders if d <= PRUNED_DIMS else {}
    module.call("log_sum_exp_isotropic", points, centers, 0.5, log_sum)
    module.call("log_sum_exp_isotropic", points, centers, 0.5, pruned_log_sum, tolerance=0.1, **orders)
    module.call(
        "log_sum_exp_isotropic_gradient",
        points,
        centers,
        0.5,
        log_sum,
        np.ones(m),
        d_points=d_points,
        d_centers=d_centers,
        d_sigma=d_sigma,
    )
    module.call("log_sum_exp_full", points, centers, factors, np.zeros(n, dtype), full_log_sum)
    diagonal_log_sum = np.full(m, 7.0)
    module.call("log_sum_exp_diagonal", points, centers, factors[:, 0].copy(), np.zeros(n, dtype), diagonal_log_sum)
    module.call("distance_histogram", centers, np.linspace(0, 4, 11), counts, labels=np.arange(n) % 3)
    return log_sum, pruned_log_sum, d_points, d_centers, d_sigma, full_log_sum, diagonal_log_sum, counts
