"""Checks that all processes of a group pass the same network and data, before the first pass."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from layerbits.kernels import Processes
from layerbits.networks import MeasuredNetwork, PassInputs


def check_same_arguments(
    processes: Processes, model: nn.Module, data: PassInputs, options: Mapping[str, object]
) -> None:
    """Raise a ValueError unless all processes pass the same network, data and options."""
    if processes.size > 1:
        check_same_weights(processes, model)
        tensors = {"inputs": data.tensors, "labels": data.labels, "arguments": (repr(data.structure), data.constants)}
        processes.check_equal("the data", **tensors, **options)


def check_same_weights(processes: Processes, model: nn.Module) -> None:
    """Raise a ValueError unless the network has the same modules, parameters and buffers on all processes."""
    if processes.size > 1:
        parameters, buffers = tuple(model.parameters()), tuple(model.buffers())
        processes.check_equal("the network", modules=repr(model), parameters=parameters, buffers=buffers)


def check_same_noise(processes: Processes, network: MeasuredNetwork, **options: object) -> None:
    """Raise a ValueError unless all processes have the same noise, and the same values of the options."""
    noise = {layer: (repr(noise), getattr(noise, "scale", None)) for layer, noise in network.noise.items()}
    processes.check_equal("the measurement", noise=noise, **options)
