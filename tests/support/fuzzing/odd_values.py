"""Arguments that few functions accept: a new value for each call, so that no call gets a value that another changed."""

import datetime
import decimal
import fractions
import math

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

NUMBERS = {
    "zero": lambda: 0,
    "minus one": lambda: -1,
    "negative zero": lambda: -0.0,
    "half": lambda: 0.5,
    "nan": lambda: math.nan,
    "infinity": lambda: math.inf,
    "minus infinity": lambda: -math.inf,
    "1e308": lambda: 1e308,
    "1e-308": lambda: 1e-308,
    "smallest float": lambda: 5e-324,
    "one ulp below 1": lambda: math.nextafter(1.0, 0.0),
    "2**31": lambda: 2**31,
    "2**63": lambda: 2**63,
    "-2**63": lambda: -(2**63),
    "integer of 400 digits": lambda: 10**400,
    "integer of 5000 digits": lambda: 10**5000,
    "true": lambda: True,
    "complex": lambda: 1 + 1j,
    "fraction": lambda: fractions.Fraction(1, 3),
    "decimal": lambda: decimal.Decimal("0.1"),
    "float32": lambda: np.float32(0.5),
    "int8": lambda: np.int8(3),
    "bool_": lambda: np.bool_(True),
    "uint64": lambda: np.uint64(2**64 - 1),
    "longdouble": lambda: np.longdouble("1e4000"),
    "complex64": lambda: np.complex64(1j),
}


def _containing_itself():
    items = [1.0]
    items.append(items)
    return items


def _mapping_containing_itself():
    items = {}
    items["x"] = items
    return items


class Subclass(np.ndarray):
    """A subclass of arrays."""


OBJECTS = {
    "none": lambda: None,
    "empty text": lambda: "",
    "text": lambda: "x",
    "number as text": lambda: "3",
    "escape sequences": lambda: "\x1b[2J\x07\u202e\n\x00",
    "lone surrogate": lambda: "\ud800",
    "long text": lambda: "a" * 100_000,
    "bytes": lambda: b"x",
    "empty list": list,
    "empty tuple": tuple,
    "empty mapping": dict,
    "set": lambda: {1, 2},
    "list": lambda: [1.0, 2.0],
    "nested list": lambda: [[1.0, 2.0], [3.0]],
    "list of none": lambda: [None],
    "list of text": lambda: ["a", "b"],
    "mapping": lambda: {"x": 1},
    "mapping of numbers": lambda: {1: 2, None: 3},
    "range": lambda: range(3),
    "huge range": lambda: range(2**62),
    "range of 10^12": lambda: range(10**12),
    "list that contains itself": _containing_itself,
    "mapping that contains itself": _mapping_containing_itself,
    "list of an integer of 5000 digits": lambda: [10**5000],
    "mapping of integers of 5000 digits": lambda: {10**5000: 10**5000},
    "exhausted iterator": lambda: iter(()),
    "generator": lambda: (value for value in (1, 2)),
    "object": object,
    "function": lambda: len,
    "class": lambda: int,
    "module class": lambda: nn.Tanh,
    "module": lambda: np,
    "date": lambda: datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc),
    "slice": lambda: slice(None),
    "ellipsis": lambda: ...,
    "dtype": lambda: torch.float32,
    "device": lambda: torch.device("meta"),
    "generator of torch": torch.Generator,
    "generator of numpy": lambda: np.random.default_rng(0),
}


def _fake():
    with FakeTensorMode():
        return torch.ones(6, 3)


