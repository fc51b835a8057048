"""The border: every bad argument is a TypeError or ValueError that names it, and none is a crash."""

import re

import numpy as np
import pytest
import torch

from layerbits import mixture_log_density
from layerbits.kernels import _cpu
from layerbits.kernels import operations as kernels

GOOD = {
    "points": np.zeros((5, 3)),
    "centers": np.ones((4, 3)),
    "sigma": 1.0,
    "log_sum": np.zeros(5),
    "upstream": np.ones(5),
    "weights": np.ones(4),
    "point_offsets": np.array([0, 2, 5]),
    "center_offsets": np.array([0, 0, 4]),
    "d_points": np.zeros((5, 3)),
    "d_centers": np.zeros((4, 3)),
    "d_weights": np.zeros(4),
    "d_sigma": np.zeros(5),
}
MATRICES = ["points", "centers", "d_points", "d_centers"]
VECTORS = ["weights", "d_weights", "log_sum", "upstream", "d_sigma"]
OFFSETS = ["point_offsets", "center_offsets"]
OUTPUTS = ["d_points", "d_centers", "d_weights", "d_sigma"]
FORWARD = ["points", "centers", "sigma", "log_sum", "weights", *OFFSETS]


def call(**changes):
    """The gradient, whose arguments include those of the log-sum-exp."""
    _cpu.log_sum_exp_isotropic_gradient(
        **{name: np.copy(value) if name != "sigma" else value for name, value in GOOD.items()} | changes
    )


def refuses(error, name, **changes):
    """The verb that takes the argument refuses it, and says whose fault it is."""
    with pytest.raises(error, match=f"^{re.escape(name)}: "):
        call(**changes)


def test_good_arguments_are_taken():
    call()


@pytest.mark.parametrize("name", [*MATRICES, *VECTORS, *OFFSETS])
@pytest.mark.parametrize(
    "value", [[[0.0, 1.0]], 3, "points", object(), {}], ids=["list", "int", "str", "object", "dict"]
)
def test_what_is_no_array_is_refused(name, value):
    refuses(TypeError, name, **{name: value})


@pytest.mark.parametrize("name", ["points", "centers", "log_sum", "upstream"])
def test_none_for_a_required_array_is_refused(name):
    refuses(TypeError, name, **{name: None})


@pytest.mark.parametrize("name", [*MATRICES, *VECTORS])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_, np.float16, np.complex64, np.complex128])
def test_other_dtypes_are_refused(name, dtype):
    refuses(TypeError, name, **{name: GOOD[name].astype(dtype)})


@pytest.mark.parametrize("name", OFFSETS)
@pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.float64])
def test_offsets_of_another_dtype_are_refused(name, dtype):
    refuses(TypeError, name, **{name: GOOD[name].astype(dtype)})


@pytest.mark.parametrize("name", ["centers", "weights", "d_points", "d_centers", "d_weights"])
def test_float32_beside_float64_points_is_refused(name):
    refuses(TypeError, name, **{name: GOOD[name].astype(np.float32)})


def test_message_of_mixed_dtypes_says_which_array_set_the_other():
    with pytest.raises(
        TypeError, match=r"^centers: got dtype float32, wanted float64 like points: convert one of them$"
    ):
        call(centers=GOOD["centers"].astype(np.float32))


@pytest.mark.parametrize("name", ["log_sum", "upstream", "d_sigma"])
def test_float32_where_float64_is_wanted_is_refused(name):
    refuses(TypeError, name, **{name: GOOD[name].astype(np.float32)})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64, torch.int8, torch.bool])
def test_dtypes_of_torch_alone_are_refused(dtype):
    refuses(TypeError, "points", points=torch.zeros(5, 3, dtype=dtype))


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("shape", [(), (3,), (5, 3, 1)])
def test_matrix_with_another_number_of_axes_is_refused(name, shape):
    refuses(ValueError, name, **{name: np.zeros(shape)})


@pytest.mark.parametrize("name", [*VECTORS, *OFFSETS])
@pytest.mark.parametrize("ndim", [0, 2])
def test_vector_with_another_number_of_axes_is_refused(name, ndim):
    refuses(ValueError, name, **{name: np.zeros((3,) * ndim, GOOD[name].dtype)})


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
def test_size_that_does_not_match_is_refused(name, shape):
    refuses(ValueError, name, **{name: np.zeros(shape)})


def test_message_of_a_wrong_size_says_got_and_wanted():
    with pytest.raises(ValueError, match=re.escape("weights: got shape (5,), wanted shape (4,) to match centers")):
        call(weights=np.ones(5))


def test_no_coordinates_are_refused():
    refuses(ValueError, "points", points=np.zeros((5, 0)), centers=np.zeros((4, 0)), d_points=None, d_centers=None)


@pytest.mark.parametrize("missing", OFFSETS)
def test_one_kind_of_offsets_without_the_other_is_refused(missing):
    refuses(TypeError, "point_offsets", **{missing: None})


