"""`Probe`: passes of a few chosen rows through a network, without noise, that record the signals of layers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits.networks.execution.generators import GeneratorUse, generators_restored
from layerbits.networks.execution.live_memory import LiveMemory
from layerbits.networks.execution.other_generators import OtherGenerators
from layerbits.networks.passes.measured_network import EndOfPass, MeasuredNetwork

# Seed of the network's own random numbers in all probing passes, so that passes of equal rows are equal. A network is
# unlikely to set this seed itself.
PROBING_SEED = 7_346_019_283

# Number of inputs that are compared with the first.
_COMPARED_INPUTS = 1000


class Probe:
    """Probing passes of a network, each of which ends when all of `layers` have run.

    Attributes
    ----------
    network : MeasuredNetwork
        The network.
    inputs : sequence of Tensor of shape (n, ...)
        The inputs of the measurement.
    layers : sequence of str
        Names of the layers.
    generators : GeneratorUse
        Use of torch's generators in the last pass.
    n_passes, n_with_other_generators : int
        Number of passes so far, and of those in which a generator of Python or NumPy moved.
    n_seeded_passes, n_with_seeds : int
        Number of passes that begin with the seed of torch's global generators, and of those in which their states
        changed without an operator that uses them.
    """

    def __init__(self, network: MeasuredNetwork, inputs: Sequence[Tensor], layers: Sequence[str]) -> None:
        self.network, self.inputs, self.layers = network, inputs, layers
        self.generators = GeneratorUse(set())
        self.n_passes = self.n_with_other_generators = self.n_seeded_passes = self.n_with_seeds = 0
        self._wanted = set(layers)
        self._other_generators = OtherGenerators(network.module)
        self._other_input = _other_input(inputs)

    def rows(self, rows: Sequence[int]) -> list[Tensor]:
        """Return a batch of row 0, the first input, and row 1, the first input that differs from it."""
        return [tensor[[self._other_input * row for row in rows]] for tensor in self.inputs]

    def run(self, batch: Sequence[Tensor], memory: LiveMemory | None = None) -> dict[str, Tensor]:
        """Run a pass and return the signals by layer. If `memory` is given, it records the memory of the pass."""
        signals: dict[str, Tensor] = {}

        def keep(index: int, signal: Tensor) -> Tensor:
            with contextlib.nullcontext() if memory is None else memory.paused():
                signals[self.network.layer_names[index]] = signal.clone()
            if signals.keys() >= self._wanted:
                raise EndOfPass
            return signal

        self._other_generators.have_changed()
        # Without need, the generators are left alone: another thread may use them.
        at_start = self.generators.changed
        with (
            generators_restored(self.network.module, PROBING_SEED, at_start=at_start) as self.generators,
            memory or contextlib.nullcontext(),
        ):
            self.network.run(keep, batch)
        self.n_passes += 1
        self.n_with_other_generators += self._other_generators.have_changed()
        self.n_seeded_passes += at_start
        self.n_with_seeds += at_start and self.generators.sets_seed
        if self.generators.changed or self.generators.given:
            self.network.uses_random_numbers = True
        return signals


def are_close(signals: Tensor, others: Tensor) -> bool:
    """Return whether signals agree up to the rounding of passes that use other kernels.

    Matrix products of other sizes round otherwise, and later layers may amplify that, so half of the digits count.
    """
    left, right = signals.detach().double(), others.detach().double()
    if not left.numel():
        return True
    tolerance = math.sqrt(torch.finfo(signals.dtype).eps) * float(left.abs().max())
    # NaN in the same places counts as equal: the measurement itself refuses NaN, by the name of the layer.
    return torch.allclose(left, right, rtol=0, atol=tolerance, equal_nan=True)


def _other_input(inputs: Sequence[Tensor]) -> int:
    """Return the position of the first input that differs from input 0; if none does, of the last compared input."""
    differs = [
        (tensor[:_COMPARED_INPUTS] != tensor[:1]).reshape(min(len(tensor), _COMPARED_INPUTS), -1).any(1)
        for tensor in inputs
    ]
    position = int(torch.stack([values.to(differs[0].device) for values in differs]).any(0).int().argmax())
    return position or min(len(inputs[0]), _COMPARED_INPUTS) - 1
