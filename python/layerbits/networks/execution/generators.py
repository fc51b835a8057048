"""`generators_restored`: restore torch's global generators after a pass, which may use a seed of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


@contextlib.contextmanager
def generators_restored(model: nn.Module, seed: int | None = None) -> Iterator[GeneratorUse]:
    """Restore torch's generators of the CPU and of the network's CUDA devices after a ``with`` block.

    If this thread uses no generator in the block, nothing is restored: another thread may have used one meanwhile.

    Parameters
    ----------
    seed : int, optional
        Seed of the random numbers in the block; None continues the generators.

    Yields
    ------
    GeneratorUse
        Its `changed` tells after the block whether this thread has drawn random numbers in it.
    """
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers()) if tensor.is_cuda}
    states = GeneratorUse(devices, seed)
    try:
        with states:
            yield states
    finally:
        if states.cpu is not None:
            states.changed = states.differ_from_first()
            torch.set_rng_state(states.cpu)
        for device, state in states.cuda.items():
            torch.cuda.set_rng_state(state, device)


class GeneratorUse(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the states of the generators before the first operator of this thread that uses one."""

    def __init__(self, devices: set[torch.device], seed: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.devices = devices
        self.seed = seed
        self.changed = False  # whether random numbers were drawn; attention with a dropout of 0 draws none
        self.cpu: torch.Tensor | None = None
        self.cuda: dict[torch.device, torch.Tensor] = {}

    @property
    def have_drawn(self) -> bool:
        """Whether this thread has drawn random numbers so far."""
        return self.cpu is not None and self.differ_from_first()

    def differ_from_first(self) -> bool:
        """Return whether the generators have moved since the first operator that may use one."""
        now = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self.devices)]
        return not all(map(torch.equal, now, self.first))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        uses_generator = torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None
        if uses_generator and self.cpu is None:
            self.cpu = torch.get_rng_state()
            self.cuda = {device: torch.cuda.get_rng_state(device) for device in self.devices}
            if self.seed is not None:
                torch.default_generator.manual_seed(self.seed)
                for device in self.devices:
                    torch.cuda.default_generators[device.index].manual_seed(self.seed)
            self.first = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self.devices)]
        return func(*args, **kwargs)