@pytest.mark.parametrize("name", OFFSETS)
@pytest.mark.parametrize("change", ["first", "falling", "last", "beyond", "negative"])
def test_offsets_that_are_no_partition_are_refused(name, change):
    end = int(GOOD[name][-1])
    offsets = {
        "first": [1, 2, end],
        "falling": [0, end, end - 1, end],
        "last": [0, 1, end - 1],
        "beyond": [0, 1, end + 1],
        "negative": [0, -1, end],
    }[change]
    other = {"point_offsets": "center_offsets", "center_offsets": "point_offsets"}[name]
    groups = {other: np.array([0] * (len(offsets) - 1) + [int(GOOD[other][-1])])}
    refuses(ValueError, name, **{name: np.array(offsets)}, **groups)


@pytest.mark.parametrize("huge", [2**62, -(2**62), 2**63 - 1])
def test_offsets_near_the_limits_of_int64_are_refused(huge):
    refuses(ValueError, "point_offsets", point_offsets=np.array([0, huge, 5]))


def test_numbers_of_groups_must_agree():
    refuses(ValueError, "center_offsets", center_offsets=np.array([0, 4]))


def test_offsets_without_a_value_are_refused():
    empty = np.empty(0, np.int64)
    refuses(ValueError, "point_offsets", point_offsets=empty, center_offsets=empty)


@pytest.mark.parametrize("name", OUTPUTS)
def test_output_that_is_read_only_is_refused(name):
    array = GOOD[name].copy()
    array.flags.writeable = False
    refuses(ValueError, name, **{name: array})


def test_log_sum_that_is_read_only_is_refused_as_output():
    log_sum = np.zeros(5)
    log_sum.flags.writeable = False
    with pytest.raises(ValueError, match=r"^log_sum: got a read-only array"):
        _cpu.log_sum_exp_isotropic(GOOD["points"], GOOD["centers"], 1.0, log_sum)


@pytest.mark.parametrize("sigma", [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf])
def test_sigma_that_is_not_finite_and_positive_is_refused(sigma):
    refuses(ValueError, "sigma", sigma=sigma)


@pytest.mark.parametrize(
    ("sigma", "dtype"), [(1e-39, np.float32), (1e39, np.float32), (5e-324, np.float64), (1e308, np.float64)]
)
def test_sigma_outside_the_range_of_the_dtype_is_refused(sigma, dtype):
    with pytest.raises(ValueError, match=r"^sigma: "):
        _cpu.log_sum_exp_isotropic(np.zeros((1, 1), dtype), np.zeros((1, 1), dtype), sigma, np.zeros(1))


@pytest.mark.parametrize("sigma", [True, "1", None, [1.0], 1j, torch.tensor(1), torch.tensor([1.0, 2.0])])
def test_sigma_that_is_no_number_is_refused_at_the_public_door(sigma):
    with pytest.raises(TypeError, match=r"^sigma: "):
        mixture_log_density(GOOD["points"], GOOD["centers"], sigma)


@pytest.mark.parametrize("sigma", [None, "1", [1.0]])
def test_sigma_that_is_no_number_is_refused_by_the_core(sigma):
    with pytest.raises(TypeError, match="sigma"):
        call(sigma=sigma)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, -1e-300])
@pytest.mark.parametrize("index", [0, 3])
def test_weight_that_is_not_finite_and_positive_is_refused(bad, index):
    weights = np.ones(4)
    weights[index] = bad
    with pytest.raises(ValueError, match=rf"^weights: got .* at index {index}"):
        call(weights=weights)


def test_weights_of_zero_alone_are_refused():
    refuses(ValueError, "weights", weights=np.zeros(4))