ARRAYS = {
    "scalar array": lambda: np.array(0.5),
    "empty array": lambda: np.empty((0, 3)),
    "array without columns": lambda: np.empty((6, 0)),
    "array of nan": lambda: np.full((6, 3), math.nan),
    "array of infinity": lambda: np.full((6, 3), math.inf),
    "array of 1e308": lambda: np.array([[1e308, -1e308, 0.0]] * 6),
    "array of 5e-324": lambda: np.full((6, 3), 5e-324),
    "array of objects": lambda: np.array([[None, "a", 1]] * 6, dtype=object),
    "array of text": lambda: np.array([["a", "b", "c"]] * 6),
    "array of dates": lambda: np.zeros((6, 3), "datetime64[s]"),
    "structured array": lambda: np.zeros(6, [("x", "f8")]),
    "complex array": lambda: np.ones((6, 3), complex),
    "float16 array": lambda: np.ones((6, 3), np.float16),
    "longdouble array": lambda: np.ones((6, 3), np.longdouble),
    "boolean array": lambda: np.ones((6, 3), bool),
    "uint64 array": lambda: np.full(6, 2**64 - 1, np.uint64),
    "byte-swapped array": lambda: np.ones((6, 3), ">f8"),
    "masked array": lambda: np.ma.masked_equal(np.arange(18.0).reshape(6, 3), 4),
    "subclass of arrays": lambda: np.ones((6, 3)).view(Subclass),
    "read-only array": lambda: np.broadcast_to(np.arange(3.0), (6, 3)),
    "array of 40 axes": lambda: np.ones((1,) * 40),
    "another length": lambda: np.ones((5, 3)),
    "vector": lambda: np.arange(6.0),
    "three axes": lambda: np.ones((6, 3, 2)),
}

TENSORS = {
    "scalar tensor": lambda: torch.tensor(0.5),
    "empty tensor": lambda: torch.empty(0, 3),
    "tensor of nan": lambda: torch.full((6, 3), math.nan),
    "bfloat16": lambda: torch.ones(6, 3, dtype=torch.bfloat16),
    "float16": lambda: torch.ones(6, 3, dtype=torch.float16),
    "float8": lambda: torch.ones(6, 3).to(torch.float8_e4m3fn),
    "complex tensor": lambda: torch.ones(6, 3, dtype=torch.complex64),
    "int64 tensor": lambda: torch.arange(18).reshape(6, 3),
    "boolean tensor": lambda: torch.ones(6, 3, dtype=torch.bool),
    "conjugate view": lambda: torch.ones(6, 3, dtype=torch.complex64).conj(),
    "negative bit": lambda: torch.ones(6, 3, dtype=torch.complex64).conj().imag,
    "meta tensor": lambda: torch.ones(6, 3, device="meta"),
    "fake tensor": _fake,
    "sparse tensor": lambda: torch.eye(6, 3).to_sparse(),
    "sparse rows": lambda: torch.eye(6, 3).to_sparse_coo().coalesce(),
    "nested tensor": lambda: torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], layout=torch.jagged),
    "quantized tensor": lambda: torch.quantize_per_tensor(torch.ones(6, 3), 0.1, 0, torch.quint8),
    "leaf that requires grad": lambda: torch.ones(6, 3, requires_grad=True),
    "result that requires grad": lambda: torch.ones(6, 3, requires_grad=True) * 2,
    "parameter": lambda: nn.Parameter(torch.ones(6, 3)),
    "inference tensor": lambda: torch.inference_mode()(lambda: torch.ones(6, 3))(),
    "strided tensor": lambda: torch.arange(36.0).reshape(3, 12)[:, ::2].T,
    "expanded tensor": lambda: torch.ones(1, 3).expand(6, 3),
    "uninitialised parameter": nn.UninitializedParameter,
}

MODULES = {
    "module list": lambda: nn.ModuleList([nn.Tanh()]),
    "identity": nn.Identity,
    "empty network": nn.Sequential,
    "lazy network": lambda: nn.Sequential(nn.LazyLinear(3), nn.Tanh()),
    "meta network": lambda: nn.Sequential(nn.Linear(3, 3, device="meta"), nn.Tanh(), nn.Linear(3, 3, device="meta")),
    "bfloat16 network": lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).bfloat16(),
    "network of nan": lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).apply(_fill_with_nan),
    "class of modules": lambda: nn.Module,
    "module without forward": nn.Module,
}


def _fill_with_nan(module):
    for parameter in module.parameters(recurse=False):
        nn.init.constant_(parameter, math.nan)


ODD_VALUES = NUMBERS | OBJECTS | ARRAYS | TENSORS | MODULES
FUNCTIONS = {"function", "class", "module class", *MODULES}
