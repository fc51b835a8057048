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
    fill_standard_normal(values, generator)
    return torch.from_numpy(values).to(dtype)


def fill_standard_normal(values: npt.NDArray[Any], generator: np.random.Generator) -> None:
    """Fill a contiguous array of float32 or float64 with standard normal values, outside of the interpreter's lock."""
    generator.standard_normal(out=values, dtype=values.dtype.type)
