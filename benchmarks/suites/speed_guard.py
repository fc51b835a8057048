"""`python -m benchmarks.guard`: fail if a kernel reaches less than half of its wanted ratio to torch.

The guard takes about 20 seconds. Kernel and torch alternate in one process. A case fails only if it is too slow
twice, because the machine may be busy. The wanted ratios are for AVX-512; at a level with fewer lanes they are smaller
in proportion.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from benchmarks.harness import Rounds, Spread, measure, ratio
from benchmarks.methods import torch_log_density
from benchmarks.problems import mixture
from benchmarks.topics.dense import WANTED_RATIOS
from layerbits.kernels.back_ends import cpu
from layerbits.mixtures import mixture_log_density

SHARE = 0.5
LANES = {"avx512": 1.0, "avx2": 0.5, "sse2": 0.25, "neon": 0.25}
"""Lanes of each level over those of AVX-512."""

_N, _M = 4096, 8192
_GUARDED = ((torch.float32, 5), (torch.float32, 10), (torch.float32, 16), (torch.float64, 10))
_ROUNDS = Rounds(repeats=5, min_seconds=0.25, max_seconds=5)


@dataclasses.dataclass(frozen=True)
class Case:
    """A call of layerbits, the same computation in torch, and the least ratio torch / layerbits of their times."""

    name: str
    layerbits: Callable[[], object]
    torch: Callable[[], object]
    wanted: float


def cases(level: str) -> Iterator[Case]:
    """Yield the guarded cases with the least ratios that pass at this ISA level."""
    for dtype, dim in _GUARDED:
        name, problem = str(dtype).removeprefix("torch."), mixture(_N, _M, dim).to(dtype)
        call = partial(mixture_log_density, problem.points, problem.centers, problem.sigma, method="dense")
        wanted = WANTED_RATIOS[name, "torch"][dim] * SHARE * LANES[level]
        yield Case(f"{level}, {name}, d = {dim}", call, partial(torch_log_density, problem), wanted)


def verdict(case: Case, rounds: Rounds = _ROUNDS) -> tuple[bool, str]:
    """Return whether the case has its least ratio in one of two trials, and a line with the result."""
    speedup = _speedup_over_torch(case, rounds)
    if speedup.median < case.wanted:
        speedup = _speedup_over_torch(case, rounds)
    is_fast = speedup.median >= case.wanted
    line = f"{'fast enough' if is_fast else 'TOO SLOW'}: {case.name}: {speedup} x torch, wanted >= {case.wanted:g}"
    return is_fast, line


def _speedup_over_torch(case: Case, rounds: Rounds) -> Spread:
    seconds = measure({"layerbits": case.layerbits, "torch": case.torch}, lambda results: None, rounds)
    return ratio(seconds["torch"], seconds["layerbits"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every case, print a line each, and return 1 if one is too slow."""
    argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__).parse_args(arguments)
    failed = False
    for case in cases(cpu().level()):
        is_fast, line = verdict(case)
        print(line, flush=True)
        failed |= not is_fast
    return int(failed)
