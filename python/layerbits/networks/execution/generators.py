"""`generators_restored`: restore torch's global generators after a pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


@contextlib.contextmanager
def generators_restored(model: nn.Module) -> Iterator[None]:
    """Restore torch's generators of the CPU and of the network's CUDA devices after a ``with`` block.

    If this thread uses no generator in the block, nothing is restored: another thread may have used one meanwhile.
    """
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers()) if tensor.is_cuda}
    states = _StatesBeforeUse(devices)
    try:
        with states:
            yield
    finally:
        if states.cpu is not None:
            torch.set_rng_state(states.cpu)
        for device, state in states.cuda.items():
            torch.cuda.set_rng_state(state, device)


class _StatesBeforeUse(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the states of the generators before the first operator of this thread that uses one."""

    def __init__(self, devices: set[torch.device]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.devices = devices
        self.cpu: torch.Tensor | None = None
        self.cuda: dict[torch.device, torch.Tensor] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        uses_generator = torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None
        if uses_generator and self.cpu is None:
            self.cpu = torch.get_rng_state()
            self.cuda = {device: torch.cuda.get_rng_state(device) for device in self.devices}
        return func(*args, **kwargs)
