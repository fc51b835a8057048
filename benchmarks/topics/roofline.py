"""The dense kernel beside the roofline of this machine, at every ISA level that the machine runs.

In the model each lane of a vector register computes one query, all data are in registers, and the execution pipes are
the only limit. A pair needs d subtractions and d multiply-adds for the distance, and `_FIXED_INSTRUCTIONS`. With F
multiply-adds and A other instructions a pair, and R multiply-adds a second of the probe
(csrc/cpu/simd/multiply_adds.h), a pair takes at least max(F, (F + A) / p) / R seconds. Here p is 2 if the probe shows
that additions have pipes of their own, as on Zen 3 and Zen 5, and 1 if an addition costs as much as a multiply-add.
Loads and loop instructions are not counted.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from benchmarks.harness import Rounds, Target, measure, ratio
from benchmarks.problems import mixture
from layerbits.kernels import threads
from layerbits.kernels.back_ends import cpu

DIM = 10

WANTED_ROOF_SHARE = 0.7
WANTED_LANE_RATE = 0.5

# Multiply-adds and other instructions of a pair besides the 2 d of the distance, counted in csrc/cpu/simd.
# Multiply-adds: exponent 1, polynomial 6 (float32) or 11 (float64), sum 1.
# Others: smallest distance of a block of 8 and two tests of this distance 9/8, exp2 5 (max, add, two subtractions,
# shift), compensated sum of a block 8/8.
_FIXED_INSTRUCTIONS = {"float32": (8, 7.125), "float64": (13, 7.125)}

# The probe with additions is this much faster only if additions have pipes of their own: 1.43 to 1.56 times with 16
# registers on Zen 3 and Zen 5, 1.96 with 32, and 1 where additions share the pipes of multiply-adds.
_SHARED_PIPES = 1.25

_PIECES = 256  # pieces of work of the probe: about 50 ms on one core


@dataclasses.dataclass(frozen=True)
class RoofRow:
    """Results of one ISA level in one dtype.

    Attributes
    ----------
    multiply_adds : float
        Multiply-adds a second of the probe.
    pipes : float
        Values a second of the probe with additions, over its values a second without additions. With 16 registers the
        probe has too few chains to reach the limit, so `roof` compares this number with `_SHARED_PIPES`.
    rate, roof : float
        Pairs a second of the kernel and of the model.
    roof_share : float
        `rate` over `roof`.
    lane_rate : float
        Rate of a lane over the rate of a lane at the best level, by the kernel's pairs a second.
    """

    level: str
    dtype: str
    multiply_adds: float
    pipes: float
    rate: float
    roof: float
    roof_share: float
    lane_rate: float


def roof(dim: int, dtype: str, multiply_adds: float, pipes: float) -> float:
    """Return the pairs a second that the model allows."""
    products, additions = _FIXED_INSTRUCTIONS[dtype]
    n_pipes = 2 if pipes > _SHARED_PIPES else 1
    return multiply_adds / max(dim + products, (2 * dim + products + additions) / n_pipes)


def measure_roofline(dtype: torch.dtype, *, n: int, m: int, rounds: Rounds) -> list[RoofRow]:
    """Time kernel and probe alternately; return a row for each ISA level, the best first."""
    problem, name = mixture(n, m, DIM).to(dtype), str(dtype).removeprefix("torch.")
    log_sum, bits = torch.empty(m, dtype=torch.float64), torch.finfo(dtype).bits

    def calls_of(level: str) -> dict[tuple[str, str], Callable[[], Any]]:
        probe = partial(cpu().multiply_adds, _PIECES, bits=bits, threads=threads(), level=level)
        kernel = partial(
            cpu().log_sum_exp_isotropic,
            problem.points, problem.centers, problem.sigma, log_sum,
            method="dense", threads=threads(), level=level,
        )  # fmt: skip
        with_additions = partial(probe, additions=True)
        return {(level, "kernel"): kernel, (level, "products"): probe, (level, "with additions"): with_additions}

    levels: list[str] = cpu().levels()
    values: dict[tuple[str, str], Any] = {}
    calls = {key: call for level in levels for key, call in calls_of(level).items()}
    seconds = measure(calls, values.update, rounds=rounds)
    best = seconds[levels[0], "kernel"]

    def row(level: str) -> RoofRow:
        products, with_additions = (
            [values[level, probe] / time for time in seconds[level, probe]] for probe in ("products", "with additions")
        )
        peak, pipes = statistics.median(products), ratio(with_additions, products).median
        lanes = values[level, "products"] / values[levels[0], "products"]
        rate = problem.pairs / statistics.median(seconds[level, "kernel"])
        bound = roof(DIM, name, peak, pipes)
        lane_rate = ratio(best, seconds[level, "kernel"]).median / lanes
        return RoofRow(level, name, peak, pipes, rate, bound, rate / bound, lane_rate)

    return [row(level) for level in levels]


def targets(rows: Sequence[RoofRow]) -> Iterator[Target]:
    best = rows[0].level
    for row in rows:
        if row.level == best:
            yield Target(f"{row.level}, {row.dtype}, d = {DIM}, of the roof", row.roof_share, WANTED_ROOF_SHARE)
        if row.level == "avx2":
            yield Target(f"avx2, {row.dtype}, d = {DIM}, rate of a lane", row.lane_rate, WANTED_LANE_RATE)


def lines(rows: Sequence[RoofRow]) -> Iterator[str]:
    heads = ("G fma/s", "with additions", "G pairs/s", "roof", "% of roof", "a lane / best")
    yield f"{f'roofline, d = {DIM}':<31}" + "".join(f"{head:>16}" for head in heads)
    for row in rows:
        cells = (
            f"{row.multiply_adds / 1e9:.1f}", f"x {row.pipes:.2f}", f"{row.rate / 1e9:.3f}", f"{row.roof / 1e9:.3f}",
            f"{100 * row.roof_share:.0f}", f"{row.lane_rate:.2f}",
        )  # fmt: skip
        yield f"{row.level:<22}{row.dtype:<9}" + "".join(f"{cell:>16}" for cell in cells)