@pytest.mark.parametrize("name", ["points", "centers"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_value_that_would_overflow_beside_sigma_is_refused(name, dtype):
    arrays = {"points": np.zeros((5, 3), dtype), "centers": np.zeros((4, 3), dtype)}
    arrays[name][1, 1] = np.finfo(dtype).max
    with pytest.raises(ValueError, match=f"^{name}: got a finite value too large beside sigma"):
        _cpu.log_sum_exp_isotropic(arrays["points"], arrays["centers"], 1.0, np.zeros(5))


class Exporter:
    """Answers the DLPack protocol with what it was given."""

    def __init__(self, capsule, device=(1, 0)):
        self.capsule, self.device = capsule, device

    def __dlpack__(self, **_):
        if isinstance(self.capsule, Exception):
            raise self.capsule
        return self.capsule

    def __dlpack_device__(self):
        return self.device


@pytest.mark.parametrize(
    "junk", [None, 3, "capsule", object(), (1, 0), np.zeros((5, 3))], ids=lambda junk: type(junk).__name__
)
def test_junk_from_dlpack_is_refused(junk):
    refuses(TypeError, "points", points=Exporter(junk))


@pytest.mark.parametrize("device", [None, 3, "cpu", (1,), ("cpu", 0), (1, 0, 0)], ids=str)
def test_junk_from_dlpack_device_is_refused(device):
    refuses(TypeError, "points", points=Exporter(GOOD["points"].__dlpack__(), device))


def test_capsule_that_was_used_up_is_refused():
    capsule = torch.zeros(5, 3, dtype=torch.float64).__dlpack__()
    torch.utils.dlpack.from_dlpack(capsule)
    refuses(TypeError, "points", points=Exporter(capsule))


def test_array_on_another_device_is_refused():
    refuses(ValueError, "points", points=Exporter(GOOD["points"].__dlpack__(), device=(2, 0)))


def test_pinned_memory_is_that_of_the_cpu():
    call(points=Exporter(GOOD["points"].__dlpack__(), device=(3, 0)))


def test_buffer_error_of_the_exporter_names_the_argument():
    refuses(TypeError, "points", points=Exporter(BufferError("cannot")))


def test_other_errors_of_the_exporter_pass_through():
    with pytest.raises(ZeroDivisionError):
        call(points=Exporter(ZeroDivisionError()))


def test_protocol_that_cannot_be_called_is_a_type_error():
    class Named:
        __dlpack__ = __dlpack_device__ = 3

    with pytest.raises(TypeError):
        call(points=Named())


@pytest.mark.parametrize("dtype", [">f8", np.longdouble])
def test_numbers_that_dlpack_cannot_carry_are_refused(dtype):
    refuses(TypeError, "points", points=GOOD["points"].astype(dtype))


def test_tensor_that_requires_grad_is_refused_by_the_core():
    refuses(TypeError, "points", points=torch.zeros(5, 3, dtype=torch.float64, requires_grad=True))


def test_sparse_tensor_is_refused():
    refuses(TypeError, "points", points=torch.zeros(5, 3, dtype=torch.float64).to_sparse())


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor:UserWarning")
def test_tensor_without_memory_is_refused():
    # torch.compile traces with such tensors: a shape, and a null pointer.
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.zeros(5, 3, dtype=torch.float64)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        call(points=fake)


def test_memory_that_is_not_aligned_is_refused():
    bytes_ = np.zeros(5 * 3 * 8 + 1, np.uint8)
    refuses(ValueError, "points", points=bytes_[1:].view(np.float64).reshape(5, 3))


def test_failed_call_leaves_outputs_as_they_were():
    d_points = np.full((5, 3), 7.0)
    refuses(ValueError, "weights", weights=np.zeros(4), d_points=d_points)
    assert (d_points == 7).all()
    log_sum = np.full(5, 7.0)
    with pytest.raises(ValueError, match=r"^weights: "):
        _cpu.log_sum_exp_isotropic(GOOD["points"], GOOD["centers"], 1.0, log_sum, weights=np.zeros(4))
    assert (log_sum == 7).all()


@pytest.mark.parametrize("threads", [0, -1, -(2**31), 2**31 - 1])
def test_any_number_of_threads_is_taken(threads):
    call(threads=threads)


@pytest.mark.parametrize("threads", [2**31, 1.5, "2", None])
def test_what_is_no_number_of_threads_is_refused(threads):
    with pytest.raises(TypeError):
        call(threads=threads)


def test_unknown_keyword_is_refused():
    with pytest.raises(TypeError):
        call(epsilon=1)


def test_options_are_keyword_only():
    with pytest.raises(TypeError):
        _cpu.log_sum_exp_isotropic(GOOD["points"], GOOD["centers"], 1.0, np.zeros(5), np.ones(4))


@pytest.mark.parametrize("name", ["points", "centers", "weights"])
@pytest.mark.parametrize(
    "value", [[0.0], "x", None, 3, np.array(["a"]), np.array([1j])], ids=lambda value: type(value).__name__
)
def test_public_door_names_the_argument(name, value):
    arguments = {"points": GOOD["points"], "centers": GOOD["centers"], "weights": GOOD["weights"]}
    if name == "weights" and value is None:
        pytest.skip("None stands for equal weights")
    arguments[name] = value
    with pytest.raises(TypeError, match=f"^{name}: "):
        mixture_log_density(arguments["points"], arguments["centers"], 1.0, weights=arguments["weights"])


@pytest.mark.parametrize("layout", ["read-only", "negative", "byte-swapped", "zero stride", "integer"])
def test_numpy_array_of_any_memory_is_a_tensor_of_the_same_values(layout):
    array = np.arange(12.0).reshape(4, 3)
    if layout == "read-only":
        array.flags.writeable = False
    elif layout == "byte-swapped":
        array = array.astype(">f8")
    else:
        array = {
            "negative": array[::-1, ::-1],
            "zero stride": np.broadcast_to(array[0], (4, 3)),
            "integer": array.astype(np.int16),
        }[layout]
    assert kernels.as_tensor("points", array).tolist() == array.tolist()
