"""Random numbers from an explicit seed and a named stream. No generator outlives a call; none is shared.

Generators count instead of stepping, so that any block of any stream can be drawn alone, in any order: results do not
depend on how the work is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits.kernels.operations import fill_standard_normal


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return the generator of the stream `key` (integers >= 0) under `seed`; different keys are independent."""
    return np.random.Generator(np.random.Philox(_seeds(seed, key)))


def standard_normal(shape: Sequence[int], generator: np.random.Generator, dtype: torch.dtype) -> Tensor:
    """Draw standard normal values of `shape` on the CPU; fewer rows of one stream begin what more rows would be."""
    values = np.empty(tuple(shape), np.float64 if dtype == torch.float64 else np.float32)
    _fill(values, generator)
    return torch.from_numpy(values).to(dtype)


class NormalStream:
    """Standard normal values of the stream `key` under `seed`, one after another, on one device.

    The CPU has the values of `stream`. A CUDA device makes values of its own where they lie, of a 64-bit key: a million
    streams share one with a probability of 3e-8, and no two of them overlap otherwise.
    """

    def __init__(self, seed: int, *key: int) -> None:
        self._source = _seeds(seed, key)
        self._place = 0

    @cached_property
    def generator(self) -> np.random.Generator:
        """The generator of `stream`, for choices of the host. On the CPU normal values go on where it is."""
        return np.random.Generator(np.random.Philox(self._source))

    @cached_property
    def _key(self) -> int:
        return int(self._source.generate_state(1, np.uint64)[0])

    def fill(self, values: Tensor) -> None:
        """Fill a contiguous tensor of float32 or float64 with the next values, outside of the interpreter's lock."""
        fill_rows([self], values.view(1, -1))

    def like(self, tensor: Tensor) -> Tensor:
        """Return the next values in the shape, dtype and device of a floating-point tensor."""
        values = empty_for_draws(tensor.shape, tensor)
        self.fill(values)
        return values.to(tensor)


def fill_rows(streams: Sequence[NormalStream], values: Tensor) -> None:
    """Fill each row of a tensor of contiguous rows with the next values of its stream; all are at the same place."""
    if not values.is_cuda:
        for row, one in zip(values, streams, strict=True):
            _fill(row.numpy(), one.generator)
        return
    flat = values.view(len(values), -1)
    fill_standard_normal(flat, [one._key for one in streams], streams[0]._place)
    for one in streams:
        one._place += flat.shape[1]


def uniform_like(tensor: Tensor, seed: int, *key: int) -> Tensor:
    """Return float32 values from [0, 1) in the shape and on the device of a tensor: the first ones of a stream."""
    if not tensor.is_cuda:
        return torch.from_numpy(stream(seed, *key).random(tensor.shape, dtype=np.float32)).to(tensor.device)
    generator = torch.Generator(tensor.device).manual_seed(int(_seeds(seed, key).generate_state(1, np.uint64)[0]))
    return torch.rand(tensor.shape, generator=generator, device=tensor.device)


def empty_for_draws(shape: Sequence[int], like: Tensor) -> Tensor:
    """Return an empty tensor of the dtype and the device on which values are drawn that shall become `like`.

    That is float32 for all but float64, and the CPU for all but CUDA devices.
    """
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    return torch.empty(shape, dtype=dtype, device=like.device if like.is_cuda else "cpu")


def _seeds(seed: int, key: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=key)


def _fill(values: npt.NDArray[Any], generator: np.random.Generator) -> None:
    generator.standard_normal(out=values, dtype=values.dtype.type)
