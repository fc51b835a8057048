"""Lets the kernels of CUDA stand in for those of the CPU, so that the tests of tests/kernels are theirs too.

    LAYERBITS_STAND_IN=device PYTHONPATH=. pytest -p tests.cuda.stand_in tests/kernels

`emulated` takes the same kernels on the host instead: the module that cmake builds with LAYERBITS_CUDA_EMULATION=ON, at
the path in LAYERBITS_CUDA_EMULATED. Tests of what only the CPU has (levels, threads, trees, its order of sums) are left
out by name, each with its reason.
"""

import glob
import importlib.util
import os
from typing import ClassVar

import numpy as np
import pytest
import torch

import layerbits
from layerbits.kernels import cuda
from layerbits.kernels import operations as kernels
from layerbits.kernels.back_ends import cpu
from layerbits.kernels.spatial_order import near_order

EMULATED = os.environ.get("LAYERBITS_STAND_IN") == "emulated"

ONLY_CPU = {
    "test_isa_levels": "levels",
    "test_peak": "a measurement of the CPU",
    "test_exp2": "the CPU's power of two, by itself",
    "test_same_bits": "threads and batches",
}
ONLY_CPU_NAMES = {
    "thread": "threads",
    "door": "a door in Python that stays its own here",
    "test_pruned.py::test_row_alone": "rows that prune by themselves",
    "test_pruned.py::test_looser": "centers that are taken as one",
    "test_pruned.py::test_centers_that_are_not_finite": "a tree, which wants them finite",
    "test_pruned.py::test_auto": "the choice between its ways",
    "test_pruned.py::test_unknown_method": "methods by name",
}
# What an array loses on its way to a device, or never has there.
ONLY_HOST = dict.fromkeys(
    ("read_only", "dlpack", "capsule", "pinned", "exporter", "not_aligned", "sparse"),
    "arrays that a copy to a device is not",
)
ONLY_CPU_OPTIONS = {"threads", "level", "method", "tolerance"}


def emulated():
    """Return the emulated module; ImportError with what to do where it is not built."""
    found = glob.glob(os.environ.get("LAYERBITS_CUDA_EMULATED", ""))
    if not found:
        raise ImportError("LAYERBITS_CUDA_EMULATED names no module: build with LAYERBITS_CUDA_EMULATION=ON and name it")
    spec = importlib.util.spec_from_file_location("_cuda_emulated", found[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Emulated:
    """The verbs of the emulated module on NumPy arrays; its memory is full of NaN before."""

    def __init__(self):
        self.module = emulated()

    def call(self, verb, *arguments, **options):
        return getattr(self.module, verb)(
            *arguments, **options, stream=0, allocate=lambda count: np.full(count, np.nan)
        )


class OnDevice:
    """The verbs of layerbits.kernels._cuda on NumPy arrays, which travel there and back."""

    HOST = ("edges", "point_offsets", "center_offsets")
    POSITIONAL: ClassVar = {"distance_histogram": ("points", "edges", "counts")}

    def __init__(self):
        self.module = cuda()

    def call(self, verb, *arguments, **options):
        pairs = []

        def there(name, value):
            if name in self.HOST or not isinstance(value, np.ndarray | torch.Tensor):
                return value
            tensor = torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
            pairs.append((value, tensor.cuda()))
            return pairs[-1][1]

        def allocate(count):
            return torch.full((count,), torch.nan, dtype=torch.float64, device="cuda")

        names = (*self.POSITIONAL.get(verb, ()), *[""] * len(arguments))
        moved = [there(name, value) for name, value in zip(names, arguments, strict=False)]
        options = {name: there(name, value) for name, value in options.items()}
        stream = torch.cuda.current_stream().cuda_stream
        result = getattr(self.module, verb)(*moved, **options, stream=stream, allocate=allocate)
        for value, on_device in pairs:
            if isinstance(value, np.ndarray) and value.flags.writeable:
                value[...] = on_device.cpu().numpy()
        return result


class StandIn:
    """Looks like layerbits.kernels._cpu."""

    def __init__(self, back_end):
        self.back_end = back_end

    def __getattr__(self, verb):
        def call(*arguments, **options):
            taken = {name: value for name, value in options.items() if name not in ONLY_CPU_OPTIONS}
            return self.back_end.call(verb, *arguments, **taken)

        return call

    def levels(self):
        return ["cuda"]

    def log_sum_exp_isotropic(self, points, centers, *arguments, method="dense", tolerance=None, **options):
        options = {name: value for name, value in options.items() if name not in ONLY_CPU_OPTIONS}
        options["tolerance"] = tolerance
        if method == "pruned" and options.get("point_offsets") is None:
            sides = [torch.from_numpy(np.ascontiguousarray(side)) for side in (points, centers)]
            if kernels.may_prune(*sides):
                orders = [near_order(side).numpy() for side in sides]
                options |= {"point_order": orders[0], "center_order": orders[1]}
        self.taken = self.back_end.call("log_sum_exp_isotropic", points, centers, *arguments, **options)
        return "pruned" if "point_order" in options else "dense"


def pytest_configure(config):
    """Put the stand-in where tests import the core from; kernels.py keeps its own."""
    cpu()  # a first import after this would put the module of the CPU in its place again
    layerbits.kernels._cpu = StandIn(Emulated() if EMULATED else OnDevice())


def pytest_collection_modifyitems(items):
    for item in items:
        words = ONLY_CPU_NAMES if EMULATED else ONLY_CPU_NAMES | ONLY_HOST
        by_name = [reason for word, reason in words.items() if word in item.nodeid]
        reason = by_name[0] if by_name else ONLY_CPU.get(item.module.__name__)
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"only the CPU has {reason}"))
