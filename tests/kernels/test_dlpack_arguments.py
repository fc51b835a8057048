"""Arrays from other libraries by DLPack: invalid exports, devices and memory are refused without a crash."""

import numpy as np
import pytest
import torch

from tests.support.gradient_arguments import ARGUMENTS, assert_refused, call

HOST_ARRAY = pytest.mark.host_array("a copy on a device is exported by torch")


class Exporter:
    """An object whose `__dlpack__` returns `capsule`, or raises an exception in its place."""

    def __init__(self, capsule, device=(1, 0)):
        self.capsule, self.device = capsule, device

    def __dlpack__(self, **_):
        if isinstance(self.capsule, Exception):
            raise self.capsule
        return self.capsule

    def __dlpack_device__(self):
        return self.device


@HOST_ARRAY
@pytest.mark.parametrize(
    "capsule", [None, 3, "capsule", object(), (1, 0), np.zeros((5, 3))], ids=lambda value: type(value).__name__
)
def test_export_that_is_no_capsule_is_refused(capsule):
    assert_refused(TypeError, "points", points=Exporter(capsule))


@HOST_ARRAY
@pytest.mark.parametrize("device", [None, 3, "cpu", (1,), ("cpu", 0), (1, 0, 0)], ids=str)
def test_device_that_is_no_pair_of_integers_is_refused(device):
    assert_refused(TypeError, "points", points=Exporter(ARGUMENTS["points"].__dlpack__(), device))


@HOST_ARRAY
def test_consumed_capsule_is_refused():
    capsule = torch.zeros(5, 3, dtype=torch.float64).__dlpack__()
    torch.utils.dlpack.from_dlpack(capsule)
    assert_refused(TypeError, "points", points=Exporter(capsule))


def test_array_on_a_device_is_refused():
    assert_refused(ValueError, "points", points=Exporter(ARGUMENTS["points"].__dlpack__(), device=(2, 0)))


@HOST_ARRAY
def test_pinned_memory_is_accepted():
    call(points=Exporter(ARGUMENTS["points"].__dlpack__(), device=(3, 0)))


@HOST_ARRAY
def test_buffer_error_of_the_exporter_names_the_argument():
    assert_refused(TypeError, "points", points=Exporter(BufferError("cannot")))


@HOST_ARRAY
def test_other_errors_of_the_exporter_propagate():
    with pytest.raises(ZeroDivisionError):
        call(points=Exporter(ZeroDivisionError()))


def test_dlpack_method_that_is_not_callable_is_refused():
    class NotCallable:
        __dlpack__ = __dlpack_device__ = 3

    with pytest.raises(TypeError):
        call(points=NotCallable())


@HOST_ARRAY
@pytest.mark.parametrize("dtype", [">f8", np.longdouble])
def test_dtype_that_dlpack_cannot_represent_is_refused(dtype):
    assert_refused(TypeError, "points", points=ARGUMENTS["points"].astype(dtype))


def test_tensor_that_requires_grad_is_refused():
    assert_refused(TypeError, "points", points=torch.zeros(5, 3, dtype=torch.float64, requires_grad=True))


@HOST_ARRAY
def test_sparse_tensor_is_refused():
    assert_refused(TypeError, "points", points=torch.zeros(5, 3, dtype=torch.float64).to_sparse())


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor:UserWarning")
def test_tensor_without_memory_is_refused():
    # torch.compile traces with fake tensors, which have a shape and a null pointer.
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.zeros(5, 3, dtype=torch.float64)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        call(points=fake)


@HOST_ARRAY
def test_unaligned_memory_is_refused():
    memory = np.zeros(5 * 3 * 8 + 1, np.uint8)
    assert_refused(ValueError, "points", points=memory[1:].view(np.float64).reshape(5, 3))
