"""The same bits: for any number of threads, alone or in a batch, on AVX2 and AVX-512, for any memory layout."""

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu
from tests.support.exact_mixture import DTYPES, LEVELS, native, native_gradient

BOTH_DTYPES = pytest.mark.parametrize("dtype", DTYPES)
GRADIENTS = pytest.mark.parametrize("which", [0, 1, 2, 3], ids=["points", "centers", "weights", "sigma"])

# Many rows; a few rows against several chunks of columns; one row. All worth eight threads: 2^17 operations for each.
SHAPES = pytest.mark.parametrize(("m", "n", "d"), [(1500, 400, 3), (5, 40_000, 3), (1, 9000, 150)])


def mixture(m, n, d, dtype, *, scale=1.0):
    generator = np.random.default_rng(11)
    points, centers = (scale * generator.standard_normal((k, d)) for k in (m, n))
    return points.astype(dtype), centers.astype(dtype), generator.random(n).astype(dtype)


@BOTH_DTYPES
@SHAPES
@pytest.mark.parametrize("threads", range(2, 9))
def test_number_of_threads_changes_no_bit(dtype, m, n, d, threads):
    points, centers, weights = mixture(m, n, d, dtype)
    want = native(points, centers, 0.5 * d**0.5, weights=weights)
    np.testing.assert_array_equal(native(points, centers, 0.5 * d**0.5, weights=weights, threads=threads), want)


@BOTH_DTYPES
@SHAPES
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_number_of_threads_changes_no_bit_of_a_gradient(dtype, m, n, d, threads):
    points, centers, weights = mixture(m, n, d, dtype)
    upstream = np.linspace(-1, 2, m)
    one = native_gradient(points, centers, 0.5 * d**0.5, upstream, weights=weights)
    many = native_gradient(points, centers, 0.5 * d**0.5, upstream, weights=weights, threads=threads)
    for got, want in zip(many, one, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("level", LEVELS)
@BOTH_DTYPES
@pytest.mark.parametrize("sigma", [1.0, 0.02, 1e-4, 1e-9])
def test_row_alone_equals_row_in_batch(level, dtype, sigma):
    # A small sigma makes lanes of a tile differ: some far, some near, so that some blocks matter to one lane alone.
    points, centers, weights = mixture(40, 90, 3, dtype)
    points[::5] = centers[: len(points[::5])]
    batch = native(points, centers, sigma, weights=weights, level=level)
    alone = [native(points[i : i + 1], centers, sigma, weights=weights, level=level)[0] for i in range(40)]
    np.testing.assert_array_equal(batch, alone)


@pytest.mark.parametrize("level", LEVELS)
@BOTH_DTYPES
@pytest.mark.parametrize("sigma", [1.0, 0.02, 1e-4])
def test_gradient_of_a_row_alone_equals_that_in_batch(level, dtype, sigma):
    points, centers, weights = mixture(20, 90, 3, dtype)
    points[::5] = centers[: len(points[::5])]
    batch = native_gradient(points, centers, sigma, np.ones(20), weights=weights, level=level)[0]
    alone = [
        native_gradient(points[i : i + 1], centers, sigma, [1.0], weights=weights, level=level)[0][0] for i in range(20)
    ]
    np.testing.assert_array_equal(batch, alone)


def other_level():
    if {"avx2", "avx512"} <= set(LEVELS):
        return "avx2"
    pytest.skip(f"needs a machine with AVX2 and AVX-512; this one has {', '.join(LEVELS)}")


@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 3, 10, 17, 65])
@pytest.mark.parametrize("sigma", [1.0, 0.02, 1e-4, 1e-9])
def test_avx2_and_avx512_agree_in_bits(dtype, d, sigma):
    points, centers, weights = mixture(50, 90, d, dtype)
    narrow = native(points, centers, sigma, weights=weights, level=other_level())
    np.testing.assert_array_equal(narrow, native(points, centers, sigma, weights=weights, level="avx512"))


