"""`WeightSums`: whether the parameters of a network have changed, because another thread trains it."""

from __future__ import annotations

import torch
from torch import nn


class WeightSums:
    """The sums of the parameters of a network, `model`, at the creation.

    Sums are compared, not the version counters of torch, because writes through `Tensor.data` are not counted.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._parameters = list(model.parameters())
        self._sums = self._present_sums()

    def have_changed(self) -> bool:
        """Return whether the sum of a parameter has changed."""
        return self._present_sums() != self._sums

    def _present_sums(self) -> list[str]:
        # As text, NaN equals NaN.
        return [
            repr(parameter.detach().sum(dtype=torch.complex128 if parameter.is_complex() else torch.float64).item())
            for parameter in self._parameters
        ]
