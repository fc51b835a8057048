"""`generators_restored`: restore torch's generators after a pass, and give the pass a seed if wanted.

Another thread may use the global generators meanwhile, as in a training with dropout. So they are set and restored only
if an operator of this thread uses them, and compared only around such an operator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@contextlib.contextmanager
def generators_restored(model: nn.Module, seed: int | None = None, *, at_start: bool = False) -> Iterator[GeneratorUse]:
    """Restore torch's generators of the CPU and of the network's CUDA devices after a ``with`` block.

    Generators that the network passes to operators are restored too. Without `at_start`, the global generators are
    restored only if an operator of this thread uses one.

    Parameters
    ----------
    model : torch.nn.Module
        The network that runs in the block.
    seed : int, optional
        Seed of the random numbers in the block; by default the generators continue from their states.
    at_start : bool
        Whether the global generators get the seed at the start of the block, so that a network that sets the seed is
        found; by default they get it before their first use.

    Yields
    ------
    GeneratorUse
        The use of the generators so far.
    """
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers()) if tensor.is_cuda}
    use = GeneratorUse(devices, seed)
    try:
        if at_start:
            use.begin()
        with use:
            yield use
    finally:
        if use.cpu is not None:
            torch.set_rng_state(use.cpu)
        for device, state in use.cuda.items():
            torch.cuda.set_rng_state(state, device)
        for generator, state in use.given.items():
            generator.set_state(state)


class GeneratorUse(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stores the states of the generators before the first operator of this thread that uses one, and sets the seed.

    Attributes
    ----------
    changed : bool
        Whether operators of this thread have changed the states of torch's global generators.
    sizes : list of int
        Number of values that each call of a random operator returned, in the order of the calls.
    given : dict of torch.Generator to Tensor
        The generators that the network passed to operators, with their states before the first use.
    sets_seed : bool
        Whether the state of a global generator changed between two uses: the network sets the seed, or another thread
        uses the generator. False if the block has no seed.
    cpu : Tensor or None
        State of the CPU's generator; None before `begin`, which the first use of a global generator calls.
    cuda : dict of torch.device to Tensor
        States of the generators of the devices; empty if no operator used a generator.
    """

    def __init__(self, devices: set[torch.device], seed: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.devices = devices
        self.seed = seed
        self.changed = False
        self.sizes: list[int] = []
        self.given: dict[torch.Generator, torch.Tensor] = {}
        self.sets_seed = False
        self.cpu: torch.Tensor | None = None
        self.cuda: dict[torch.device, torch.Tensor] = {}
        self._expected_states: list[torch.Tensor] = []

    def has_generated(self) -> bool:
        """Return whether this thread has generated random numbers so far."""
        return bool(self.given) or self.changed

    def _states(self) -> list[torch.Tensor]:
        return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self.devices)]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not generates_random_numbers(func, args, kwargs):
            return func(*args, **kwargs)
        generator = kwargs.get("generator")
        before: list[torch.Tensor] = []
        if generator is None:
            if self.cpu is None:
                self.begin()
            before = self._states()
            if self.seed is not None and not _are_equal(before, self._expected_states):
                self.sets_seed = True
        elif generator not in self.given:
            self.given[generator] = generator.get_state()
            if self.seed is not None:
                generator.manual_seed(self.seed + len(self.given))  # equal seeds would give equal numbers
        output = func(*args, **kwargs)
        if generator is None:
            self._expected_states = self._states()
            self.changed = self.changed or not _are_equal(before, self._expected_states)
        self.sizes.append(sum(leaf.numel() for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)))
        return output

    def begin(self) -> None:
        """Store the states of the global generators, and set the seed."""
        self.cpu = torch.get_rng_state()
        self.cuda = {device: torch.cuda.get_rng_state(device) for device in self.devices}
        if self.seed is not None:
            torch.default_generator.manual_seed(self.seed)
            for device in self.devices:
                torch.cuda.default_generators[device.index].manual_seed(self.seed)
        self._expected_states = self._states()


def generates_random_numbers(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether a call of an operator generates random numbers; attention with a dropout of 0 does not."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    arguments = func._schema.arguments
    values = {argument.name: argument.default_value for argument in arguments}
    values |= {argument.name: value for argument, value in zip(arguments, args, strict=False)} | dict(kwargs)
    is_off = any(name in values and values[name] == 0 for name in ("dropout_p", "dropout"))
    in_evaluation = any(name in values and values[name] is False for name in ("train", "training"))
    return not (is_off or in_evaluation)


def _are_equal(states: Iterable[torch.Tensor], other_states: Iterable[torch.Tensor]) -> bool:
    return all(map(torch.equal, states, other_states))
