"""`RecomputedCalls`: the noise of the calls of a layer in passes that a backward pass runs again.

A weak dictionary maps the object of a pass to the distribution of each call's noise (in compiled code, to whether the
noise was off), so that the second run uses the same distributions. Torch restores the generator. An autograd function
outside torch may not restore it, and may run the calls in another order, as reversible networks do; so its calls are
recognized by the state of the generator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import MutableMapping
from typing import Any

import torch
from torch.utils.weak import WeakIdKeyDictionary

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.checkpointing import RunningPasses


@dataclasses.dataclass
class _Calls:
    """The distribution of the noise of each call in a pass, and the number of calls that its second run repeated."""

    noise: list[Any] = dataclasses.field(default_factory=list)
    run_id: tuple[int, int] = (-1, 0)
    n_repeated: int = 0

    def is_waiting(self) -> bool:
        return self.n_repeated < len(self.noise)


@dataclasses.dataclass
class _CallsOfFunction:
    """The distributions of the noise of calls in an autograd function, and the states whose calls were repeated.

    Attributes
    ----------
    noise : dict of int to list
        The distributions of the calls at each state of the generator. A call without noise leaves the state as it is.
    repeated : set of int
        The states at repeated calls.
    """

    noise: dict[int, list[Any]] = dataclasses.field(default_factory=dict)
    repeated: set[int] = dataclasses.field(default_factory=set)

    def add(self, noise: object, state: int) -> None:
        calls = self.noise.setdefault(state, [])
        if not any(noise is other for other in calls):
            calls.append(noise)

    def is_waiting(self) -> bool:
        return len(self.repeated) < len(self.noise)


class RecomputedCalls:
    """The distribution of the noise of each call of a layer in passes that run again.

    The distribution is a `GaussianNoise` or a `DropoutNoise`, or True in compiled code; None for a call without noise.
    Copies and pickles are empty: a copy has run no pass.
    """

    def __init__(self) -> None:
        self._calls: MutableMapping[object, _Calls] = WeakIdKeyDictionary()
        self._calls_of_functions: MutableMapping[object, _CallsOfFunction] = WeakIdKeyDictionary()

    def __reduce__(self) -> tuple[type[RecomputedCalls], tuple[()]]:
        """Pickle no calls."""
        return RecomputedCalls, ()

    def remember(self, passes: RunningPasses, noise: object, device: torch.device | None) -> None:
        """Store the distribution of the noise of a call, for each pass that runs for the first time.

        `device` is that of the signal, None for an output without one.
        """
        for pass_object in passes.first_runs:
            self._calls.setdefault(pass_object, _Calls()).noise.append(noise)
        for context in passes.functions:
            self._calls_of_functions.setdefault(context, _CallsOfFunction()).add(noise, _generator_state(device))

    def recall(self, layer: str, passes: RunningPasses, device: torch.device | None) -> Any:
        """Return the distribution that the noise of this call had in the first run of the pass.

        Raises
        ------
        LayerSelectionError
            The first run had no such call; or an autograd function did not restore the state of the generator.
        """
        if passes.is_function:
            return self._recall_of_function(layer, passes.second_run, device)
        calls = self._calls.setdefault(passes.second_run, _Calls())
        if calls.run_id != passes.run_id:
            calls.run_id, calls.n_repeated = passes.run_id, 0
        if calls.n_repeated >= len(calls.noise):
            raise LayerSelectionError(
                f"layers: got {layer!r} more often in the second run of a checkpointed pass than in its first run, "
                "wanted equal runs; run the backward pass before noisify changes the noise"
            )
        calls.n_repeated += 1
        return calls.noise[calls.n_repeated - 1]

    def is_waiting(self) -> bool:
        """Return whether the second run of a pass is still to come."""
        return any(calls.is_waiting() for calls in self._calls.values()) or any(
            calls.is_waiting() for calls in self._calls_of_functions.values()
        )

    def _recall_of_function(self, layer: str, context: object, device: torch.device | None) -> Any:
        calls = self._calls_of_functions.get(context, _CallsOfFunction())
        state = _generator_state(device)
        noise = calls.noise.get(state, [])
        if len(noise) == 1:
            calls.repeated.add(state)
            return noise[0]
        if calls.noise and all(noise == [None] for noise in calls.noise.values()):
            calls.repeated.update(calls.noise)
            return None
        function = type(context).__name__.removesuffix("Backward")
        raise LayerSelectionError(
            f"layers: got {layer!r} in the backward pass of the autograd function {function!r} with other random "
            "numbers than in its forward pass, wanted the same noise; use torch.utils.checkpoint.checkpoint in its "
            "place, or keep torch.get_rng_state() in forward(ctx, ...) and set this state in backward"
        )


def _generator_state(device: torch.device | None) -> int:
    """Return a hash of the state of torch's generator of a device."""
    if device is None:
        return 0
    generator: Any = torch if device.type == "cpu" else torch.get_device_module(device)
    arguments = () if device.type == "cpu" else (device,)
    return hash(generator.get_rng_state(*arguments).numpy().tobytes())
