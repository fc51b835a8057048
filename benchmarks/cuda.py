"""The speed of the CUDA kernels beside torch, KeOps and the peak of the device: python -m benchmarks.cuda.

The time of a call is the median over rounds, after a warm-up, of the time between two events of the device. Rivals and
peaks have at most 5 rounds. Calls on points and centers, except the small call, take the next of 4 sets in each round.
In a log-sum-exp of layerbits the host waits for the checks of values, so the time includes these checks. The error is
the largest difference of the log-sum-exp of all pairs from float64 on the CPU, over 64 rows, divided by the error that
the contract allows.

The roofline follows from the rate F of multiply-adds and the rate P of powers of two, which `peak` measures: a pair
costs d subtractions, d multiply-adds and a power of two. In float32 another unit computes the power at the same time,
so the roofline is min(F / 2d, P) pairs a second. In float64 the power consists of multiply-adds, so the roofline is
1 / (2d / F + 1 / P).
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

from benchmarks.harness import machine_facts
from benchmarks.problems import trained_szt_network
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
CHAIN_STEPS = 2**14  # dependent steps of `peak`: about a millisecond of float32 multiply-adds

# Targets: pairs a second on an H200, seconds of layer_information, and share of the roofline.
TARGETS = {("float32", 2): 2e12, ("float32", 3): 2e12, ("float32", 10): 1e12, ("float64", 10): 3e11}
MAX_SECONDS = 0.1
MIN_ROOFLINE_SHARE = 0.6


def problem(points: int, centers: int, dim: int, dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor]:
    """Return random points and centers so close that kernels skip hardly any terms: pairs have their full cost."""
    generator = torch.Generator().manual_seed(seed)
    sides = [torch.randn(rows, dim, dtype=dtype, generator=generator).cuda() for rows in (points, centers)]
    return sides[0], sides[1]


def clustered_problem(size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return `size` points and `size` centers in 256 clusters far from each other."""
    generator = torch.Generator().manual_seed(seed)
    cluster_centers = 20 * torch.randn(256, 10, generator=generator)
    sides = [
        side + cluster_centers[torch.randint(256, (size,), generator=generator)].cuda()
        for side in problem(size, size, 10, torch.float32, seed)
    ]
    return sides[0], sides[1]


