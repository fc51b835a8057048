"""Refused arguments of the native gradient and log-sum-exp: the TypeError or ValueError names the argument."""

import re

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu
from tests.support.gradient_arguments import ARGUMENTS, MATRICES, OFFSETS, OUTPUTS, VECTORS, assert_refused, call


def test_valid_arguments_are_accepted():
    call()


@pytest.mark.parametrize("name", [*MATRICES, *VECTORS, *OFFSETS])
def test_argument_that_is_no_array_is_refused(name):
    for value in ([[0.0, 1.0]], 3, "points", object(), {}):
        assert_refused(TypeError, name, **{name: value})


@pytest.mark.parametrize("name", ["points", "centers", "log_sum", "upstream"])
def test_none_for_a_required_array_is_refused(name):
    assert_refused(TypeError, name, **{name: None})


@pytest.mark.parametrize("name", [*MATRICES, *VECTORS])
def test_array_of_a_wrong_dtype_is_refused(name):
    for dtype in (np.int64, np.int32, np.uint8, np.bool_, np.float16, np.complex64, np.complex128):
        assert_refused(TypeError, name, **{name: ARGUMENTS[name].astype(dtype)})


@pytest.mark.parametrize("name", OFFSETS)
@pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.float64])
def test_offsets_of_a_wrong_dtype_are_refused(name, dtype):
    assert_refused(TypeError, name, **{name: ARGUMENTS[name].astype(dtype)})


@pytest.mark.parametrize("name", ["centers", "weights", "d_points", "d_centers", "d_weights"])
def test_float32_with_float64_points_is_refused(name):
    assert_refused(TypeError, name, **{name: ARGUMENTS[name].astype(np.float32)})


def test_message_of_mixed_dtypes_names_the_array_that_determines_the_dtype():
    with pytest.raises(
        TypeError, match=r"^centers: got dtype float32, wanted float64 like points: convert one of them$"
    ):
        call(centers=ARGUMENTS["centers"].astype(np.float32))


@pytest.mark.parametrize("name", ["log_sum", "upstream", "d_sigma"])
def test_float32_for_an_array_of_float64_is_refused(name):
    assert_refused(TypeError, name, **{name: ARGUMENTS[name].astype(np.float32)})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64, torch.int8, torch.bool])
def test_tensor_of_a_wrong_dtype_is_refused(dtype):
    assert_refused(TypeError, "points", points=torch.zeros(5, 3, dtype=dtype))


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("shape", [(), (3,), (5, 3, 1)])
def test_matrix_with_a_wrong_number_of_axes_is_refused(name, shape):
    assert_refused(ValueError, name, **{name: np.zeros(shape)})


@pytest.mark.parametrize("name", [*VECTORS, *OFFSETS])
@pytest.mark.parametrize("ndim", [0, 2])
def test_vector_with_a_wrong_number_of_axes_is_refused(name, ndim):
    assert_refused(ValueError, name, **{name: np.zeros((3,) * ndim, ARGUMENTS[name].dtype)})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("centers", (4, 2)),
        ("weights", (5,)),
        ("log_sum", (4,)),
        ("upstream", (6,)),
        ("d_points", (4, 3)),
        ("d_points", (5, 4)),
        ("d_centers", (5, 3)),
        ("d_centers", (4, 2)),
        ("d_weights", (3,)),
        ("d_sigma", (1,)),
    ],
)
def test_wrong_size_is_refused(name, shape):
    assert_refused(ValueError, name, **{name: np.zeros(shape)})


def test_message_of_a_wrong_size_says_got_and_wanted():
    with pytest.raises(ValueError, match=re.escape("weights: got shape (5,), wanted shape (4,) to match centers")):
        call(weights=np.ones(5))


def test_rows_without_coordinates_are_refused():
    empty = {"points": np.zeros((5, 0)), "centers": np.zeros((4, 0)), "d_points": None, "d_centers": None}
    assert_refused(ValueError, "points", **empty)


@pytest.mark.parametrize("name", OFFSETS)
def test_offsets_of_one_side_alone_are_refused(name):
    assert_refused(TypeError, "point_offsets", **{name: None})


@pytest.mark.parametrize(("name", "other_name"), [OFFSETS, OFFSETS[::-1]])
@pytest.mark.parametrize("change", ["first", "falling", "last", "beyond", "negative"])
def test_offsets_that_are_no_partition_are_refused(name, other_name, change):
    end = int(ARGUMENTS[name][-1])
    offsets = {
        "first": [1, 2, end],
        "falling": [0, end, end - 1, end],
        "last": [0, 1, end - 1],
        "beyond": [0, 1, end + 1],
        "negative": [0, -1, end],
    }[change]
    other_offsets = np.array([0] * (len(offsets) - 1) + [int(ARGUMENTS[other_name][-1])])
    assert_refused(ValueError, name, **{name: np.array(offsets), other_name: other_offsets})


