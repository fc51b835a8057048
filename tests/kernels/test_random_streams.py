"""Random streams depend on seed, key and position alone, and their values are standard normal."""

import numpy as np
import pytest
import torch
from scipy import stats

from layerbits.kernels import NormalStream, fill_rows, standard_normal, stream, uniform_like


def values(key=(0,), shape=(1000,), dtype=torch.float64):
    seed, *numbers = key
    return standard_normal(shape, stream(seed, *numbers), dtype)


def test_same_key_gives_the_same_bits():
    assert values((1, 2, 3)).equal(values((1, 2, 3)))


@pytest.mark.parametrize("other_key", [(2, 2, 3), (1, 3, 2), (1, 2), (1, 2, 3, 0), (1, 2, 4), (1,), (1 + 2**64, 2, 3)])
def test_different_key_gives_different_values(other_key):
    assert not values((1, 2, 3)).eq(values(other_key)).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_smaller_number_of_rows_has_the_same_first_rows(dtype):
    assert values(shape=(7, 3), dtype=dtype).equal(values(shape=(20, 3), dtype=dtype)[:7])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_that_of_the_argument(dtype):
    assert values(dtype=dtype).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_standard_normal(dtype):
    # The Kolmogorov-Smirnov distance of 100,000 values is below its 1 - 1e-6 quantile; the seed is fixed.
    assert stats.kstest(values(shape=(100_000,), dtype=dtype).double(), "norm").pvalue > 1e-6


def test_streams_are_uncorrelated():
    # The correlation of n independent pairs is normal with variance 1 / n: five standard errors.
    first, second = values((0, 1), (100_000,)), values((0, 2), (100_000,))
    assert abs(np.corrcoef(first, second)[0, 1]) <= 5 / 100_000**0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_stream_continues_at_its_position(dtype):
    normal = NormalStream(1, 2, 3)
    parts = torch.cat([normal.like(torch.empty(rows, 7, dtype=dtype)) for rows in (1, 0, 30, 19)])
    assert parts.equal(values((1, 2, 3), (50, 7), dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_row_has_the_values_of_its_stream(dtype):
    streams = [NormalStream(0, key) for key in range(3)]
    first, second = torch.empty(3, 4, 2, dtype=dtype), torch.empty(3, 5, dtype=dtype)
    fill_rows(streams, first)
    fill_rows(streams, second)
    for key in range(3):
        assert torch.cat([first[key].flatten(), second[key]]).equal(values((0, key), (13,), dtype))


def test_uniform_values_are_the_first_of_the_stream():
    expected = stream(1, 2).random((3, 4), dtype=np.float32)
    np.testing.assert_array_equal(uniform_like(torch.empty(3, 4, dtype=torch.float64), 1, 2), expected)
