"""What layerbits reaches on a CUDA device, beside torch, KeOps and the device's own limits: python -m benchmarks.cuda.

Times are of events of the device around a call, the median of the rounds, after warm-up and a check against float64 on
the CPU; points and centers change from round to round. A call of ours includes what it asks of the host at its end.

The roof, in pairs a second: d subtractions and d multiply-adds at the rate F of multiply-adds that `peak` finds, and a
power of two at the rate P that it finds. In float32 that is another unit's work, which goes on beside: min(F / 2d, P).
In float64 it is multiply-adds as well: 1 / (2d / F + 1 / P).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.breakdown import trained
from benchmarks.machine import facts
from layerbits.estimators import layer_information
from layerbits.kernels import as_sigma, backends, distance_histogram, log_sum_exp_isotropic, reference
from layerbits.kernels.back_ends import cuda
from layerbits.kernels.operations import fill_standard_normal

Call = Callable[[Tensor, Tensor], object]
Row = dict[str, Any]

SETS = 4
RIVAL_ROUNDS = 5
CASES = (*((torch.float32, d) for d in (2, 3, 5, 10, 16, 32, 128)), (torch.float64, 3), (torch.float64, 10))
DRAWS = 32

# Least pairs a second on an H200, most seconds of an epoch, least share of the roof.
TARGETS = {("float32", 2): 2e12, ("float32", 3): 2e12, ("float32", 10): 1e12, ("float64", 10): 3e11}
MOST_SECONDS = 0.1
LEAST_OF_ROOF = 0.6


def problem(points: int, centers: int, dim: int, dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor]:
    """Return points and centers of which no term is known to be 0: every pair costs all that it may."""
    generator = torch.Generator().manual_seed(seed)
    both = [torch.randn(rows, dim, dtype=dtype, generator=generator).cuda() for rows in (points, centers)]
    return both[0], both[1]


def clustered(size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return as many points as centers, in 256 clusters that are far from each other."""
    generator = torch.Generator().manual_seed(seed)
    places = 20 * torch.randn(256, 10, generator=generator)
    both = [
        one + places[torch.randint(256, (size,), generator=generator)].cuda()
        for one in problem(size, size, 10, torch.float32, seed)
    ]
    return both[0], both[1]


def seconds(call: Callable[..., object], arguments: Sequence[tuple[Any, ...]], rounds: int) -> float:
    """Return the median seconds of a call by the clock of the device; the arguments take turns."""
    for one in arguments:
        call(*one)
    times: list[float] = []
    for i in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        call(*arguments[i % len(arguments)])
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times)


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
    """Return the log-sum-exp by layerbits, of all pairs."""
    return log_sum_exp_isotropic(points, centers, as_sigma(1.0), method="dense")


def pruned(points: Tensor, centers: Tensor) -> Tensor:
    """Return the log-sum-exp by layerbits, of the pairs that matter."""
    return log_sum_exp_isotropic(points, centers, as_sigma(1.0), method="pruned")


def gradient(points: Tensor, centers: Tensor) -> None:
    """Take the log-sum-exp and all its gradients but that of the weights."""
    inputs = [points.requires_grad_(), centers.requires_grad_(), as_sigma(1.0).requires_grad_()]
    torch.autograd.grad(log_sum_exp_isotropic(*inputs, method="dense").sum(), inputs)


def excess(points: Tensor, centers: Tensor) -> float:
    """Return the largest error of ours in units of the contract, on some rows."""
    dim, dtype = points.shape[1], points.dtype
    got = ours(points, centers)[:64].cpu().numpy()
    want = reference.log_sum_exp_isotropic(points[:64].cpu().numpy(), centers.cpu().numpy(), 1.0)
    # sum_k p_k |e_k| is -log_sum and the entropy of p: at least -log_sum.
    allowed = (4 + dim / 64) * torch.finfo(dtype).eps * (1 + (-want).clip(0))
    return float((abs(got - want) / allowed).max())


def peaks(dtype: torch.dtype, threads: int) -> tuple[float, float]:
    """Return multiply-adds and powers of two a second."""
    steps = 2**14  # a millisecond
    values = torch.full((threads,), 0.5, dtype=dtype).cuda()
    how = {"stream": torch.cuda.current_stream().cuda_stream, "allocate": None}
    rates = []
    for powers in (False, True):
        operate = partial(cuda().peak, values, steps, powers, **how)
        rates.append(operate() / seconds(operate, [()], RIVAL_ROUNDS))
    return rates[0], rates[1]


def roof(dtype: torch.dtype, dim: int, multiply_adds: float, powers: float) -> float:
    """Return the pairs a second that the model allows."""
    if dtype == torch.float32:
        return min(multiply_adds / (2 * dim), powers)
    return 1 / (2 * dim / multiply_adds + 1 / powers)


