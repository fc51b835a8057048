"""The parameters of a network that another thread may train: copies of one moment, and whether parameters change."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from layerbits.networks.execution.arguments import is_memory_error

# An attempt fails if an optimizer writes meanwhile. Beside optimizers of small and of large networks in tight loops, at
# most 4 attempts were needed.
_MAX_COPIES = 100


class WeightSums:
    """The sums of the parameters of a network, `model`, at the creation.

    Sums are compared, not the version counters of torch, because torch counts neither writes through `Tensor.data` nor
    those of fused optimizers.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._parameters = list(model.parameters())
        self._sums = self._present_sums()

    def have_changed(self) -> bool:
        """Return whether the sum of a parameter has changed."""
        return self._present_sums() != self._sums

    def check(self) -> None:
        """Raise a ValueError if the sum of a parameter has changed."""
        if self.have_changed():
            raise ValueError(
                "model: got a network whose weights changed during the measurement, as by another thread or process "
                "that trains it, wanted weights that stay; measure copy.deepcopy(model)"
            )

    def _present_sums(self) -> list[str]:
        # As text, NaN equals NaN.
        return [
            repr(parameter.detach().sum(dtype=torch.complex128 if parameter.is_complex() else torch.float64).item())
            for parameter in self._parameters
        ]


def weights_of_one_moment(model: nn.Module) -> dict[int, Tensor]:
    """Return copies of the parameters and buffers of a network, by the `id` of the originals; none if memory is short.

    No parameter changes while they are copied. The moment may lie within a step of an optimizer, which writes one
    parameter after the other. Parameters that share memory have copies that share memory.

    Raises
    ------
    ValueError
        The parameters change during each attempt.
    """
    for _ in range(_MAX_COPIES):
        sums = WeightSums(model)
        try:
            copies = _copies(model)
        except (MemoryError, RuntimeError) as error:
            if not is_memory_error(error):
                raise
            return {}
        if not sums.have_changed():
            return copies
    raise ValueError(
        f"model: got a network whose weights another thread changed in each of {_MAX_COPIES} attempts to copy them, "
        "wanted a moment without changes; make copy.deepcopy(model) between two steps of the training, and measure it"
    )


def _copies(model: nn.Module) -> dict[int, Tensor]:
    storages: dict[int, Any] = {}  # copied so far; for `copy.deepcopy`
    copies: dict[int, Tensor] = {id(parameter): _copied(parameter, storages) for parameter in model.parameters()}
    return copies | {id(buffer): buffer.detach().clone() for buffer in model.buffers()}


def _copied(parameter: nn.Parameter, storages: dict[int, Any]) -> nn.Parameter:
    if type(parameter) is nn.Parameter:
        copied = nn.Parameter(copy.deepcopy(parameter.detach(), storages), parameter.requires_grad)
        vars(copied).update(vars(parameter))
        return copied
    try:
        return copy.deepcopy(parameter, storages)
    except Exception as error:  # a class may refuse copies in any way; `WeightSums` then finds changes
        if is_memory_error(error):
            raise
        return parameter
