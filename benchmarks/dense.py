"""Log densities with every pair computed: ours, torch, KeOps and NumPy on the same points and centers."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.accuracy import Accuracy, accuracy
from benchmarks.calls import DTYPES, NUMPY, Method, fastest_chunks, log_density_calls
from benchmarks.problems import Problem, truth
from benchmarks.rivals import Doubles
from benchmarks.targets import Target
from benchmarks.timing import Rounds, Spread, measure, page_faults, ratio

NAMES = ("layerbits", "torch", "tuned torch", "KeOps", "numpy")

# Least ratio on mixtures, by dtype, rival and dimension; two cores with AVX-512, n = 4096, m = 20,000.
LEAST = {
    ("float32", "torch"): {2: 60.0, 5: 60.0, 10: 60.0, 16: 30.0, 128: 8.0},
    ("float32", "KeOps"): {2: 40.0, 5: 40.0, 10: 40.0, 16: 30.0},
    ("float64", "torch"): {10: 40.0},
}


@dataclasses.dataclass(frozen=True)
class DenseRow:
    """One problem in one dtype, NumPy in float64 always: pairs per second, their time over ours, errors in nats.

    `torch_page_faults`, of one call, tell whether the heap had room for torch's temporaries: then it is much faster.
    """

    problem: str
    dtype: str
    dim: int
    pairs: int
    rates: dict[str, float]
    over: dict[str, Spread]
    accuracy: dict[str, Accuracy]
    chunks: dict[str, int]
    torch_page_faults: int


def measure_dense(problem: Problem, peers: Sequence[str], *, rounds: Rounds) -> list[DenseRow]:
    """Check all methods, then time them; a row for each dtype."""
    chunks = fastest_chunks(problem)
    exact = truth(problem)
    found: dict[Method, Accuracy] = {}

    def check(results: dict[Method, Tensor | Doubles]) -> None:
        found.update({(name, dtype): accuracy(name, x, problem, exact, dtype) for (name, dtype), x in results.items()})

    calls = log_density_calls(problem, chunks, peers)
    seconds = measure(calls, check, rounds=rounds)

    def row(dtype: torch.dtype) -> DenseRow:
        methods = {name: NUMPY if name == "numpy" else (name, dtype) for name in NAMES}
        methods = {name: method for name, method in methods.items() if method in seconds}
        return DenseRow(
            problem=problem.name,
            dtype=str(dtype).removeprefix("torch."),
            dim=problem.dim,
            pairs=problem.pairs,
            rates={name: problem.pairs / statistics.median(seconds[method]) for name, method in methods.items()},
            over={
                name: ratio(seconds[method], seconds["layerbits", dtype])
                for name, method in methods.items()
                if name != "layerbits"
            },
            accuracy={name: found[method] for name, method in methods.items()},
            chunks={name: chunks[method] for name, method in methods.items() if method in chunks},
            torch_page_faults=page_faults(calls["torch", dtype]),
        )

    return [row(dtype) for dtype in DTYPES]


def targets(rows: Sequence[DenseRow]) -> Iterator[Target]:
    for row in rows:
        for name, spread in row.over.items():
            least = LEAST.get((row.dtype, name), {}).get(row.dim)
            if least is not None and row.problem.startswith("mixture"):
                yield Target(f"{row.problem}, {row.dtype}, over {name}", spread.median, least)


def lines(rows: Sequence[DenseRow]) -> Iterator[str]:
    yield "torch: cdist, square, logsumexp, 4096 rows at a time; tuned torch: the same in place, in its best chunk;"
    yield "KeOps: LazyTensor; NumPy: the pure-Python estimator in its best chunk, in float64 always."
    yield f"{'billions of pairs a second':<31}{''.join(f'{name:>13}' for name in NAMES)}  page faults of torch"
    for row in rows:
        rates = {name: f"{rate / 1e9:.3f}" for name, rate in row.rates.items()}
        yield _line(row, rates, 13, NAMES) + f"{row.torch_page_faults:>22,}"
    yield ""
    yield f"{'their time / ours':<31}{''.join(f'{name:>22}' for name in NAMES[1:])}"
    for row in rows:
        yield _line(row, {name: str(spread) for name, spread in row.over.items()}, 22, NAMES[1:])
    yield ""
    yield f"{'largest error, nats':<31}{''.join(f'{name:>13}' for name in NAMES)}"
    for row in rows:
        yield _line(row, {name: str(each) for name, each in row.accuracy.items()}, 13, NAMES)


def _line(row: DenseRow, cells: dict[str, str], width: int, names: Sequence[str]) -> str:
    return f"{row.problem:<22}{row.dtype:<9}" + "".join(f"{cells.get(name, '-'):>{width}}" for name in names)
