"""Results have the same bits for any number of threads, batch and memory layout, and on AVX2 and AVX-512."""

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu
from tests.support.native_calls import (
    BOTH_DTYPES,
    EVERY_LEVEL,
    NEEDS_AVX2_AND_AVX512,
    Gradients,
    gradients,
    log_sum_exp,
)

pytestmark = pytest.mark.cpu_only("threads, batches and levels")

# Several runs of 128 points; few points and five chunks of centers; one point and two chunks.
SHAPES = pytest.mark.parametrize(("m", "n", "d"), [(1500, 400, 3), (5, 40_000, 3), (1, 9000, 150)])


def mixture(m, n, d, dtype, *, scale=1.0):
    generator = np.random.default_rng(11)
    points, centers = (scale * generator.standard_normal((rows, d)) for rows in (m, n))
    return points.astype(dtype), centers.astype(dtype), generator.random(n).astype(dtype)


@BOTH_DTYPES
@SHAPES
def test_number_of_threads_changes_no_bit(dtype, m, n, d):
    points, centers, weights = mixture(m, n, d, dtype)
    sigma = 0.5 * d**0.5
    serial = log_sum_exp(points, centers, sigma, weights=weights)
    for threads in range(2, 9):
        parallel = log_sum_exp(points, centers, sigma, weights=weights, threads=threads)
        np.testing.assert_array_equal(parallel, serial, err_msg=f"{threads} threads")


def assert_equal_gradients(actual, desired, message=""):
    for name in Gradients._fields:
        np.testing.assert_array_equal(getattr(actual, name), getattr(desired, name), err_msg=f"{name} {message}")


@BOTH_DTYPES
@SHAPES
def test_number_of_threads_changes_no_bit_of_a_gradient(dtype, m, n, d):
    points, centers, weights = mixture(m, n, d, dtype)
    arguments = points, centers, 0.5 * d**0.5, np.linspace(-1, 2, m)
    serial = gradients(*arguments, weights=weights)
    for threads in (2, 3, 8):
        assert_equal_gradients(gradients(*arguments, weights=weights, threads=threads), serial, f"{threads} threads")


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("sigma", [1.0, 0.02, 1e-4, 1e-9])
def test_row_alone_equals_row_in_batch(level, dtype, sigma):
    # The lanes of a tile differ at a small sigma: some blocks contribute to a single lane.
    points, centers, weights = mixture(40, 90, 3, dtype)
    points[::5] = centers[: len(points[::5])]
    batch = log_sum_exp(points, centers, sigma, weights=weights, level=level)
    results_of_rows = [
        log_sum_exp(points[i : i + 1], centers, sigma, weights=weights, level=level)[0] for i in range(40)
    ]
    np.testing.assert_array_equal(batch, results_of_rows)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("sigma", [1.0, 0.02, 1e-4])
def test_gradient_of_a_row_alone_equals_that_in_batch(level, dtype, sigma):
    points, centers, weights = mixture(20, 90, 3, dtype)
    points[::5] = centers[: len(points[::5])]
    batch = gradients(points, centers, sigma, np.ones(20), weights=weights, level=level).points
    results_of_rows = [
        gradients(points[i : i + 1], centers, sigma, [1.0], weights=weights, level=level).points[0] for i in range(20)
    ]
    np.testing.assert_array_equal(batch, results_of_rows)


@NEEDS_AVX2_AND_AVX512
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 3, 10, 17, 65])
def test_avx2_and_avx512_agree_in_bits(dtype, d):
    points, centers, weights = mixture(50, 90, d, dtype)
    for sigma in (1.0, 0.02, 1e-4, 1e-9):
        avx2, avx512 = (
            log_sum_exp(points, centers, sigma, weights=weights, level=level) for level in ("avx2", "avx512")
        )
        np.testing.assert_array_equal(avx2, avx512, err_msg=f"sigma {sigma}")