def dense(points: int, centers: int, rounds: int, limits: dict[torch.dtype, tuple[float, float]]) -> list[Row]:
    """Time the log-sum-exp of all pairs, print a line a case."""
    rivals: dict[str, Call] = {"torch": by_torch}
    if importlib.util.find_spec("pykeops"):
        rivals["KeOps"] = by_keops
    else:
        print("KeOps is not installed: no ratio to it")
    rows = []
    for dtype, dim in CASES:
        problems = [problem(points, centers, dim, dtype, seed) for seed in range(SETS)]
        name, pairs = str(dtype).removeprefix("torch."), points * centers
        rate = pairs / seconds(ours, problems, rounds)
        row: Row = {"dtype": name, "d": dim, "pairs/s": rate, "target": TARGETS.get((name, dim))}
        row |= {"of roof": rate / roof(dtype, dim, *limits[dtype]), "error": excess(*problems[0])}
        for rival, call in rivals.items():
            row[rival] = rate / (pairs / seconds(call, problems, min(rounds, RIVAL_ROUNDS)))
        rows.append(row)
        ratios = ", ".join(f"{row[rival]:.1f} x {rival}" for rival in rivals)
        print(
            f"{name} d = {dim:3d}: {rate:9.3g} pairs/s, {row['of roof']:4.0%} of the roof, {ratios}; "
            f"error {row['error']:.2f} of the contract"
        )
    return rows


def others(size: int, rounds: int) -> dict[str, float]:
    """Return what the other kernels do a second, at 10 dimensions in float32."""
    problems = [problem(size, size, 10, torch.float32, seed) for seed in range(SETS)]
    edges = torch.linspace(0, 10, 101, dtype=torch.float64)
    values = torch.empty((1, 64 * size), dtype=torch.float32, device="cuda")
    few = [problem(64, size, 10, torch.float32, seed) for seed in range(SETS)]
    return {
        "pairs/s pruned, as if of all, in clusters": size**2
        / seconds(pruned, [clustered(size, seed) for seed in range(SETS)], rounds),
        "pairs/s with gradients": size**2 / seconds(gradient, problems, rounds),
        "pairs/s in a histogram": size * (size - 1) / 2
        / seconds(lambda points, _: distance_histogram(points, edges), problems, rounds),
        "pairs/s of 64 points": 64 * size / seconds(ours, few, rounds),
        "pairs/s of 64 centers": 64 * size / seconds(lambda points, centers: ours(centers, points), few, rounds),
        "normal values/s": values.numel() / seconds(partial(fill_standard_normal, values, [1], 0), [()], rounds),
        "seconds of a small call": seconds(ours, [problem(8, 8, 3, torch.float32, 0)], 10 * rounds),
    }  # fmt: skip


def information(epochs: int, rounds: int) -> dict[str, float]:
    """Return the seconds of `layer_information` on a trained network of szt-tanh, on the device and on the CPU."""
    noisy, inputs, labels = trained(epochs)

    def once(*given: Any) -> float:
        torch.cuda.synchronize()
        started = time.perf_counter()
        layer_information(noisy, *given, draws=DRAWS)
        torch.cuda.synchronize()
        return time.perf_counter() - started

    found = {"CPU, with labels": once(inputs, labels)}
    noisy, inputs, labels = noisy.to("cuda"), inputs.cuda(), labels.cuda()
    for name, given in (("without labels", (inputs,)), ("with labels", (inputs, labels))):
        once(*given)
        found[name] = statistics.median(once(*given) for _ in range(rounds))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, write the JSON; 1 if an error is beyond the contract."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda", description=__doc__.splitlines()[0])
    parser.add_argument("json", nargs="?", type=Path, help="where to write the numbers")
    parser.add_argument("--points", type=int, default=2**18)
    parser.add_argument("--centers", type=int, default=2**15)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=200, help="epochs of training before the information is measured")
    options = parser.parse_args(arguments)

    back_end, name = backends()[1], torch.cuda.get_device_name()
    print(f"{name}, torch {torch.__version__}, {back_end.isa}")
    limits = {dtype: peaks(dtype, options.points) for dtype in (torch.float32, torch.float64)}
    for dtype, (multiply_adds, powers) in limits.items():
        print(f"{dtype}: {multiply_adds:.3g} multiply-adds/s, {powers:.3g} powers/s")
    rows = dense(options.points, options.centers, options.rounds, limits)
    kernels = others(options.centers, options.rounds)
    passes = information(options.epochs, min(options.rounds, RIVAL_ROUNDS))
    for what, rate in kernels.items():
        print(f"{what}: {rate:.3g}")
    for what, took in passes.items():
        print(f"layer_information, szt-tanh, {DRAWS} draws, {what}: {took:.3f} s")

    misses = [f"{row['dtype']} d = {row['d']}: pairs/s" for row in rows if row["pairs/s"] < (row["target"] or 0)]
    misses += [f"{row['dtype']} d = {row['d']}: share of the roof" for row in rows if row["of roof"] < LEAST_OF_ROOF]
    misses += ["layer_information, with labels"] * (passes["with labels"] > MOST_SECONDS)
    print("targets missed:", "; ".join(misses) or "none")
    if options.json:
        document = {
            "machine": facts(), "device": name, "architectures": back_end.isa, "cuda": torch.version.cuda,
            "peaks": {str(dtype): found for dtype, found in limits.items()}, "dense": rows, "kernels": kernels,
            "layer_information": passes, "missed": misses,
        }  # fmt: skip
        options.json.write_text(json.dumps(document, indent=1))
    return int(any(row["error"] > 1 for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
