"""The forward hook that adds the noise of a layer, T = S + Z.

The noise of an ordinary pass comes from torch's own generators, like the random numbers of dropout. So the noise works
with activation checkpointing, compilation, `torch.func.vmap` and saved states of the generators, as dropout does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.checkpointing import in_backward_pass, running_passes
from layerbits.networks.execution.compilation import not_compiled_alone, refuse_in_subgraph
from layerbits.networks.execution.output_tensor import find_tensor, replace_tensor, signal_of
from layerbits.networks.execution.recomputed_calls import RecomputedCalls
from layerbits.networks.noise.dropout import Noise
from layerbits.networks.noise.hooks import NoiseHook
from layerbits.networks.noise.normal_values import standard_normal
from layerbits.networks.noise.resolution import resolved
from layerbits.networks.noise.switch import NoiseSwitch


@dataclasses.dataclass(frozen=True)
class ObservedCall:
    """A call in the observed pass: its position among all calls, and the shape of its signal.

    The shape is empty for a nested tensor.
    """

    position: int
    shape: tuple[int, ...]


class AddNoise(NoiseHook):
    """The forward hook of a noisy module, or the hook of a noisy function (`EnterFunctions`).

    Attributes
    ----------
    switch : NoiseSwitch
        The switch of the network.
    name : str
        Name of the module, or of the function with the name of the module that calls it.
    noise : tuple of GaussianNoise, DropoutNoise or None
        Noise of each call in the observed pass, None for a call without noise. Calls with equal noise share one object.
        If all calls share one, calls are not counted, and a pass may have any number of them.
    calls : tuple of ObservedCall
        The calls in the observed pass.
    """

    def __init__(
        self, switch: NoiseSwitch, name: str, noise: tuple[Noise | None, ...], calls: tuple[ObservedCall, ...]
    ) -> None:
        super().__init__(switch)
        self.name, self.calls = name, calls
        self.set_noise(noise)
        self._recomputed = RecomputedCalls()

    def set_noise(self, noise: Sequence[Noise | None]) -> None:
        """Set the noise of each observed call; calls with equal noise get the same object."""
        self.noise = tuple(next(other for other in noise if other == of_call) for of_call in noise)

    @property
    def is_uniform(self) -> bool:
        """Whether all calls share one object as their noise."""
        return all(noise is self.noise[0] for noise in self.noise)

    def is_noisy_call(self, number: int) -> bool:
        """Return whether call `number` (from 1) of a pass has noise."""
        # An enclosing network may call the noisy network several times: `number` then exceeds the observed calls.
        return self.noise[0 if self.is_uniform else (number - 1) % len(self.noise)] is not None

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> object:
        """Return the output of a call with its noise.

        Raises
        ------
        LayerSelectionError
            The output has no floating-point tensor, or calls differ in their noise and this call was not observed.
        ValueError
            The noise has another number of units than the signal, or is too small for the signal's half precision; or
            `running_passes` refuses a checkpoint.
        """
        noise = self.next_noise() if torch.compiler.is_compiling() else self._noise_of_run(output)
        if noise is None:
            return output
        signal = signal_of(self.name, output)
        noise.check(self.name, () if signal.is_nested else signal.shape)
        normals = [standard_normal(signal, self.switch) for _ in range(noise.n_normals)]
        normals[-1] = resolved(normals[-1], signal, self.name, noise.least_deviation, self.switch)
        return replace_tensor(output, signal, noise.add(signal, *normals))

    def is_waiting(self) -> bool:
        """Return whether a second run of the layer is still to come."""
        return self._recomputed.is_waiting()

    def next_noise(self) -> Noise | None:
        """Count a call, if calls differ in their noise, and return its noise.

        Raises
        ------
        LayerSelectionError
            Calls differ in their noise, and no pass of the network runs, or it has more calls than were observed.
        """
        if self.is_uniform:
            return self.noise[0]
        if not self.switch.counts.passes:
            raise LayerSelectionError(
                f"layers: got {self.name!r}, whose calls differ in their noise, outside of a pass of the network, "
                "wanted one within a pass, which counts the calls; call the network itself, noisify the module that "
                "calls its parts, or give these calls the same noise"
            )
        if torch.compiler.is_compiling():
            refuse_in_subgraph(
                f"layers: got {self.name!r}, whose calls differ in their noise, in a checkpoint of one graph "
                "(fullgraph=True), wanted the same noise; noisify again with one sigma for all its calls, compile "
                "without fullgraph, or checkpoint outside of the compiled network"
            )
        calls = self.switch.counts.calls
        index = calls.get(self.name, 0)
        calls[self.name] = index + 1
        if index >= len(self.noise):
            raise LayerSelectionError(
                f"layers: got call {index + 1} of {self.name!r} in a pass, wanted at most the {len(self.noise)} calls "
                "that were observed, because their noise differs; give these calls the same noise, or noisify again "
                "with inputs for which the network calls this layer equally often"
            )
        return self.noise[index]

    @not_compiled_alone
    def _noise_of_run(self, output: object) -> Noise | None:
        """Return the noise of a call in uncompiled code, None if the noise is off; a second run repeats the first.

        Raises
        ------
        LayerSelectionError
            As `next_noise` and `RecomputedCalls.recall`; or calls differ in their noise, and a backward pass runs the
            layer again outside of torch.utils.checkpoint and of autograd functions.
        ValueError
            As `running_passes`.
        """
        passes = running_passes()
        signal = find_tensor(output) if passes.functions or passes.is_function else None
        device = None if signal is None else signal.device
        if passes.second_run is not None:
            noise: Noise | None = self._recomputed.recall(self.name, passes, device)
        elif in_backward_pass() and not self.is_uniform:
            raise LayerSelectionError(
                f"layers: got {self.name!r}, whose calls differ in their noise, in a backward pass, wanted checkpoints "
                "made by torch.utils.checkpoint; noisify again with the same sigma for all its calls"
            )
        elif self.switch.is_off and not self.switch.counts.passes:
            noise = None
        else:
            noise = self.next_noise()
            if self.switch.is_off:
                noise = None
        self._recomputed.remember(passes, noise, device)
        return noise