@NEEDS_AVX2_AND_AVX512
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 10, 65])
def test_avx2_and_avx512_agree_in_bits_of_gradients(dtype, d):
    points, centers, weights = mixture(50, 90, d, dtype)
    arguments = points, centers, 0.7 * d**0.5, np.linspace(-1, 2, 50)
    avx2, avx512 = (gradients(*arguments, weights=weights, level=level) for level in ("avx2", "avx512"))
    assert_equal_gradients(avx2, avx512)


def transposed(array):
    return np.ascontiguousarray(array.T).T


def every_other_row(array):
    memory = np.full((2 * array.shape[0], *array.shape[1:]), np.nan, array.dtype)
    memory[::2] = array
    return memory[::2]


def reversed_rows(array):
    return np.ascontiguousarray(array[::-1])[::-1]


def reversed_columns(array):
    return np.ascontiguousarray(array[:, ::-1])[:, ::-1]


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def torch_tensor(array):
    return torch.from_numpy(array.copy())


def shifted_by_one_element(array):
    memory = np.empty(array.size + 1, array.dtype)
    memory[1:] = array.ravel()
    return memory[1:].reshape(array.shape)


LAYOUTS = [
    transposed,
    every_other_row,
    reversed_rows,
    reversed_columns,
    read_only,
    torch_tensor,
    shifted_by_one_element,
]


@BOTH_DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layout_changes_no_bit(dtype, layout):
    points, centers, weights = mixture(19, 45, 5, dtype)
    log_sum = log_sum_exp(layout(points), layout(centers), 1.0, weights=weights)
    np.testing.assert_array_equal(log_sum, log_sum_exp(points, centers, 1.0, weights=weights))


@BOTH_DTYPES
@pytest.mark.parametrize("layout", [every_other_row, reversed_rows, read_only, torch_tensor, shifted_by_one_element])
def test_memory_layout_of_weights_changes_no_bit(dtype, layout):
    points, centers, weights = mixture(19, 45, 5, dtype)
    log_sum = log_sum_exp(points, centers, 1.0, weights=layout(weights))
    np.testing.assert_array_equal(log_sum, log_sum_exp(points, centers, 1.0, weights=weights))


@BOTH_DTYPES
def test_expanded_memory_changes_no_bit(dtype):
    points, centers, _ = mixture(1, 1, 5, dtype)
    log_sum = log_sum_exp(np.broadcast_to(points, (9, 5)), torch.from_numpy(centers).expand(20, 5), 1.0)
    np.testing.assert_array_equal(log_sum, log_sum_exp(points.repeat(9, axis=0), centers.repeat(20, axis=0), 1.0))


@pytest.mark.parametrize("layout", [transposed, every_other_row, reversed_rows, reversed_columns])
def test_outputs_may_have_any_strides(layout):
    points, centers, _ = mixture(19, 45, 5, np.float64)
    log_sum, upstream = log_sum_exp(points, centers, 1.0), np.ones(19)
    expected = gradients(points, centers, 1.0, upstream)
    d_points, d_centers = layout(np.empty((19, 5))), layout(np.empty((45, 5)))
    _cpu.log_sum_exp_isotropic_gradient(points, centers, 1.0, log_sum, upstream, d_points=d_points, d_centers=d_centers)
    np.testing.assert_array_equal(np.concatenate([d_points, d_centers]), np.concatenate(expected[:2]))


@BOTH_DTYPES
def test_inputs_are_never_written(dtype):
    arrays = mixture(19, 45, 5, dtype)
    copies = [array.copy() for array in arrays]
    gradients(arrays[0], arrays[1], 1.0, np.ones(19), weights=arrays[2])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_repeated_call_gives_the_same_bits():
    points, centers, weights = mixture(300, 900, 4, np.float32)
    first = log_sum_exp(points, centers, 0.3, weights=weights, threads=2)
    assert all((log_sum_exp(points, centers, 0.3, weights=weights, threads=2) == first).all() for _ in range(20))
