"""Random numbers from an explicit seed and a named stream. No generator outlives a call; none is shared.

NumPy's Philox counts instead of stepping, so that any block of any stream can be drawn alone, in any order: results do
not depend on how the work is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return the generator of the stream `key` (integers >= 0) under `seed`; different keys are independent."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def standard_normal(shape: Sequence[int], generator: np.random.Generator, dtype: torch.dtype) -> Tensor:
    """Draw standard normal values of `shape` on the CPU; fewer rows of one stream begin what more rows would be."""
    values = np.empty(tuple(shape), np.float64 if dtype == torch.float64 else np.float32)
    _fill(values, generator)
    return torch.from_numpy(values).to(dtype)


class NormalStream:
    """Standard normal values of the stream `key` under `seed`, one after another."""

    def __init__(self, seed: int, *key: int) -> None:
        self._generator = stream(seed, *key)

    def fill(self, values: Tensor) -> None:
        """Fill a contiguous tensor of float32 or float64 with the next values, outside of the interpreter's lock."""
        _fill(values.numpy(), self._generator)

    def like(self, tensor: Tensor) -> Tensor:
        """Return the next values in the shape, dtype and device of a floating-point tensor."""
        values = torch.empty(tensor.shape, dtype=drawn_dtype(tensor.dtype), device=tensor.device)
        self.fill(values)
        return values.to(tensor.dtype)


def drawn_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which values are drawn that `dtype` shall hold: float64 as such, others as float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _fill(values: npt.NDArray[Any], generator: np.random.Generator) -> None:
    generator.standard_normal(out=values, dtype=values.dtype.type)
