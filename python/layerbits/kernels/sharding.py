"""Log-sums at many points on several CUDA devices.

The points are split into pieces of a fixed size. Fixed pieces give the same bits on any number of devices of one model,
because a kernel's division of the centers depends on the number of points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle

import torch
from torch import Tensor

from layerbits._base import Doubles

# An unmeasured choice: enough rows to occupy a device at tens of thousands of centers, few enough for several devices.
_PIECE_ROWS = 4096

Devices = Iterable[str | torch.device] | None


def resolve_devices(devices: Devices, tensor_device: torch.device) -> tuple[torch.device, ...]:
    """Return the devices that share the work on tensors of `tensor_device`; an empty tuple if `devices` is None.

    Raises
    ------
    TypeError, ValueError
        `devices` is not a sequence of distinct CUDA devices of this machine, or `tensor_device` is not a CUDA device.
    """
    if devices is None:
        return ()
    if isinstance(devices, str | torch.device) or not isinstance(devices, Iterable):
        raise TypeError(f"devices: got {devices!r}, wanted a sequence of CUDA devices, for instance ['cuda:0']")
    names = list(devices)
    try:
        resolved = [torch.device(name) for name in names]
    except (RuntimeError, TypeError) as error:
        raise TypeError(f"devices: got {names}, wanted CUDA devices, for instance ['cuda:0']; {error}") from error
    if tensor_device.type != "cuda":
        raise ValueError(
            f"devices: got {names} for values on the {tensor_device.type}, wanted values on a CUDA device; "
            "move the network and its inputs there"
        )
    current_device = torch.device("cuda", torch.cuda.current_device())
    resolved = [current_device if device == torch.device("cuda") else device for device in resolved]
    available_devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if not resolved or len(set(resolved)) < len(resolved) or not set(resolved) <= set(available_devices):
        wanted = f"distinct devices out of {', '.join(map(str, available_devices))}"
        raise ValueError(f"devices: got {names}, wanted {wanted}; name at least one, and each only once")
    return tuple(resolved)


def log_sums(
    operation: Callable[..., Tensor], points: Tensor, components: Iterable[Tensor], devices: Sequence[torch.device]
) -> Doubles:
    """Return ``operation(points, *components)``, shape (m,), on the host, computed by `devices`.

    If `devices` is empty, the device of the points computes the log-sums. CPU points ignore `devices`.
    """
    arguments = tuple(components)
    if points.device.type != "cuda":
        return operation(points, *arguments).numpy()
    pieces = torch.split(points, _PIECE_ROWS)
    if set(devices) <= {points.device}:
        results = [operation(piece, *arguments) for piece in pieces]
    else:
        results = _on_devices(operation, pieces, arguments, devices)
    log_sum: Doubles = torch.cat(results).numpy(force=True)
    return log_sum


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
