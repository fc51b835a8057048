"""The reduction of dimension of a wide layer holds no copy of its signals."""

import os

import pytest

from tests.support.fresh_process import run_fresh

SCRIPT = """
import torch
from layerbits.mixtures import coordinates_in_blocks

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

points = torch.randn(40, 1, 1_000_000, generator=torch.Generator().manual_seed(0))
coordinates_in_blocks(points[..., :60_000], float(sys.argv[2]), fitted=1)  # LAPACK's libraries, and a block
peak_before = peak()
coordinates_in_blocks(points, float(sys.argv[2]), fitted=1)
print((peak() - peak_before) / (points.numel() * points.itemsize))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read in /proc")
@pytest.mark.parametrize("sigma", [1.0, 1e-7], ids=["by products", "by a QR decomposition"])
def test_memory_of_a_reduction_is_that_of_a_block(sigma):
    """A copy of the points has 153 MiB; a block has 4 MiB, its decomposition with the allocator's rests up to 24."""
    assert float(run_fresh(SCRIPT, sigma)[0]) < 0.3
