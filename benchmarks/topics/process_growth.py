"""Growth of `layer_information` on several processes: processor seconds and bytes, and a model of both.

    python -m benchmarks.topics.process_growth [--quick] [--figure FILE.png]

The gloo processes run on this machine, each with one thread. Seconds are processor time of the busiest process, so they
do not depend on the number of cores. Bytes are those that a process receives from the others. The model is a sum of
terms with coefficients that are not negative; the fit minimizes the squares of its relative errors.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from scipy.optimize import nnls
from torch import nn
from torch.distributed import distributed_c10d

import layerbits as lb
from layerbits import plots

QUERIES = 8  # queries of each input; at most half of the draws carry queries
WIDTHS = (8, 7, 5)
PASS_ROWS = 2**15  # the largest number of rows of a pass of so small a network


@dataclasses.dataclass(frozen=True)
class Size:
    """Number of processes, of inputs N, and of draws r."""

    processes: int
    inputs: int
    draws: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """Processor seconds of the busiest process, and the most bytes that a process receives."""

    seconds: float
    bytes: float


def n_passes(size: Size) -> int:
    """Return the number of passes, which processes share."""
    return math.ceil(size.inputs * size.draws / PASS_ROWS)


def rows_of_busiest(size: Size) -> float:
    """Return the rows of the passes that the busiest process runs."""
    passes = n_passes(size)
    return size.inputs * size.draws * math.ceil(passes / size.processes) / passes


# Terms of a cost by name, as functions of the size.
Terms = dict[str, Callable[[Size], float]]
SECONDS: Terms = {
    "fixed": lambda size: 1.0,
    "passes (shared)": rows_of_busiest,
    "pairs (shared)": lambda size: size.inputs**2 * size.draws * QUERIES / size.processes,
    "signals (each process)": lambda size: float(size.inputs * size.draws),
}
BYTES: Terms = {
    "exchanges": lambda size: size.processes - 1.0,
    "signals": lambda size: (n_passes(size) > 1) * size.inputs * size.draws * (size.processes - 1) / size.processes,
    "log densities": lambda size: size.inputs * QUERIES * (size.processes - 1) / size.processes,
}


def measure(size: Size) -> Cost:
    """Measure one size in new processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "torch._dynamo"])  # each process would import torch again
    results = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=_work, args=(size, rank, f"{folder}/store", results))
            for rank in range(size.processes)
        ]
        for process in processes:
            process.start()
        costs = [results.get() for _ in processes]
        for process in processes:
            process.join()
    return Cost(max(cost.seconds for cost in costs), max(cost.bytes for cost in costs))


def _work(size: Size, rank: int, store: str, results: Any) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size.processes)
    torch.manual_seed(0)
    sizes = (6, *WIDTHS)
    model = nn.Sequential(*(part for pair in itertools.pairwise(sizes) for part in (nn.Linear(*pair), nn.Tanh())))
    noisy = lb.noisify(model, sigma=0.3, layers=nn.Tanh, inputs=torch.zeros(2, 6))
    inputs = torch.randn(size.inputs, 6, generator=torch.Generator().manual_seed(1))
    received = _count_bytes(rank)
    group = torch.distributed.group.WORLD
    lb.layer_information(noisy, inputs[:64], draws=4, queries=2, group=group)  # the first call loads and compiles
    received.clear()
    started = time.process_time()
    lb.layer_information(noisy, inputs, draws=size.draws, queries=QUERIES, group=group)
    results.put(Cost(time.process_time() - started, float(sum(received))))
    results.close()
    results.join_thread()
    os._exit(0)  # destroying a group would wait for the others


def _count_bytes(rank: int) -> list[int]:
    """Return a list to which each exchange adds the bytes that this process receives."""
    received: list[int] = []
    all_gather = distributed_c10d.all_gather

    def counting(outputs: list[torch.Tensor], own: torch.Tensor, **options: Any) -> Any:
        received.append(sum(output.nbytes for other, output in enumerate(outputs) if other != rank))
        return all_gather(outputs, own, **options)

    distributed_c10d.all_gather = counting  # type: ignore[assignment]
    return received


