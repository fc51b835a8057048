"""The forward hook that adds the noise of a layer, T = S + Z.

The noise of an ordinary pass comes from torch's own generators, as that of dropout does. So whatever handles dropout
handles the noise: activation checkpointing, compilation, `torch.func.vmap`, saved states of the generators.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.checkpointing import RecomputedCalls, in_backward_pass, running_passes
from layerbits.networks.execution.compilation import not_compiled_alone
from layerbits.networks.execution.output_tensor import replace_tensor, signal_of
from layerbits.networks.noise.dropout import Noise
from layerbits.networks.noise.hooks import NoiseHook
from layerbits.networks.noise.normal_values import standard_normal
from layerbits.networks.noise.resolution import resolved
from layerbits.networks.noise.switch import NoiseSwitch


class AddNoise(NoiseHook):
    """The forward hook of a noisy module, or the hook of a noisy function (`EnterFunctions`).

    Attributes
    ----------
    switch : NoiseSwitch
        The switch of the network.
    name : str
        Name of the module, or of the function with the name of the module that calls it.
    noise : tuple of GaussianNoise, DropoutNoise or None
        Noise of each call of the module in a pass, None for a call without noise. If all calls have the same noise,
        they are not counted, and a pass may have any number of them.
    positions : tuple of int
        Position of each call among all calls of the network in a pass.
    """

    def __init__(
        self, switch: NoiseSwitch, name: str, noise: tuple[Noise | None, ...], positions: tuple[int, ...]
    ) -> None:
        super().__init__(switch)
        self.name, self.noise, self.positions = name, noise, positions
        self._recomputed = RecomputedCalls()

    @property
    def is_uniform(self) -> bool:
        """Whether all calls have the same noise."""
        return all(noise is self.noise[0] for noise in self.noise)

    def is_noisy_call(self, number: int) -> bool:
        """Return whether call `number` (from 1) of a pass has noise."""
        # An enclosing network may call the noisy network several times: `number` then exceeds the observed calls.
        return self.noise[0 if self.is_uniform else (number - 1) % len(self.noise)] is not None

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> object:
        """Return the output of a call with its noise."""
        noise = self.next_noise() if torch.compiler.is_compiling() else self._noise_of_run()
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
        """Count a call, if calls differ, and return its noise.

        Raises
        ------
        LayerSelectionError
            The pass has more calls than were observed.
        """
        if self.is_uniform:
            return self.noise[0]
        calls = self.switch.counts.calls
        index = calls.get(self.name, 0)
        calls[self.name] = index + 1
        if index >= len(self.noise):
            raise LayerSelectionError(
                f"layers: got call {index + 1} of {self.name!r}, of which {len(self.noise)} calls were observed and "
                "have noise that differs; call the whole network, or noisify again with inputs= for which the network "
                "calls this layer equally often"
            )
        return self.noise[index]

    @not_compiled_alone
    def _noise_of_run(self) -> Noise | None:
        """Return the noise of a call, which is None if the noise is off."""
        passes = running_passes()
        if passes.second_run is not None:
            noise: Noise | None = self._recomputed.recall(self.name, passes)
        elif in_backward_pass() and not self.is_uniform:
            raise LayerSelectionError(
                f"layers: got {self.name!r}, whose calls have noise that differs, in a backward pass, wanted "
                "checkpoints made by torch.utils.checkpoint; give all its calls the same sigma"
            )
        else:
            noise = self.next_noise()
            if self.switch.is_off:
                noise = None
        self._recomputed.remember(passes, noise)
        return noise
