"""`python -m benchmarks.host_time [--epochs N]`: the part of `layer_information` that stays on the host, on szt-tanh.

torch's profiler measures this part on one core of the CPU. A device takes over the kernels, torch's operators and the
passes with their noise; each call still takes time of the host. NumPy and Python stay on the host. The script
prints the run with the least host time of several.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.problems import trained_szt_network
from layerbits.estimators import layer_information, layer_sample
from layerbits.kernels import NormalStream
from layerbits.kernels.back_ends import cpu

_REPEATS = 10
_DRAWS = 32

_KERNELS, _PASSES = "kernels", "passes, noise"


@contextlib.contextmanager
def profile_names() -> Iterator[None]:
    """Name the kernels, the passes and the noise of the queries in the profile."""
    functions: list[tuple[Any, str, str]] = [
        (cpu(), operation, _KERNELS) for operation in ("log_sum_exp_isotropic", "log_sum_exp_full")
    ]
    functions += [(layer_sample, "record", _PASSES), (NormalStream, "fill", _PASSES)]
    with contextlib.ExitStack() as stack:
        for owner, name, kind in functions:
            stack.enter_context(mock.patch.object(owner, name, record_function(kind)(getattr(owner, name))))
        yield


def host_time(noisy: nn.Module, inputs: Tensor, labels: Tensor | None) -> dict[str, tuple[float, int]]:
    """Return milliseconds and number of calls by kind.

    The time of torch includes operators that other operators call; the number of calls does not.
    """
    with profile_names(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        start = time.perf_counter()
        layer_information(noisy, inputs, labels, draws=_DRAWS, estimator="draws")
        total = 1e3 * (time.perf_counter() - start)
    by_kind: dict[str, tuple[float, int]] = {}
    for event in profiler.events():
        kind = event.name if event.name in (_KERNELS, _PASSES) else "torch"
        spent, calls = by_kind.get(kind, (0.0, 0))
        is_outer = kind != "torch" or event.cpu_parent is None or event.cpu_parent.name == _PASSES
        by_kind[kind] = spent + event.self_cpu_time_total / 1e3, calls + is_outer
    return by_kind | {"host": (total - sum(spent for spent, _ in by_kind.values()), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host_time", description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200, help="epochs of training beforehand (default: %(default)s)")
    noisy, inputs, labels = trained_szt_network(parser.parse_args().epochs)
    torch.set_num_threads(1)
    for name, classes in (("without labels", None), ("with labels", labels)):
        fastest = min((host_time(noisy, inputs, classes) for _ in range(_REPEATS)), key=lambda times: times["host"])
        print(f"five layers, {_DRAWS} draws, {name}:")
        for kind, (milliseconds, calls) in fastest.items():
            print(f"{kind:14}{milliseconds:8.1f} ms in {calls:5} calls")


if __name__ == "__main__":
    main()