def fit(terms: Terms, sizes: Sequence[Size], costs: Sequence[float]) -> dict[str, float]:
    """Return the coefficients of a cost that make the sum of its squared relative errors smallest."""
    matrix = np.array([[term(size) for term in terms.values()] for size in sizes]) / np.array(costs)[:, None]
    scales = np.maximum(matrix.max(0), np.finfo(float).tiny)
    coefficients, _ = nnls(matrix / scales, np.ones(len(sizes)))
    return dict(zip(terms, (coefficients / scales).tolist(), strict=True))


def parts(terms: Terms, coefficients: dict[str, float], size: Size) -> dict[str, float]:
    """Return each term of a cost of a size, times its coefficient."""
    return {name: coefficients[name] * term(size) for name, term in terms.items()}


def main() -> None:
    """Measure, fit, and print the model up to 10^6 inputs and 1,000 processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="measure fewer and smaller sizes")
    parser.add_argument("--figure", type=Path, help="PNG file for the figure of the model")
    arguments = parser.parse_args()
    inputs, draws = ((1000, 2000), (32, 64)) if arguments.quick else ((2000, 4000), (32, 64, 128))
    counts = (1, 2, 3) if arguments.quick else (1, 2, 3, 4)
    sizes = [Size(*size) for size in itertools.product(counts, inputs, draws)]
    costs = []
    print(f"{'processes':>9}{'N':>8}{'draws':>7}{'processor s':>13}{'MB received':>13}")
    for size in sizes:
        costs.append(measure(size))
        print(f"{size.processes:9}{size.inputs:8}{size.draws:7}{costs[-1].seconds:13.2f}{costs[-1].bytes / 1e6:13.2f}")
    seconds = fit(SECONDS, sizes, [cost.seconds for cost in costs])
    several = [(size, cost.bytes) for size, cost in zip(sizes, costs, strict=True) if size.processes > 1]
    received = fit(BYTES, *map(list, zip(*several, strict=True)))
    for name, terms, coefficients, measured in (
        ("seconds", SECONDS, seconds, [(size, cost.seconds) for size, cost in zip(sizes, costs, strict=True)]),
        ("bytes", BYTES, received, several),
    ):
        errors = [sum(parts(terms, coefficients, size).values()) / cost - 1 for size, cost in measured]
        print(f"\n{name}: " + " + ".join(f"{value:.3g} x [{term}]" for term, value in coefficients.items()))
        print(f"relative errors of the fit from {min(errors):+.0%} to {max(errors):+.0%}")
    print(f"\nthe model, r = 32, widths {WIDTHS}; each process holds all signals")
    print(f"{'N':>9}{'processes':>11}{'seconds':>10}  {'largest part':<30}{'GB received':>12}{'GB held':>9}")
    for n, processes in itertools.product((10**4, 10**5, 10**6), (1, 10, 100, 1000)):
        size = Size(processes, n, 32)
        by_part = parts(SECONDS, seconds, size)
        largest = max(by_part, key=by_part.__getitem__)
        gigabytes = sum(parts(BYTES, received, size).values()) / 1e9
        held = n * 32 * sum(WIDTHS) * 4 / 1e9
        total = sum(by_part.values())
        share = f"{largest} {by_part[largest] / total:.0%}"
        print(f"{n:9}{processes:11}{total:10.3g}  {share:<30}{gigabytes:12.3g}{held:9.2g}")
    if arguments.figure is not None:
        _plot(arguments.figure, seconds)


def _plot(path: Path, seconds: dict[str, float]) -> None:
    figure = plots.new_figure(width=9, height=3.4)
    for axes, n in zip(figure.subplots(1, 3, sharey=True), (10**4, 10**5, 10**6), strict=True):
        processes = np.geomspace(1, 1000, 61).astype(int).tolist()
        by_part = [parts(SECONDS, seconds, Size(count, n, 32)) for count in processes]
        axes.loglog(processes, [sum(part.values()) for part in by_part], color="black", label="sum")
        for name in SECONDS:
            axes.loglog(processes, [part[name] for part in by_part], label=name)
        axes.set(title=f"N = {n:,}, r = 32", xlabel="processes")
        axes.label_outer()
    figure.axes[0].set_ylim(bottom=1e-2)  # the axes share y
    figure.axes[0].set_ylabel("processor seconds of a process")
    figure.axes[0].legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
