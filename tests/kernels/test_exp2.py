"""The error of 2^x in ulps, against the bounds in csrc/cpu/simd/exp2.h.

The values of 2^x come from a gradient: with log_sum = 0 and an upstream of 1, d_weights of a center c is
2^(-scale |x - c|^2). Coordinates on a grid make |x - c|^2 exact, and sigma is chosen so that the scale,
log2(e) / (2 sigma^2), rounds to 1.
"""

import math

import numpy as np
import pytest

from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, gradients, log_sum_exp

pytestmark = pytest.mark.cpu_only("2^x of the CPU kernels")

LOG2_E = 1.4426950408889634
BITS = {np.float32: 24, np.float64: 53}
LOWEST = {np.float32: -126, np.float64: -1022}  # exponents of the smallest normal numbers


def sigma_of_unit_scale():
    sigma = math.sqrt(LOG2_E / 2)
    for step in (0, 1, -1, 2, -2):
        candidate = sigma + step * math.ulp(sigma)
        if LOG2_E / (2 * candidate * candidate) == 1:
            return candidate
    raise AssertionError("no sigma near sqrt(log2(e) / 2) has a scale of 1")


def powers(rows, level):
    """Return 2^(-|x|^2) of every row x from the kernel."""
    origin = np.zeros((1, rows.shape[1]), rows.dtype)
    return gradients(origin, rows, sigma_of_unit_scale(), [1.0], log_sum=np.zeros(1), level=level).weights


def grid(dtype, step, seed, count=100_000):
    """Return rows of two coordinates on a grid of `step`, coarse enough that sums of their squares are exact."""
    generator = np.random.default_rng(seed)
    reach = min(math.sqrt(-LOWEST[dtype] / 2), step * 2.0 ** ((BITS[dtype] - 1) // 2))
    limit = int(reach / step)
    return (generator.integers(0, limit, size=(count, 2)) * step).astype(dtype)


def ulps(values, rows):
    """Return the largest error in ulps of the exact value; np.longdouble has 11 bits more than float64."""
    exact = np.exp2(-(rows.astype(np.longdouble) ** 2).sum(axis=1))
    ulp = np.ldexp(np.longdouble(1), np.frexp(exact)[1] - BITS[rows.dtype.type])
    return float((np.abs(values - exact) / ulp).max())


@EVERY_LEVEL
@pytest.mark.parametrize(
    ("dtype", "step"),
    [(np.float32, 2.0**-8), (np.float32, 2.0**-12), (np.float64, 2.0**-21), (np.float64, 2.0**-26)],
)
def test_error_of_a_power_of_two_is_within_its_bound(level, dtype, step):
    rows = grid(dtype, step, seed=int(-math.log2(step)))
    assert ulps(powers(rows, level), rows) <= (1.5 if level == "sse2" else 1)


@EVERY_LEVEL
@BOTH_DTYPES
def test_integer_exponents_are_exact(level, dtype):
    roots = np.arange(0, int(math.sqrt(-LOWEST[dtype])) + 1)
    values = powers(roots[:, None].astype(dtype), level)
    assert (values == np.ldexp(1.0, -(roots**2))).all()


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("excess", [2.0, 1e3, 1e9])
def test_exponent_below_the_lowest_gives_exactly_zero(level, dtype, excess):
    points = np.array([[math.sqrt(-LOWEST[dtype] + excess)]], dtype)
    assert powers(points, level)[0] == 0


@EVERY_LEVEL
@BOTH_DTYPES
def test_center_at_the_point_gives_exactly_zero_nats(level, dtype):
    assert log_sum_exp(np.full((1, 3), 0.3, dtype), np.full((1, 3), 0.3, dtype), 0.1, level=level)[0] == 0