def seconds(call: Callable[..., object], arguments: Sequence[tuple[Any, ...]], rounds: int) -> float:
    """Return the median seconds of a call by the clock of the device; successive calls cycle through the arguments."""
    for problem_arguments in arguments:
        call(*problem_arguments)
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
    """Compute the log-sum-exp by torch, in chunks of 1 GiB of exponents."""
    rows = max(1, 2**30 // (len(centers) * centers.element_size()))
    return torch.cat([(torch.cdist(chunk, centers) ** 2 / -2).logsumexp(1) for chunk in torch.split(points, rows)])


def by_keops(points: Tensor, centers: Tensor) -> Tensor:
    """Compute the log-sum-exp by KeOps."""
    from pykeops.torch import LazyTensor

    differences = LazyTensor(points[:, None, :]) - LazyTensor(centers[None, :, :])
    log_sum: Tensor = (-(differences**2).sum(-1) / 2).logsumexp(1)
    return log_sum


def by_layerbits(points: Tensor, centers: Tensor) -> Tensor:
    """Compute the log-sum-exp by layerbits from all pairs."""
    return log_sum_exp_isotropic(points, centers, as_sigma(1.0), method="dense")


def by_layerbits_pruned(points: Tensor, centers: Tensor) -> Tensor:
    """Compute the log-sum-exp by layerbits with pruning."""
    return log_sum_exp_isotropic(points, centers, as_sigma(1.0), method="pruned")


def by_layerbits_gridded(points: Tensor, centers: Tensor, sigma: float) -> Tensor:
    """Compute the log-sum-exp by layerbits with expansions in cells."""
    return log_sum_exp_isotropic(points, centers, as_sigma(sigma), method="gridded", tolerance=1e-7)


def gradient(points: Tensor, centers: Tensor) -> None:
    """Compute the log-sum-exp and its gradients with respect to points, centers and sigma."""
    inputs = [tensor.detach().requires_grad_() for tensor in (points, centers, as_sigma(1.0))]
    torch.autograd.grad(log_sum_exp_isotropic(*inputs, method="dense").sum(), inputs)


def relative_error(points: Tensor, centers: Tensor) -> float:
    """Return the largest difference from the reference on 64 rows, divided by the error that the contract allows.

    For exponents e_k with softmax weights p_k, the contract allows (4 + d / 64) eps (1 + sum_k p_k |e_k|). The sum is
    the entropy of p minus the log-sum-exp. The function takes 0 for the entropy, which is not negative.
    """
    dim, dtype = points.shape[1], points.dtype
    log_sum = by_layerbits(points, centers)[:64].cpu().numpy()
    expected = reference.log_sum_exp_isotropic(points[:64].cpu().numpy(), centers.cpu().numpy(), 1.0)
    allowed = (4 + dim / 64) * torch.finfo(dtype).eps * (1 + (-expected).clip(0))
    return float((abs(log_sum - expected) / allowed).max())


def peaks(dtype: torch.dtype, threads: int) -> tuple[float, float]:
    """Return the multiply-adds and the powers of two a second, with all values in registers."""
    values = torch.full((threads,), 0.5, dtype=dtype).cuda()
    launch = {"stream": torch.cuda.current_stream().cuda_stream, "allocate": None}
    rates = []
    for powers in (False, True):
        operate = partial(cuda().peak, values, CHAIN_STEPS, powers, **launch)
        rates.append(operate() / seconds(operate, [()], RIVAL_ROUNDS))
    return rates[0], rates[1]


def roofline(dtype: torch.dtype, dim: int, multiply_adds: float, powers: float) -> float:
    """Return the pairs a second of the roofline."""
    if dtype == torch.float32:
        return min(multiply_adds / (2 * dim), powers)
    return 1 / (2 * dim / multiply_adds + 1 / powers)


def dense_rows(points: int, centers: int, rounds: int, limits: dict[torch.dtype, tuple[float, float]]) -> list[Row]:
    """Time the log-sum-exp of all pairs; print a line for each case."""
    rivals: dict[str, Call] = {"torch": by_torch}
    if importlib.util.find_spec("pykeops"):
        rivals["KeOps"] = by_keops
    else:
        print("KeOps is not installed: no ratio to it")
    rows = []
    for dtype, dim in CASES:
        problems = [problem(points, centers, dim, dtype, seed) for seed in range(SETS)]
        name, pairs = str(dtype).removeprefix("torch."), points * centers
        rate = pairs / seconds(by_layerbits, problems, rounds)
        row: Row = {"dtype": name, "d": dim, "pairs/s": rate, "target": TARGETS.get((name, dim))}
        row |= {"roofline share": rate / roofline(dtype, dim, *limits[dtype]), "error": relative_error(*problems[0])}
        for rival, call in rivals.items():
            row[rival] = rate / (pairs / seconds(call, problems, min(rounds, RIVAL_ROUNDS)))
        rows.append(row)
        ratios = ", ".join(f"{row[rival]:.1f} x {rival}" for rival in rivals)
        print(
            f"{name} d = {dim:3d}: {rate:9.3g} pairs/s, {row['roofline share']:4.0%} of the roofline, {ratios}; "
            f"error {row['error']:.2f} of the contract"
        )
    return rows


def rates_of_other_calls(size: int, rounds: int) -> dict[str, float]:
    """Return the rates of further calls in float32 with d = 10, and the seconds of a small call with d = 3."""
    problems = [problem(size, size, 10, torch.float32, seed) for seed in range(SETS)]
    edges = torch.linspace(0, 10, 101, dtype=torch.float64)
    values = torch.empty((1, 64 * size), dtype=torch.float32, device="cuda")
    few_points = [problem(64, size, 10, torch.float32, seed) for seed in range(SETS)]
    rates = {
        f"points/s by a grid, d = {dim}, sigma = {sigma:g}": 8 * size
        / seconds(
            partial(by_layerbits_gridded, sigma=sigma),
            [problem(8 * size, 8 * size, dim, torch.float32, seed) for seed in range(SETS)],
            min(rounds, RIVAL_ROUNDS),
        )
        for dim, sigma in ((1, 0.01), (1, 1.0), (2, 0.1), (2, 1.0))
    }  # fmt: skip
    return rates | {
        "pairs/s in clusters, omitted pairs included": size**2
        / seconds(by_layerbits_pruned, [clustered_problem(size, seed) for seed in range(SETS)], rounds),
        "pairs/s with gradients": size**2 / seconds(gradient, problems, rounds),
        "pairs/s in a histogram": size * (size - 1) / 2
        / seconds(lambda points, _: distance_histogram(points, edges), problems, rounds),
        "pairs/s of 64 points": 64 * size / seconds(by_layerbits, few_points, rounds),
        "pairs/s of 64 centers": 64 * size
        / seconds(lambda centers, points: by_layerbits(points, centers), few_points, rounds),
        "normal values/s": values.numel() / seconds(partial(fill_standard_normal, values, [1], 0), [()], rounds),
        "seconds of a small call": seconds(by_layerbits, [problem(8, 8, 3, torch.float32, 0)], 10 * rounds),
    }  # fmt: skip


def information_seconds(epochs: int, rounds: int) -> dict[str, float]:
    """Return the seconds of `layer_information` on a trained network of szt-tanh.

    The time on the CPU is that of one call. The times on the device are medians over the rounds.
    """
    noisy, inputs, labels = trained_szt_network(epochs)

    def seconds_of(*data: Any) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        layer_information(noisy, *data, draws=DRAWS, estimator="draws")
        torch.cuda.synchronize()
        return time.perf_counter() - start

    times = {"CPU, with labels": seconds_of(inputs, labels)}
    noisy, inputs, labels = noisy.to("cuda"), inputs.cuda(), labels.cuda()
    for name, data in (("without labels", (inputs,)), ("with labels", (inputs, labels))):
        seconds_of(*data)
        times[name] = statistics.median(seconds_of(*data) for _ in range(rounds))
    return times


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and, on request, write the JSON; return 1 if an error exceeds the contract."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda", description=__doc__.splitlines()[0])
    parser.add_argument("json", nargs="?", type=Path, help="file to write the numbers to")
    parser.add_argument("--points", type=int, default=2**18)
    parser.add_argument("--centers", type=int, default=2**15)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=200, help="epochs of training before the information is measured")
    options = parser.parse_args(arguments)

    back_end, device = backends()[1], torch.cuda.get_device_name()
    print(f"{device}, torch {torch.__version__}, {back_end.isa}")
    limits = {dtype: peaks(dtype, options.points) for dtype in (torch.float32, torch.float64)}
    for dtype, (multiply_adds, powers) in limits.items():
        print(f"{dtype}: {multiply_adds:.3g} multiply-adds/s, {powers:.3g} powers/s")
    rows = dense_rows(options.points, options.centers, options.rounds, limits)
    kernels = rates_of_other_calls(options.centers, options.rounds)
    information_times = information_seconds(options.epochs, min(options.rounds, RIVAL_ROUNDS))
    for name, rate in kernels.items():
        print(f"{name}: {rate:.3g}")
    for name, time_taken in information_times.items():
        print(f"layer_information, szt-tanh, {DRAWS} draws, {name}: {time_taken:.3f} s")

    misses = [f"{row['dtype']} d = {row['d']}: pairs/s" for row in rows if row["pairs/s"] < (row["target"] or 0)]
    misses += [
        f"{row['dtype']} d = {row['d']}: share of the roofline"
        for row in rows
        if row["roofline share"] < MIN_ROOFLINE_SHARE
    ]
    misses += ["layer_information, with labels"] * (information_times["with labels"] > MAX_SECONDS)
    print("targets missed:", "; ".join(misses) or "none")
    if options.json:
        document = {
            "machine": machine_facts(), "device": device, "architectures": back_end.isa, "cuda": torch.version.cuda,
            "peaks": {str(dtype): rates for dtype, rates in limits.items()}, "dense": rows, "kernels": kernels,
            "layer_information": information_times, "missed": misses,
        }  # fmt: skip
        options.json.write_text(json.dumps(document, indent=1))
    return int(any(row["error"] > 1 for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