@pytest.mark.parametrize("offset", [2**62, -(2**62), 2**63 - 1])
def test_offsets_near_the_limits_of_int64_are_refused(offset):
    assert_refused(ValueError, "point_offsets", point_offsets=np.array([0, offset, 5]))


def test_different_numbers_of_groups_are_refused():
    assert_refused(ValueError, "center_offsets", center_offsets=np.array([0, 4]))


def test_empty_offsets_are_refused():
    empty = np.empty(0, np.int64)
    assert_refused(ValueError, "point_offsets", point_offsets=empty, center_offsets=empty)


@pytest.mark.host_array("a copy on a device is writable")
@pytest.mark.parametrize("name", OUTPUTS)
def test_read_only_output_is_refused(name):
    array = ARGUMENTS[name].copy()
    array.flags.writeable = False
    assert_refused(ValueError, name, **{name: array})


@pytest.mark.host_array("a copy on a device is writable")
def test_read_only_log_sum_is_refused_as_output():
    log_sum = np.zeros(5)
    log_sum.flags.writeable = False
    with pytest.raises(ValueError, match=r"^log_sum: got a read-only array"):
        _cpu.log_sum_exp_isotropic(ARGUMENTS["points"], ARGUMENTS["centers"], 1.0, log_sum)


@pytest.mark.parametrize("sigma", [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf])
def test_sigma_that_is_not_finite_and_positive_is_refused(sigma):
    assert_refused(ValueError, "sigma", sigma=sigma)


def test_message_prints_the_digits_of_a_small_number():
    with pytest.raises(ValueError, match=r"^sigma: got -1e-09, wanted a finite number > 0"):
        call(sigma=-1e-9)


@pytest.mark.parametrize(
    ("sigma", "dtype"), [(1e-39, np.float32), (1e39, np.float32), (5e-324, np.float64), (1e308, np.float64)]
)
def test_sigma_below_or_above_the_accepted_range_is_refused(sigma, dtype):
    with pytest.raises(ValueError, match=r"^sigma: "):
        _cpu.log_sum_exp_isotropic(np.zeros((1, 1), dtype), np.zeros((1, 1), dtype), sigma, np.zeros(1))


@pytest.mark.parametrize("sigma", [None, "1", [1.0]])
def test_sigma_that_is_no_number_is_refused(sigma):
    with pytest.raises(TypeError, match="sigma"):
        call(sigma=sigma)


@pytest.mark.parametrize("weight", [np.nan, np.inf, -1.0, -1e-300])
@pytest.mark.parametrize("index", [0, 3])
def test_weight_that_is_negative_or_not_finite_is_refused(weight, index):
    weights = np.ones(4)
    weights[index] = weight
    with pytest.raises(ValueError, match=rf"^weights: got .* at index {index}"):
        call(weights=weights)


def test_weights_that_are_all_zero_are_refused():
    assert_refused(ValueError, "weights", weights=np.zeros(4))


@pytest.mark.parametrize("name", ["points", "centers"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_value_that_would_overflow_relative_to_sigma_is_refused(name, dtype):
    arrays = {"points": np.zeros((5, 3), dtype), "centers": np.zeros((4, 3), dtype)}
    arrays[name][1, 1] = np.finfo(dtype).max
    with pytest.raises(ValueError, match=f"^{name}: got a finite value too large relative to sigma"):
        _cpu.log_sum_exp_isotropic(arrays["points"], arrays["centers"], 1.0, np.zeros(5))


def test_failed_call_does_not_change_outputs():
    d_points = np.full((5, 3), 7.0)
    assert_refused(ValueError, "weights", weights=np.zeros(4), d_points=d_points)
    assert (d_points == 7).all()
    log_sum = np.full(5, 7.0)
    with pytest.raises(ValueError, match=r"^weights: "):
        _cpu.log_sum_exp_isotropic(ARGUMENTS["points"], ARGUMENTS["centers"], 1.0, log_sum, weights=np.zeros(4))
    assert (log_sum == 7).all()


@pytest.mark.cpu_only("threads")
@pytest.mark.parametrize("threads", [0, -1, -(2**31), 2**31 - 1])
def test_any_32_bit_number_of_threads_is_accepted(threads):
    call(threads=threads)


@pytest.mark.cpu_only("threads")
@pytest.mark.parametrize("threads", [2**31, 1.5, "2", None])
def test_threads_that_are_no_32_bit_integer_are_refused(threads):
    with pytest.raises(TypeError):
        call(threads=threads)


def test_unknown_keyword_is_refused():
    with pytest.raises(TypeError):
        call(epsilon=1)


def test_options_are_keyword_only():
    with pytest.raises(TypeError):
        _cpu.log_sum_exp_isotropic(ARGUMENTS["points"], ARGUMENTS["centers"], 1.0, np.zeros(5), np.ones(4))
