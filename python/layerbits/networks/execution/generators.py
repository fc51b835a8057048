"""`generators_restored`: restore torch's global generators after a pass, and give the pass a seed if wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@contextlib.contextmanager
def generators_restored(model: nn.Module, seed: int | None = None) -> Iterator[GeneratorUse]:
    """Restore torch's generators of the CPU and of the network's CUDA devices after a ``with`` block.

    If no operator of this thread uses a generator in the block, nothing is restored, because another thread may have
    used one meanwhile.

    Parameters
    ----------
    model : torch.nn.Module
        The network that runs in the block.
    seed : int, optional
        Seed of the random numbers in the block; by default the generators continue from their states.

    Yields
    ------
    GeneratorUse
        After the block, its `changed` is whether this thread generated random numbers in the block.
    """
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers()) if tensor.is_cuda}
    use = GeneratorUse(devices, seed)
    try:
        with use:
            yield use
    finally:
        if use.cpu is not None:
            use.changed = use.has_generated()
            torch.set_rng_state(use.cpu)
        for device, state in use.cuda.items():
            torch.cuda.set_rng_state(state, device)


class GeneratorUse(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stores the states of the generators before the first operator of this thread that uses one, and sets the seed.

    Attributes
    ----------
    changed : bool
        Whether random numbers were generated. Attention without dropout generates none, although its operator is one
        that may use a generator.
    sizes : list of int
        Number of values that each operator that may use a generator returned, in the order of the calls.
    passes_generator : bool
        Whether the network passed a generator of its own to an operator.
    cpu : Tensor or None
        State of the CPU's generator; None if no operator used a generator.
    cuda : dict of torch.device to Tensor
        States of the generators of the devices; empty if no operator used a generator.
    """

    def __init__(self, devices: set[torch.device], seed: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.devices = devices
        self.seed = seed
        self.changed = False
        self.sizes: list[int] = []
        self.passes_generator = False
        self.cpu: torch.Tensor | None = None
        self.cuda: dict[torch.device, torch.Tensor] = {}

    def has_generated(self) -> bool:
        """Return whether this thread has generated random numbers so far."""
        return self.cpu is not None and not all(map(torch.equal, self._states(), self._states_at_start))

    def _states(self) -> list[torch.Tensor]:
        return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self.devices)]

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
            self._states_at_start = self._states()
        output = func(*args, **kwargs)
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.passes_generator |= kwargs.get("generator") is not None
            self.sizes.append(sum(leaf.numel() for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)))
        return output
