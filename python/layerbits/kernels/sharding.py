"""Log-sums at many points on several CUDA devices.

The points are cut into the same pieces whatever the devices are, and what is found of a piece depends on it alone: so
the result is that of one device, wherever they are of one model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Rows that fill a device against some ten thousands of centers, and few enough to be shared.
_PIECE = 4096

Devices = Iterable[str | torch.device] | None


def shared_by(devices: Devices, home: torch.device) -> tuple[torch.device, ...]:
    """Return the devices that share the work on tensors of `home`; none, which stands for itself, if None.

    Raises
    ------
    TypeError, ValueError
        `devices` is no sequence of different CUDA devices of this machine, or `home` is none.
    """
    if devices is None:
        return ()
    if isinstance(devices, str | torch.device) or not isinstance(devices, Iterable):
        raise TypeError(f"devices: got {devices!r}, wanted a sequence of CUDA devices, for instance ['cuda:0']")
    given = list(devices)
    try:
        chosen = tuple(torch.device(device) for device in given)
    except (RuntimeError, TypeError) as error:
        raise TypeError(f"devices: got {given}, wanted CUDA devices, for instance ['cuda:0']; {error}") from error
    if home.type != "cuda":
        raise ValueError(f"devices: got {given} for values on the {home.type}; move the network and its inputs to one")
    chosen = tuple(torch.device("cuda", torch.cuda.current_device()) if str(one) == "cuda" else one for one in chosen)
    there = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(there):
        raise ValueError(f"devices: got {given}, wanted different ones of {', '.join(map(str, there))}")
    return chosen


def log_sums(
    verb: Callable[..., Tensor], points: Tensor, components: Iterable[Tensor], devices: tuple[torch.device, ...]
) -> npt.NDArray[np.float64]:
    """Return ``verb(points, *components)``, a number for each row, on the host; the work is done by `devices`.

    None of them: by that of the points, which may be the CPU.
    """
    given = tuple(components)
    if points.device.type != "cuda":
        return verb(points, *given).numpy()
    pieces = torch.split(points, _PIECE)
    if set(devices) <= {points.device}:
        found = [verb(piece, *given) for piece in pieces]
    else:
        found = _on_devices(verb, pieces, given, devices)
    log_sum: npt.NDArray[np.float64] = torch.cat(found).numpy(force=True)
    return log_sum


def _on_devices(
    verb: Callable[..., Tensor], pieces: Sequence[Tensor], given: Sequence[Tensor], devices: Sequence[torch.device]
) -> list[Tensor]:
    # Streams belong to a thread: those of the caller are where pieces and components come from.
    streams = [torch.cuda.current_stream(device) for device in (pieces[0].device, *devices)]

    def on(device: torch.device, piece: Tensor, here: tuple[Tensor, ...]) -> Tensor:
        return verb(piece.to(device), *here).cpu()

    with ExitStack() as stack:
        workers = []
        for device in devices:
            worker = ThreadPoolExecutor(1, initializer=_enter, initargs=(streams,))
            stack.callback(worker.shutdown, cancel_futures=True)
            workers.append((worker, device, tuple(one.to(device) for one in given)))
        futures = []
        for piece, (worker, device, here) in zip(pieces, cycle(workers), strict=False):
            futures.append(worker.submit(on, device, piece, here))
        return [future.result() for future in futures]


def _enter(streams: Sequence[torch.cuda.Stream]) -> None:
    for stream in streams:
        torch.cuda.set_stream(stream)
