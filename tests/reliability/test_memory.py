"""The memory of a call is O((n + m) d), not O(n m)."""

import os
import sys

import numpy as np
import pytest

from layerbits.kernels import _cpu
from tests.support.fresh_process import run_fresh

PREAMBLE = """
def peak():
    # VmHWM counts this process alone; getrusage would include the memory of the parent before exec.
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

dtype, n, threads = np.dtype(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
points = np.random.default_rng(0).standard_normal((n, 3)).astype(dtype)
log_sum, d_points, d_centers = np.ones(n), np.ones((n, 3), dtype), np.ones((n, 3), dtype)
native(points[:3000], points[:3000], 1.0, threads=threads)  # threads, their stacks and heaps
peak_before = peak()
"""

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read in /proc")


def memory_bound(n, dtype):
    """Return the allowed bytes.

    Packed copies of points and centers have d + 2 values per row, and tables of runs add less than one value per row.
    The heaps of two threads, with scratch memory for 128 rows, have 8 MiB.
    """
    return 2 * n * (3 + 2 + 1) * np.dtype(dtype).itemsize + 8 * 2**20


@pytest.mark.parametrize(("dtype", "threads"), [("float32", 1), ("float32", 2), ("float64", 2)])
def test_memory_of_a_log_sum_exp_is_linear(dtype, threads):
    script = "_cpu.log_sum_exp_isotropic(points, points, 0.05, log_sum, threads=threads)\nprint(peak() - peak_before)"
    grown = int(run_fresh(PREAMBLE + script, dtype, 30_000, threads)[0])
    assert grown <= memory_bound(30_000, dtype) < 30_000**2 * np.dtype(dtype).itemsize / 300


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_of_a_gradient_is_linear(dtype):
    script = (
        "_cpu.log_sum_exp_isotropic_gradient(points, points, 0.05, log_sum, log_sum, d_points=d_points,"
        " d_centers=d_centers, threads=threads)\nprint(peak() - peak_before)"
    )
    grown = int(run_fresh(PREAMBLE + script, dtype, 20_000, 2)[0])
    assert grown <= memory_bound(20_000, dtype) < 20_000**2 * np.dtype(dtype).itemsize / 100


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_memory_of_a_histogram_of_distances_is_linear(metric):
    # A copy of unit vectors, a copy of packed rows, labels and the largest values take less than `memory_bound`.
    script = (
        "counts = np.zeros((102, 2), np.int64)\n"
        f"_cpu.distance_histogram(points, np.linspace(0, 1, 101), counts, metric='{metric}', threads=threads)\n"
        "print(peak() - peak_before)"
    )
    grown = int(run_fresh(PREAMBLE + script, "float32", 20_000, 2)[0])
    assert grown <= memory_bound(20_000, "float32") < 20_000**2 * 4 / 100


def test_memory_of_partial_sums_of_few_points_and_many_centers_is_small():
    # The stored partial sums, a tile for every chunk of 8192 centers, are smaller than the packed centers.
    script = (
        "_cpu.log_sum_exp_isotropic(points[:5], points, 0.05, log_sum[:5], threads=threads)\n"
        "print(peak() - peak_before)"
    )
    assert int(run_fresh(PREAMBLE + script, "float64", 1_000_000, 2)[0]) <= memory_bound(1_000_000, "float64")


def test_thousand_calls_leak_no_memory():
    script = """
for _ in range(1000):
    native(points, points, 1.0, threads=threads)
print(peak() - peak_before)
"""
    # Leaks of a packed copy of 1000 rows of three float32 would exceed 1000 * 12 kB.
    assert int(run_fresh(PREAMBLE + script, "float32", 1000, 2)[0]) <= 8 * 2**20


def test_failed_calls_leak_no_memory():
    # The last point overflows relative to sigma, which is found while points are packed, after the centers. Leaks of
    # the packed centers, 1000 rows of three float32, would exceed 2000 * 12 kB.
    script = """
centers = points.copy()
points[-1] = np.finfo(dtype).max
errors = 0
for _ in range(2000):
    try:
        native(points, centers, 1.0)
    except ValueError:
        errors += 1
print(errors, peak() - peak_before)
"""
    errors, growth = map(int, run_fresh(PREAMBLE + script, "float32", 1000, 1)[0].split())
    assert errors == 2000
    assert growth <= 8 * 2**20


def test_arrays_are_released_after_a_call():
    points = np.zeros((4, 2))
    references = sys.getrefcount(points)
    for _ in range(10):
        _cpu.log_sum_exp_isotropic(points, points, 1.0, np.empty(4))
    assert sys.getrefcount(points) == references


def test_memory_of_passes_is_bounded_where_inputs_grow_inside_the_network():
    """Each of 1000 x 64 tokens becomes 512 floats, 125 MiB for a single draw of all inputs.

    A pass takes a 32nd of the default budget of 1 GiB; the rest of the bound is for temporary copies, the noise, and
    memory that the system's allocator does not use again.
    """
    script = """
    import torch, layerbits
    from torch import nn

    def peak():
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

    class Mean(nn.Module):
        def forward(self, tokens):
            return tokens.mean(1)

    torch.set_num_threads(1)
    tokens = torch.arange(1000 * 64).reshape(1000, 64) % 97
    model = nn.Sequential(
        nn.Embedding(97, 512), nn.Tanh(), Mean(), nn.Linear(512, 3), nn.Tanh(), nn.Linear(3, 2)
    )
    layerbits.noisify(model, sigma=0.1, inputs=tokens)
    layerbits.layer_information(model, tokens[:50], layers="4", draws=2)  # lazy imports
    peak_before = peak()
    layerbits.layer_information(model, tokens, layers="4", draws=2)
    print(peak() - peak_before)
    """
    assert int(run_fresh(script)[0]) <= 100 * 2**20


def test_whitening_of_draws_holds_no_covariance_for_each_input():
    """The 100 x 8 draws of 1000 units take 6 MiB, and a covariance of the units 8 MiB, for each input 763 MiB.

    Draws, their copy in the order of LAPACK, and the result leave 12 MiB for memory of the libraries.
    """
    script = """
    import torch
    from layerbits.estimators.low_rank_gaussians import _whitened

    def peak():
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

    root, draws = torch.eye(1000).double(), torch.ones(100, 8, 1000).double()
    _whitened(root, draws[:1])  # LAPACK's libraries
    peak_before = peak()
    assert torch.equal(_whitened(root, draws), draws)
    print(peak() - peak_before)
    """
    assert int(run_fresh(script)[0]) <= 30 * 2**20
