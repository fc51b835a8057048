"""Log densities with every pair computed: layerbits, torch, KeOps and NumPy on the same points and centers."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.harness import Rounds, Spread, Target, measure, page_faults, ratio
from benchmarks.methods import (
    DTYPES,
    NUMPY,
    MeasuredError,
    Method,
    fastest_chunks,
    log_density_calls,
    measure_accuracy,
)
from benchmarks.problems import LogSumProblem, true_log_sums
from layerbits._base import Doubles

NAMES = ("layerbits", "torch", "tuned torch", "KeOps", "numpy")

# Wanted ratios on mixtures, by dtype, rival and dimension; for two cores with AVX-512, n = 4096, m = 20,000.
WANTED_RATIOS = {
    ("float32", "torch"): {2: 60.0, 5: 60.0, 10: 60.0, 16: 30.0, 128: 8.0},
    ("float32", "KeOps"): {2: 40.0, 5: 40.0, 10: 40.0, 16: 30.0},
    ("float64", "torch"): {10: 40.0},
}


@dataclasses.dataclass(frozen=True)
class DenseRow:
    """Results of one problem in one dtype; NumPy always computes in float64.

    Attributes
    ----------
    rates : dict of str to float
        Pairs per second of each method.
    speedups : dict of str to Spread
        Time of each rival over the time of layerbits.
    accuracy : dict of str to MeasuredError
        Largest error of each method, in nats.
    chunks : dict of str to int
        Query rows per chunk of NumPy and tuned torch, the fastest of `CHUNKS`.
    torch_page_faults : int
        Page faults of one call of torch. If its temporary arrays fit into free heap memory, the call has few page
        faults and is much faster.
    """

    problem: str
    dtype: str
    dim: int
    pairs: int
    rates: dict[str, float]
    speedups: dict[str, Spread]
    accuracy: dict[str, MeasuredError]
    chunks: dict[str, int]
    torch_page_faults: int


def measure_dense(problem: LogSumProblem, packages: Sequence[str], *, rounds: Rounds) -> list[DenseRow]:
    """Check all methods, then time them; return a row for each dtype."""
    chunks = fastest_chunks(problem)
    true = true_log_sums(problem)
    errors: dict[Method, MeasuredError] = {}

    def check(results: dict[Method, Tensor | Doubles]) -> None:
        for (name, dtype), values in results.items():
            errors[name, dtype] = measure_accuracy(name, values, problem, true, dtype)

    calls = log_density_calls(problem, chunks, packages)
    seconds = measure(calls, check, rounds=rounds)

    def row(dtype: torch.dtype) -> DenseRow:
        candidates = {name: NUMPY if name == "numpy" else (name, dtype) for name in NAMES}
        methods = {name: method for name, method in candidates.items() if method in seconds}
        return DenseRow(
            problem=problem.name,
            dtype=str(dtype).removeprefix("torch."),
            dim=problem.dim,
            pairs=problem.pairs,
            rates={name: problem.pairs / statistics.median(seconds[method]) for name, method in methods.items()},
            speedups={
                name: ratio(seconds[method], seconds["layerbits", dtype])
                for name, method in methods.items()
                if name != "layerbits"
            },
            accuracy={name: errors[method] for name, method in methods.items()},
            chunks={name: chunks[method] for name, method in methods.items() if method in chunks},
            torch_page_faults=page_faults(calls["torch", dtype]),
        )

    return [row(dtype) for dtype in DTYPES]


def targets(rows: Sequence[DenseRow]) -> Iterator[Target]:
    for row in rows:
        for name, spread in row.speedups.items():
            wanted = WANTED_RATIOS.get((row.dtype, name), {}).get(row.dim)
            if wanted is not None and row.problem.startswith("mixture"):
                yield Target(f"{row.problem}, {row.dtype}, over {name}", spread.median, wanted)


def lines(rows: Sequence[DenseRow]) -> Iterator[str]:
    yield "torch: cdist, square, logsumexp, 4096 rows at a time; tuned torch: the same in place, in its best chunk;"
    yield "KeOps: LazyTensor; NumPy: the NumPy reference in its best chunk, always in float64."
    yield f"{'billions of pairs a second':<31}{''.join(f'{name:>13}' for name in NAMES)}  page faults of torch"
    for row in rows:
        rates = {name: f"{rate / 1e9:.3f}" for name, rate in row.rates.items()}
        yield _line(row, rates, 13, NAMES) + f"{row.torch_page_faults:>22,}"
    yield ""
    yield f"{'time of the rival / layerbits':<31}{''.join(f'{name:>22}' for name in NAMES[1:])}"
    for row in rows:
        yield _line(row, {name: str(spread) for name, spread in row.speedups.items()}, 22, NAMES[1:])
    yield ""
    yield f"{'largest error, nats':<31}{''.join(f'{name:>13}' for name in NAMES)}"
    for row in rows:
        yield _line(row, {name: str(accuracy) for name, accuracy in row.accuracy.items()}, 13, NAMES)


def _line(row: DenseRow, cells: dict[str, str], width: int, names: Sequence[str]) -> str:
    return f"{row.problem:<22}{row.dtype:<9}" + "".join(f"{cells.get(name, '-'):>{width}}" for name in names)
