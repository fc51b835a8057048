"""The reduction of dimension of a wide layer holds no copy of its signals."""

import os

import pytest

from tests.support.fresh_process import run_fresh

SCRIPT = """
import torch
from layerbits.mixtures import coordinates_in_blocks, fit_subspace

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

points = torch.randn(40, 1, 1_000_000, generator=torch.Generator().manual_seed(0))
for sigma in (1.0, 1e-7):
    coordinates_in_blocks(points[..., :60_000], sigma, fitted=1)  # LAPACK's libraries, and a block
    peak_before = peak()
    coordinates_in_blocks(points, sigma, fitted=1)
    print((peak() - peak_before) / (points.numel() * points.itemsize))
peak_before = peak()
fit_subspace(points[:, 0], 1.0, max_dimensions=2, max_cost=float("inf"))
print((peak() - peak_before) / (points.numel() * points.itemsize))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read in /proc")
def test_memory_of_a_reduction_is_that_of_a_block():
    """A copy of the points has 153 MiB; a block has 4 MiB, its decomposition with the allocator's rests up to 24.

    The peak of the first reduction, by products, hides as much of the second one's, by a QR decomposition, and of that
    of a fitted subspace, whose directions take 16 MB; all together take less than half a copy.
    """
    assert sum(map(float, run_fresh(SCRIPT))) < 0.5
