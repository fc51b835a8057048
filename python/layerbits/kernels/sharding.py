"""Log-sums at many points on several CUDA devices and in several processes.

On CUDA devices the points are split into pieces of a fixed size. Fixed pieces give the same bits on any number of
devices of one model, because a kernel's division of the centers depends on the number of points.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, shown
from layerbits.kernels.operations import log_sum_exp_isotropic
from layerbits.kernels.processes import ALONE, Processes
from layerbits.kernels.shared_operations import choose_method

# An unmeasured choice: enough rows to occupy a device at tens of thousands of centers, few enough for several devices.
_PIECE_ROWS = 4096

# Least number of pairs of a point and a center, times dimensions, that processes share: about a millisecond of one
# core. An exchange takes about as long.
_LEAST_WORK = 2**23

# Up to this number of dimensions "auto" may sum by a grid, which may fall back to another method, depending on all
# points. A grid takes little time, so every process computes the sums.
_GRIDDED_DIMENSIONS = 2

# Largest change of a log-sum in these dimensions, in nats: about that of float32, far below the standard errors of
# estimates. A grid for a tolerance below 1e-8 needs four times as many cells.
GRID_TOLERANCE = 1e-7

Devices = Iterable[str | torch.device] | None

_MOST_DEVICES = 1025  # more than a machine has


def resolve_devices(devices: Devices, tensor_device: torch.device) -> tuple[torch.device, ...]:
    """Return the devices that share the work on tensors of `tensor_device`; an empty tuple if `devices` is None.

    Raises
    ------
    TypeError, ValueError
        `devices` is not a sequence of distinct CUDA devices of this machine, or `tensor_device` is not a CUDA device.
    """
    if devices is None:
        return ()
    is_single = isinstance(devices, str | torch.device | torch.Tensor) or getattr(devices, "ndim", 1) == 0
    if is_single or not isinstance(devices, Iterable):
        raise TypeError(f"devices: got {shown(devices)!r}, wanted a sequence of CUDA devices, for instance ['cuda:0']")
    names = list(islice(devices, _MOST_DEVICES))
    try:
        resolved = [torch.device(name) for name in names]
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            f"devices: got {shown(names)}, wanted CUDA devices, for instance ['cuda:0']; {error}"
        ) from error
    if tensor_device.type != "cuda":
        raise ValueError(
            f"devices: got {shown(names)} for values on the {tensor_device.type}, wanted values on a CUDA device; "
            "move the network and its inputs there"
        )
    current_device = torch.device("cuda", torch.cuda.current_device())
    resolved = [current_device if device == torch.device("cuda") else device for device in resolved]
    available_devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if not resolved or len(set(resolved)) < len(resolved) or not set(resolved) <= set(available_devices):
        wanted = f"distinct devices out of {', '.join(map(str, available_devices))}"
        raise ValueError(f"devices: got {shown(names)}, wanted {wanted}; name at least one, and each only once")
    return tuple(resolved)


@dataclasses.dataclass(frozen=True)
class Workers:
    """The CUDA devices of this process, and the processes, that share the work of a measurement.

    Attributes
    ----------
    devices : tuple of torch.device
        Devices that share the queries; empty if the device of the queries computes them alone.
    processes : Processes
        Processes that share queries and passes.
    """

    devices: tuple[torch.device, ...] = ()
    processes: Processes = ALONE


NO_WORKERS = Workers()


def isotropic_log_sums(
    points: Tensor, centers: Tensor, sigma: Tensor, weights: Tensor | None = None, workers: Workers = NO_WORKERS
) -> Doubles:
    """Return `log_sum_exp_isotropic` on the host, computed by `workers`, with the bits of one process.

    In up to two dimensions each log-sum may change by `GRID_TOLERANCE`, in float64 too.
    """
    tolerance = GRID_TOLERANCE if points.shape[1] <= _GRIDDED_DIMENSIONS else None
    if _is_shared(points, (centers,), workers) and points.device.type == "cpu":
        if points.shape[1] <= _GRIDDED_DIMENSIONS:
            workers = NO_WORKERS
            method = "auto"
        else:
            # "auto" depends on all points; a method gives a point the same bits in every batch.
            method = choose_method(points, centers, sigma, weights)
    else:
        method = "auto"

    def operation(points: Tensor, centers: Tensor, *weights: Tensor) -> Tensor:
        return log_sum_exp_isotropic(
            points, centers, sigma, weights=next(iter(weights), None), method=method, tolerance=tolerance
        )

    components = (centers,) if weights is None else (centers, weights)
    return log_sums(operation, points, components, workers)


def log_sums(
    operation: Callable[..., Tensor], points: Tensor, components: Iterable[Tensor], workers: Workers = NO_WORKERS
) -> Doubles:
    """Return ``operation(points, *components)``, shape (m,), on the host, computed by `workers`.

    If there are no devices, the device of the points computes the log-sums. CPU points ignore the devices. On the CPU
    the operation gives a point the same bits in every batch, so each process gets one piece of the points; on CUDA
    devices, pieces have a fixed size. Process k computes the pieces k, k + size, k + 2 size, ...
    """
    arguments = tuple(components)
    processes = workers.processes if _is_shared(points, arguments, workers) else ALONE
    on_host = points.device.type == "cpu"
    rows = max(1, math.ceil(len(points) / processes.size)) if on_host else _PIECE_ROWS
    pieces = torch.split(points, rows)

    def compute() -> list[Doubles]:
        own = pieces[processes.rank :: processes.size]
        if on_host or set(workers.devices) <= {points.device}:
            results = [operation(piece, *arguments) for piece in own]
        else:
            results = _on_devices(operation, own, arguments, workers.devices) if own else []
        return [result.numpy(force=True) for result in results]

    shares = processes.gather(f"log-sums at {tuple(points.shape)}", compute)
    parts = [shares[k % processes.size][k // processes.size] for k in range(len(pieces))]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _is_shared(points: Tensor, components: Sequence[Tensor], workers: Workers) -> bool:
    return workers.processes.size > 1 and points.numel() * len(components[0]) >= _LEAST_WORK


def _on_devices(
    operation: Callable[..., Tensor],
    pieces: Sequence[Tensor],
    components: Sequence[Tensor],
    devices: Sequence[torch.device],
) -> list[Tensor]:
    # A thread has its own current streams. The workers use the caller's streams, on which the tensors were computed.
    streams = [torch.cuda.current_stream(device) for device in (pieces[0].device, *devices)]

    def evaluate(device: torch.device, piece: Tensor, copies: tuple[Tensor, ...]) -> Tensor:
        return operation(piece.to(device), *copies).cpu()

    with ExitStack() as stack:
        workers = []
        for device in devices:
            worker = ThreadPoolExecutor(1, initializer=_use_streams, initargs=(streams,))
            stack.callback(worker.shutdown, cancel_futures=True)
            workers.append((worker, device, tuple(component.to(device) for component in components)))
        futures = [
            worker.submit(evaluate, device, piece, copies)
            for piece, (worker, device, copies) in zip(pieces, cycle(workers), strict=False)
        ]
        return [future.result() for future in futures]


def _use_streams(streams: Sequence[torch.cuda.Stream]) -> None:
    for stream in streams:
        torch.cuda.set_stream(stream)
