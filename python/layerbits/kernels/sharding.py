"""Log-sums at many points on several CUDA devices.

The points are split into pieces of a fixed size, for any number of devices. A CUDA kernel divides the centers into
shares, and the number of shares depends on the number of points; with fixed pieces, several devices of one model give
the bits of one device. No kernel needs to support several devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle

import torch
from torch import Tensor

from layerbits._base import Doubles

# Enough rows to occupy a device with tens of thousands of centers, and few enough for pieces on every device.
_PIECE_ROWS = 4096

Devices = Iterable[str | torch.device] | None


def resolve_devices(devices: Devices, home: torch.device) -> tuple[torch.device, ...]:
    """Return the devices that share the work on tensors of the device `home`; an empty tuple for no `devices`.

    Raises
    ------
    TypeError, ValueError
        `devices` is not a sequence of different CUDA devices of this machine, or `home` is not a CUDA device.
    """
    if devices is None:
        return ()
    if isinstance(devices, str | torch.device) or not isinstance(devices, Iterable):
        raise TypeError(f"devices: got {devices!r}, wanted a sequence of CUDA devices, for instance ['cuda:0']")
    names = list(devices)
    try:
        chosen = [torch.device(name) for name in names]
    except (RuntimeError, TypeError) as error:
        raise TypeError(f"devices: got {names}, wanted CUDA devices, for instance ['cuda:0']; {error}") from error
    if home.type != "cuda":
        raise ValueError(
            f"devices: got {names} for values on the {home.type}, wanted values on a CUDA device; move the network and "
            "its inputs there"
        )
    current = torch.device("cuda", torch.cuda.current_device())
    chosen = [current if device == torch.device("cuda") else device for device in chosen]
    available = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(available):
        raise ValueError(f"devices: got {names}, wanted at least one, each once, of {', '.join(map(str, available))}")
    return tuple(chosen)


def log_sums(
    operation: Callable[..., Tensor], points: Tensor, components: Iterable[Tensor], devices: Sequence[torch.device]
) -> Doubles:
    """Return ``operation(points, *components)``, shape (m,), on the host, computed by `devices`.

    Without devices, the device of the points computes it, which may be the CPU.
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
    # Each thread has its own current streams: the workers use the caller's, on which the tensors were computed.
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
