"""`python -m benchmarks.host_time [--epochs N]`: what a device leaves to the host of `layer_information`, on szt-tanh.

Seen by torch's profiler, on a core of the CPU. Kernels, operators of torch and passes with their noise are what a
device takes over, for some microseconds of the host a call; the rest is NumPy and Python, and stays on the host. The
quickest of some runs counts.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.breakdown import trained
from layerbits.estimators import layer_information, layer_sample
from layerbits.kernels import NormalStream
from layerbits.kernels.back_ends import cpu
from layerbits.networks import NoisyModule

_REPEATS = 10
_DRAWS = 32

_KERNELS, _PASSES = "kernels", "passes, noise"


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Let the profiler see the kernels, the passes and the noise of the queries."""
    places: list[tuple[Any, str, str]] = [
        (cpu(), verb, _KERNELS) for verb in ("log_sum_exp_isotropic", "log_sum_exp_full")
    ]
    places += [(layer_sample, "record", _PASSES), (NormalStream, "fill", _PASSES)]
    with contextlib.ExitStack() as stack:
        for owner, name, kind in places:
            stack.enter_context(mock.patch.object(owner, name, record_function(kind)(getattr(owner, name))))
        yield


def host_time(noisy: NoisyModule, inputs: Tensor, labels: Tensor | None) -> dict[str, tuple[float, int]]:
    """Return milliseconds and calls by kind; of torch, calls of operators by no other operator."""
    with named(), profile(activities=[ProfilerActivity.CPU]) as seen:
        began = time.perf_counter()
        layer_information(noisy, inputs, labels, draws=_DRAWS)
        whole = 1e3 * (time.perf_counter() - began)
    found: dict[str, tuple[float, int]] = {}
    for event in seen.events():
        kind = event.name if event.name in (_KERNELS, _PASSES) else "torch"
        spent, calls = found.get(kind, (0.0, 0))
        outer = kind != "torch" or event.cpu_parent is None or event.cpu_parent.name == _PASSES
        found[kind] = spent + event.self_cpu_time_total / 1e3, calls + outer
    return found | {"host": (whole - sum(spent for spent, _ in found.values()), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host_time", description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200, help="epochs of training before (default: %(default)s)")
    noisy, inputs, labels = trained(parser.parse_args().epochs)
    torch.set_num_threads(1)
    for name, given in (("without labels", None), ("with labels", labels)):
        found = min((host_time(noisy, inputs, given) for _ in range(_REPEATS)), key=lambda one: one["host"])
        print(f"five layers, {_DRAWS} draws, {name}:")
        for kind, (milliseconds, calls) in found.items():
            print(f"{kind:14}{milliseconds:8.1f} ms in {calls:5} calls")


if __name__ == "__main__":
    main()
