"""`DrawDifferences`: whether the signals of two draws differ by more than rounding.

A signal that is a function of the input may round otherwise in another draw, because its rows have another place in the
pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from layerbits.mixtures import NEGLIGIBLE
from layerbits.networks.noise.dropout import Noise


class DrawDifferences:
    """The largest change of a value from one draw to another, by the name of the layer or readout."""

    def __init__(self) -> None:
        self._largest: dict[str, Tensor] = {}
        self._units: dict[str, int] = {}

    def add(self, name: str, signals: Tensor, others: Tensor) -> None:
        """Compare signals (draws, rows, d) with those of another draw, (rows, d)."""
        largest = (signals - others).abs().amax()
        self._largest[name] = torch.maximum(self._largest.get(name, largest), largest)
        self._units[name] = signals.shape[-1]

    def beyond_rounding(self, noise_of: Callable[[str], Noise]) -> frozenset[str]:
        """Return the names of signals whose noisy values may have a divergence that is not negligible."""
        changes = {name: float(largest) for name, largest in self._largest.items()}
        return frozenset(
            name
            for name, change in changes.items()
            if change and self._units[name] / 2 * (change / noise_of(name).least_scale) ** 2 > NEGLIGIBLE
        )
