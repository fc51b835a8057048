"""Peak memory of a call, measured in a process of its own."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks.problems import mixture
from layerbits.kernels import as_sigma, log_sum_exp


@dataclasses.dataclass(frozen=True)
class PeakMemory:
    """Bytes by which a log_sum_exp in float32 raises the peak, beside its inputs and a matrix of all pairs."""

    n: int
    m: int
    dim: int
    grown: int
    inputs: int
    all_pairs: int


def peak_memory(n: int, m: int, *, dim: int = 10) -> PeakMemory:
    """Measure log_sum_exp; spawned, since a forked process would inherit the peak of this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        grown = pool.submit(_growth, n, m, dim).result()
    return PeakMemory(n, m, dim, grown, inputs=4 * (n + m) * dim, all_pairs=4 * n * m)


def lines(memory: PeakMemory) -> Iterator[str]:
    yield (
        f"peak memory of log_sum_exp, n = {memory.n}, m = {memory.m}, d = {memory.dim}, float32: "
        f"{memory.grown / 1e6:.1f} MB beyond its inputs of {memory.inputs / 1e6:.1f} MB; "
        f"a matrix of n m floats has {memory.all_pairs / 1e6:.0f} MB"
    )


def _growth(n: int, m: int, dim: int) -> int:
    problem = mixture(n, m, dim)
    sigma = as_sigma(problem.sigma)
    log_sum_exp(problem.points[:64], problem.centers[:64], sigma)
    before = _status("VmRSS")
    log_sums = log_sum_exp(problem.points, problem.centers, sigma)
    grown = _status("VmHWM") - before
    if not torch.equal(log_sums[:64], log_sum_exp(problem.points[:64], problem.centers, sigma)):
        raise AssertionError("log_sum_exp: rows alone differ from rows in the batch")
    return grown


def _status(field: str) -> int:
    """Bytes from /proc: unlike ru_maxrss, its peak starts anew with the process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
