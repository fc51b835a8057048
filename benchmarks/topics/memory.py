"""Peak memory of a call, measured in a separate process."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

from benchmarks.problems import mixture
from layerbits.kernels import as_sigma, log_sum_exp_isotropic


@dataclasses.dataclass(frozen=True)
class PeakMemory:
    """Bytes of `log_sum_exp_isotropic` in float32 beyond its inputs, of the inputs, and of a matrix of all pairs."""

    method: str
    n: int
    m: int
    dim: int
    beyond_inputs: int
    inputs: int
    all_pairs: int


def peak_memory(n: int, m: int, method: str, *, dim: int = 10) -> PeakMemory:
    """Measure log_sum_exp_isotropic in a spawned process; a forked one would inherit the peak of this process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        beyond_inputs = pool.submit(_growth, n, m, dim, method).result()
    return PeakMemory(method, n, m, dim, beyond_inputs, inputs=4 * (n + m) * dim, all_pairs=4 * n * m)


def lines(memories: Sequence[PeakMemory]) -> Iterator[str]:
    for memory in memories:
        yield (
            f"peak memory of log_sum_exp_isotropic, {memory.method}, n = {memory.n}, m = {memory.m}, d = {memory.dim}, "
            "float32: "
            f"{memory.beyond_inputs / 1e6:.1f} MB beyond its inputs of {memory.inputs / 1e6:.1f} MB; "
            f"a matrix of n m floats has {memory.all_pairs / 1e6:.0f} MB"
        )


def _growth(n: int, m: int, dim: int, method: str) -> int:
    problem = mixture(n, m, dim)
    call = partial(log_sum_exp_isotropic, centers=problem.centers, sigma=as_sigma(problem.sigma), method=method)
    call(problem.points[:64])
    before = status("VmRSS")
    log_sums = call(problem.points)
    growth = status("VmHWM") - before
    if not torch.equal(log_sums[:64], call(problem.points[:64])):
        raise AssertionError(f"log_sum_exp_isotropic, {method}: rows alone differ from the same rows in a batch")
    return growth


def status(field: str) -> int:
    """Return a field of /proc/self/status in bytes; unlike ru_maxrss, VmHWM does not include an earlier process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