@BOTH_DTYPES
@GRADIENTS
@pytest.mark.parametrize("d", [1, 10, 65])
def test_avx2_and_avx512_agree_in_bits_of_gradients(dtype, d, which):
    points, centers, weights = mixture(50, 90, d, dtype)
    arguments = points, centers, 0.7 * d**0.5, np.linspace(-1, 2, 50)
    narrow = native_gradient(*arguments, weights=weights, level=other_level())[which]
    np.testing.assert_array_equal(narrow, native_gradient(*arguments, weights=weights, level="avx512")[which])


def transposed(array):
    return np.ascontiguousarray(array.T).T


def every_other_row(array):
    room = np.full((2 * array.shape[0], *array.shape[1:]), np.nan, array.dtype)
    room[::2] = array
    return room[::2]


def backwards(array):
    return np.ascontiguousarray(array[::-1])[::-1]


def backwards_in_columns(array):
    return np.ascontiguousarray(array[:, ::-1])[:, ::-1]


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def torch_tensor(array):
    return torch.from_numpy(array.copy())


def shifted_by_one_element(array):
    room = np.empty(array.size + 1, array.dtype)
    room[1:] = array.ravel()
    return room[1:].reshape(array.shape)


LAYOUTS = [
    transposed,
    every_other_row,
    backwards,
    backwards_in_columns,
    read_only,
    torch_tensor,
    shifted_by_one_element,
]


@BOTH_DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layout_changes_no_bit(dtype, layout):
    points, centers, weights = mixture(19, 45, 5, dtype)
    got = native(layout(points), layout(centers), 1.0, weights=weights)
    np.testing.assert_array_equal(got, native(points, centers, 1.0, weights=weights))


@BOTH_DTYPES
@pytest.mark.parametrize("layout", [every_other_row, backwards, read_only, torch_tensor, shifted_by_one_element])
def test_memory_layout_of_weights_changes_no_bit(dtype, layout):
    points, centers, weights = mixture(19, 45, 5, dtype)
    got = native(points, centers, 1.0, weights=layout(weights))
    np.testing.assert_array_equal(got, native(points, centers, 1.0, weights=weights))


@BOTH_DTYPES
def test_expanded_memory_changes_no_bit(dtype):
    points, centers, _ = mixture(1, 1, 5, dtype)
    got = native(np.broadcast_to(points, (9, 5)), torch.from_numpy(centers).expand(20, 5), 1.0)
    np.testing.assert_array_equal(got, native(points.repeat(9, axis=0), centers.repeat(20, axis=0), 1.0))


@pytest.mark.parametrize("layout", [transposed, every_other_row, backwards, backwards_in_columns])
def test_outputs_may_have_any_strides(layout):
    points, centers, _ = mixture(19, 45, 5, np.float64)
    log_sum, upstream = native(points, centers, 1.0), np.ones(19)
    want = native_gradient(points, centers, 1.0, upstream)
    d_points, d_centers = layout(np.empty((19, 5))), layout(np.empty((45, 5)))
    _cpu.log_sum_exp_isotropic_gradient(points, centers, 1.0, log_sum, upstream, d_points=d_points, d_centers=d_centers)
    np.testing.assert_array_equal(np.concatenate([d_points, d_centers]), np.concatenate(want[:2]))


@BOTH_DTYPES
def test_inputs_are_never_written(dtype):
    arrays = mixture(19, 45, 5, dtype)
    before = [array.copy() for array in arrays]
    native_gradient(arrays[0], arrays[1], 1.0, np.ones(19), weights=arrays[2])
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_call_repeated_gives_the_same_bits():
    points, centers, weights = mixture(300, 900, 4, np.float32)
    first = native(points, centers, 0.3, weights=weights, threads=2)
    assert all((native(points, centers, 0.3, weights=weights, threads=2) == first).all() for _ in range(20))
