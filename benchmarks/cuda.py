"""Pairs per second on a CUDA device, ours against torch and KeOps in one run: python -m benchmarks.cuda [JSON].

Times are of device events around a call, the median of the rounds, after warm-up and a check against float64 on the
CPU; points and centers change from round to round. A call of ours includes what it asks of the host at its end.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.machine import facts
from layerbits import reference
from layerbits.kernels import as_sigma, log_sum_exp

ROUNDS, SETS = 20, 4
POINTS, CENTERS = 1 << 18, 1 << 15

# Least pairs per second on an H200.
TARGETS = {("float32", 2): 2e12, ("float32", 3): 2e12, ("float32", 10): 1e12, ("float64", 10): 3e11}


def problem(points: int, centers: int, dim: int, dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor]:
    """Return points and centers of which no term is known to be 0: every pair costs all that it may."""
    generator = torch.Generator("cuda").manual_seed(seed)
    both = [torch.randn(rows, dim, dtype=dtype, device="cuda", generator=generator) for rows in (points, centers)]
    return both[0], both[1]


def seconds(call: Callable[[Tensor, Tensor], Tensor], problems: list[tuple[Tensor, Tensor]]) -> list[float]:
    """Return the seconds of every round."""
    for one in problems:
        call(*one)
    times = []
    for i in range(ROUNDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        call(*problems[i % len(problems)])
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return times


def by_torch(points: Tensor, centers: Tensor) -> Tensor:
    """Return the log-sum-exp in chunks of 1 GiB."""
    rows = max(1, 2**30 // (len(centers) * centers.element_size()))
    return torch.cat([(torch.cdist(some, centers) ** 2 / -2).logsumexp(1) for some in torch.split(points, rows)])


def by_keops(points: Tensor, centers: Tensor) -> Tensor:
    """Return the log-sum-exp by KeOps."""
    from pykeops.torch import LazyTensor

    differences = LazyTensor(points[:, None, :]) - LazyTensor(centers[None, :, :])
    found: Tensor = (-(differences**2).sum(-1) / 2).logsumexp(1)
    return found


def ours(points: Tensor, centers: Tensor) -> Tensor:
    """Return the log-sum-exp by layerbits."""
    return log_sum_exp(points, centers, as_sigma(1.0))


def check(problems: list[tuple[Tensor, Tensor]], dtype: torch.dtype, dim: int) -> float:
    """Return the largest error of ours in units of the contract, on some rows."""
    points, centers = problems[0]
    got = ours(points, centers)[:64].cpu().numpy()
    want = reference.log_sum_exp(points[:64].cpu().numpy(), centers.cpu().numpy(), 1.0)
    # sum_k p_k |e_k| is -log_sum and the entropy of p: at least -log_sum.
    allowed = (4 + dim / 64) * torch.finfo(dtype).eps * (1 + (-want).clip(0))
    return float((abs(got - want) / allowed).max())


def main() -> int:
    """Print the table, write the JSON; 1 if an error is beyond the contract."""
    methods: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"layerbits": ours, "torch": by_torch}
    try:
        import pykeops  # noqa: F401

        methods["KeOps"] = by_keops
    except ImportError:
        print("KeOps is not installed")
    rows: list[dict[str, object]] = []
    worst = 0.0
    for dtype in (torch.float32, torch.float64):
        for dim in (1, 2, 3, 5, 10, 16, 32, 64, 128):
            problems = [problem(POINTS, CENTERS, dim, dtype, seed) for seed in range(SETS)]
            excess = check(problems, dtype, dim)
            worst = max(worst, excess)
            name = str(dtype).removeprefix("torch.")
            row: dict[str, object] = {"dtype": name, "d": dim, "excess": excess, "target": TARGETS.get((name, dim))}
            for method, call in methods.items():
                times = seconds(call, problems)
                row[method] = POINTS * CENTERS / statistics.median(times)
                row[f"{method} spread"] = max(times) / min(times)
            rows.append(row)
            rates = "  ".join(f"{method} {row[method]:.3g}" for method in methods)
            print(f"{name} d = {dim:3d}: {rates} pairs/s; error {excess:.2f} of the contract")
    document = {"machine": facts(), "device": torch.cuda.get_device_name(), "rows": rows}
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(document, indent=1))
    return int(worst > 1)


if __name__ == "__main__":
    sys.exit(main())
