"""The reduction of dimension of a wide layer holds no copy of its signals, and its decoders hold few."""

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


DECODER = """
import torch
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoders import WhitenedMixture
from layerbits.estimators.draw_moments import DrawMoments

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

def decoder(draws, n):
    moments = DrawMoments.of(draws, 1.0)
    covariance = moments.noise + moments.covariance
    del moments
    return WhitenedMixture("wide mixture", draws, covariance, Classes.of(None, n), 1.0)

draws = torch.randn(2000, 32, 256, generator=torch.Generator().manual_seed(0))
decoder(draws[:200], 200)  # the libraries of products, and their work arrays
peak_before = peak()
decoder(draws, 2000)
print((peak() - peak_before) / (draws.numel() * draws.itemsize))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read in /proc")
def test_a_decoder_is_made_of_the_draws_and_their_deviations():
    """Beside float32 draws of 62 MiB, their deviations in float64 are two copies, and then the whitened draws are one.

    The covariance and a whitened block have 8 MiB.
    """
    assert float(run_fresh(DECODER)[0]) < 2.5
