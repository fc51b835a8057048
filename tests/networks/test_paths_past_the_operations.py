"""Paths from tensor to tensor that no operation of torch shows are found, or the chain of layers is refused."""

import copy
import ctypes
import io
import pickle

import numpy as np
import pytest
import torch

from tests.support.dependence import graph_past_b

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated"),
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
]


def buffer():
    return torch.zeros(2, 4)


def by_map(x):
    return buffer().map_(x, lambda _, value: value)


def by_map_of_two(x):
    return buffer().map2_(x, x, lambda _, value, other: value + other)


def by_apply(x):
    values = []
    x.clone().apply_(lambda value: values.append(value) or value)
    return torch.tensor(values).reshape(2, 4)


def by_array(x):
    return torch.from_numpy(np.asarray(x).copy())


def by_array_of_a_later_write(x):
    values = buffer()
    array = values.numpy()
    values.copy_(x)
    return torch.tensor(array.copy())


def by_memory_of_a_later_write(x):
    values = buffer()
    array = values.numpy()
    values.copy_(x)
    return torch.from_numpy(array)


def by_address(x):
    values = buffer()
    ctypes.memmove(values.data_ptr(), x.data_ptr(), x.nbytes)
    return values


def by_address_of_a_later_write(x):
    values, copied = buffer(), buffer()
    address = values.data_ptr()
    values.copy_(x)
    ctypes.memmove(copied.data_ptr(), address, copied.nbytes)
    return copied


def by_storage(x):
    values = buffer()
    values.untyped_storage().copy_(x.untyped_storage())
    return values


def by_storage_of_a_later_write(x):
    values = buffer()
    storage = values.untyped_storage()
    values.copy_(x)
    return torch.tensor(list(storage), dtype=torch.uint8).view(torch.float32).reshape(2, 4)


def by_storage_with_a_type(x):
    return torch.tensor(x.clone()._typed_storage().tolist()).reshape(2, 4)


def by_set(x):
    return torch.empty(0).set_(x.clone())


def by_data(x):
    values = buffer()
    values.data = x.clone()
    return values


def by_write_into_data(x):
    values = buffer()
    values.data.copy_(x)
    return values


def by_list(x):
    return torch.tensor(x.tolist())


def by_list_of_tensors(x):
    return torch.tensor([list(row) for row in x])


def by_numbers(x):
    return torch.tensor([[float(value) for value in row] for row in x])


def by_text(x):
    return eval(repr(x), {"tensor": torch.tensor})


def by_formatted_numbers(x):
    return torch.tensor([[float(f"{value}") for value in row] for row in x])


def by_pickle(x):
    return pickle.loads(pickle.dumps(x))


def by_file(x):
    file = io.BytesIO()
    torch.save(x, file)
    file.seek(0)
    return torch.load(file)


def by_dlpack(x):
    return torch.from_dlpack(x.clone())


def by_capsule(x):
    return torch.from_dlpack(torch.utils.dlpack.to_dlpack(x.clone()))


def by_bytes(x):
    return torch.frombuffer(bytearray(x.numpy().tobytes()), dtype=torch.float32).reshape(2, 4)


def by_copy(x):
    return copy.copy(x) + copy.deepcopy(x)


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class DoubleArray(Double):
    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(2 * x.numpy())


@torch.library.custom_op("layerbits_tests::double", mutates_args=())
def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


_KEPT = {}


@torch.library.custom_op("layerbits_tests::keep", mutates_args=())
def keep(x: torch.Tensor) -> torch.Tensor:
    _KEPT["values"] = x.clone()
    return x.new_zeros(1)


@torch.library.custom_op("layerbits_tests::kept", mutates_args=())
def kept(count: int) -> torch.Tensor:
    return _KEPT["values"].clone()


@torch.library.custom_op("layerbits_tests::write", mutates_args=())
def write(x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    values.numpy()[:] = x.numpy()
    return x.new_zeros(1)


def by_values_that_an_operation_keeps(x):
    keep(x)
    return kept(1)


def by_values_of_8_bits_that_an_operation_keeps(x):
    keep(x.to(torch.float8_e4m3fn))
    return kept(1).float()


def by_a_write_that_the_schema_does_not_name(x):
    values = buffer()
    write(x, values)
    return values


_ARRAY = np.zeros((2, 4), np.float32)
_FIRST, _SECOND = torch.from_numpy(_ARRAY), torch.from_numpy(_ARRAY)


def by_two_tensors_of_one_array(x):
    _FIRST.copy_(x)
    return _SECOND


def by_part_of_an_array(x):
    _FIRST.copy_(x)
    return torch.from_numpy(_ARRAY[1:]).expand(2, 4)


def by_sparse(x):
    return x.to_sparse().to_dense()


def by_nested(x):
    return torch.nested.nested_tensor(list(x)).to_padded_tensor(0.0)


def by_quantized(x):
    return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8).dequantize()


def by_list_operation(x):
    values = [buffer()]
    torch._foreach_copy_(values, [x])
    return values[0]


WAYS = [
    by_map,
    by_map_of_two,
    by_apply,
    by_array,
    by_array_of_a_later_write,
    by_memory_of_a_later_write,
    by_address,
    by_address_of_a_later_write,
    by_storage,
    by_storage_of_a_later_write,
    by_storage_with_a_type,
    by_set,
    by_data,
    by_write_into_data,
    by_list,
    by_list_of_tensors,
    by_numbers,
    by_text,
    by_formatted_numbers,
    by_pickle,
    by_file,
    by_dlpack,
    by_capsule,
    by_bytes,
    by_copy,
    Double.apply,
    DoubleArray.apply,
    double,
    by_values_that_an_operation_keeps,
    by_values_of_8_bits_that_an_operation_keeps,
    by_a_write_that_the_schema_does_not_name,
    by_two_tensors_of_one_array,
    by_part_of_an_array,
    by_sparse,
    by_nested,
    by_quantized,
    by_list_operation,
]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions")
@pytest.mark.parametrize("source", ["input", "layer"])
@pytest.mark.parametrize("way", WAYS)
def test_path_past_a_layer_is_found_although_its_factor_is_0(way, source):
    assert "b" not in graph_past_b(way, 0.0, source).cuts("c")
