"""The benchmark of the peak of multiply-adds: its count of values, and refused arguments."""

import pytest

from layerbits.kernels import _cpu
from tests.support.native_calls import EVERY_LEVEL

pytestmark = pytest.mark.cpu_only("the peak of the CPU")
LANES = {"avx512": 16, "avx2": 8, "sse2": 4, "neon": 4}  # float32 values of a register


@EVERY_LEVEL
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("additions", [False, True])
def test_count_includes_the_values_of_all_lanes_and_pieces(level, bits, additions):
    values = _cpu.multiply_adds(3, additions=additions, bits=bits, threads=2, level=level)

    # 3 pieces of 2^16 steps of 24 instructions of each kind.
    assert values == 3 * 2**16 * 24 * (1 + additions) * LANES[level] * 32 // bits


def test_unknown_width_is_refused():
    with pytest.raises(ValueError, match="bits: got 16, wanted 32 or 64"):
        _cpu.multiply_adds(1, bits=16)


def test_unknown_level_is_refused():
    with pytest.raises(ValueError, match="level: got 'avx3'"):
        _cpu.multiply_adds(1, level="avx3")
