"""Adapters of native CUDA modules for tests: calls with NumPy arrays, and the interface of the CPU's module."""

from typing import ClassVar

import numpy as np
import torch

from layerbits.kernels.back_ends import cuda
from layerbits.kernels.cuda_pruning import can_prune
from layerbits.kernels.native_interface import Mixture
from layerbits.kernels.spatial_order import spatial_order

CPU_OPTIONS = {"threads", "level", "method", "tolerance"}


class DeviceModule:
    """Calls of layerbits.kernels._cuda with arrays of the host, which are copied to a device, and back if writable."""

    HOST_ARGUMENTS = ("edges", "point_offsets", "center_offsets")
    POSITIONAL_NAMES: ClassVar = {"distance_histogram": ("points", "edges", "counts")}

    def __init__(self):
        self.module = cuda()

    def call(self, operation, *arguments, **options):
        copies = []

        def on_device(name, value):
            if name in self.HOST_ARGUMENTS or not isinstance(value, np.ndarray | torch.Tensor):
                return value
            tensor = torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
            copy = tensor.cuda()
            copies.append((value, copy))
            return copy

        def allocate(count):
            return torch.full((count,), torch.nan, dtype=torch.float64, device="cuda")

        names = (*self.POSITIONAL_NAMES.get(operation, ()), *[""] * len(arguments))
        arguments = [on_device(name, value) for name, value in zip(names, arguments, strict=False)]
        options = {name: on_device(name, value) for name, value in options.items()}
        stream = torch.cuda.current_stream().cuda_stream
        result = getattr(self.module, operation)(*arguments, **options, stream=stream, allocate=allocate)
        for value, copy in copies:
            if isinstance(value, np.ndarray) and value.flags.writeable:
                value[...] = copy.cpu().numpy()
        return result


class CudaAsCpu:
    """The interface of layerbits.kernels._cpu, computed by a CUDA module; options of the CPU alone are ignored."""

    def __init__(self, module):
        self.module = module
        self.summed_share = None  # the share of the pairs that the last log_sum_exp_isotropic summed

    def __getattr__(self, operation):
        def call(*arguments, **options):
            options = {name: value for name, value in options.items() if name not in CPU_OPTIONS}
            return self.module.call(operation, *arguments, **options)

        return call

    def levels(self):
        return ["cuda"]

    def log_sum_exp_isotropic(self, points, centers, sigma, *arguments, method="dense", tolerance=None, **options):
        options = {name: value for name, value in options.items() if name not in CPU_OPTIONS}
        if method == "pruned" and options.get("point_offsets") is None:
            sides = [torch.from_numpy(np.ascontiguousarray(side)) for side in (points, centers)]
            if can_prune(Mixture(*sides, sigma)):
                options |= {
                    "point_order": spatial_order(sides[0]).numpy(),
                    "center_order": spatial_order(sides[1]).numpy(),
                }
        self.summed_share = self.module.call(
            "log_sum_exp_isotropic", points, centers, sigma, *arguments, tolerance=tolerance, **options
        )
        return "pruned" if "point_order" in options else "dense"
