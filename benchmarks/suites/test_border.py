"""`pytest benchmarks`: the time of a call with few centers, for each kind of input array."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from layerbits._base import Array
from layerbits.mixtures import mixture_log_density

INPUT_KINDS: dict[str, Callable[[torch.Tensor], Array]] = {
    "torch": lambda tensor: tensor,
    "torch, transposed": lambda tensor: tensor.T.contiguous().T,
    "torch, every second row": lambda tensor: tensor.repeat_interleave(2, dim=0)[::2],
    "torch, needs a gradient": lambda tensor: tensor.clone().requires_grad_(),
    "numpy": lambda tensor: tensor.numpy(),
    "numpy, read-only": lambda tensor: np.broadcast_to(tensor.numpy(), tuple(tensor.shape)),
}


@pytest.mark.parametrize("kind", INPUT_KINDS)
@pytest.mark.parametrize("rows", [1, 1000, 100_000])
def test_call(benchmark: BenchmarkFixture, rows: int, kind: str) -> None:
    benchmark.group = f"{rows} points, 8 centers, d = 10"
    generator = torch.Generator().manual_seed(0)
    points, centers = (INPUT_KINDS[kind](torch.randn(count, 10, generator=generator)) for count in (rows, 8))
    benchmark(mixture_log_density, points, centers, 1.0)
