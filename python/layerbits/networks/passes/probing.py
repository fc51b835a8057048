"""`Probe`: passes of a few chosen rows through a network, without noise, that record the signals of layers."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits.networks.execution.generators import GeneratorUse, generators_restored
from layerbits.networks.execution.live_memory import LiveMemory
from layerbits.networks.execution.other_generators import OtherGenerators
from layerbits.networks.execution.weights import WeightSums
from layerbits.networks.passes.end_of_pass import EndOfPass
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.random_calls import RandomCallRecord, RandomCallReplay

# Seed of the network's own random numbers in all probing passes, so that passes of equal rows are equal. Networks set
# smaller seeds, as a rule, so a network that sets a seed in each pass is found.
PROBING_SEED = 7_346_019_283

# The rows of the probing passes, as in `Probe.rows`: 0 is the first input, 1 another input. Then `ROWS` with one row
# replaced, by the position of that row.
ROWS, FEWER_ROWS = (0, 1, 0), (0, 1)
REPLACED_ROWS = {0: (1, 1, 0), 1: (0, 0, 0), 2: (0, 1, 1)}

# Number of inputs that are compared with the first: all of a large data set would be read for nothing.
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
    shapes : dict of str to tuple of int
        Shape of the signal of each layer that ran in the last pass.
    n_passes, n_with_other_generators : int
        Number of passes so far, and of those in which the state of a generator of Python or NumPy changed.
    n_seeded_passes, n_with_seeds : int
        Number of passes that begin with the seed of torch's global generators, and of those in which their states
        changed without an operator that uses them.
    random_calls : RandomCallRecord or None
        The random calls of the network in a pass of three rows, once they are known.
    weights : WeightSums
        The parameters before the first pass. Passes may differ because another thread trains the network meanwhile.
    """

    def __init__(self, network: MeasuredNetwork, inputs: Sequence[Tensor], layers: Sequence[str]) -> None:
        self.network, self.inputs, self.layers = network, inputs, layers
        self.generators = GeneratorUse(set())
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.n_passes = self.n_with_other_generators = self.n_seeded_passes = self.n_with_seeds = 0
        self.random_calls: RandomCallRecord | None = None
        self._replay: RandomCallReplay | None = None
        self.weights = WeightSums(network.module)
        self._wanted = set(layers)
        self._other_generators = OtherGenerators(network.module)
        self._other_input = _other_input(inputs)

    def rows(self, rows: Sequence[int]) -> list[Tensor]:
        """Return a batch of row 0, the first input, and row 1, the first input that differs from it."""
        return [tensor[[self._other_input * row for row in rows]] for tensor in self.inputs]

    def run_replaying(
        self,
        batch: Sequence[Tensor],
        recorded_rows: Sequence[int],
        *,
        kept_rows: Sequence[int] | None = None,
        compared: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Run a pass whose rows get the random numbers of recorded rows, if calls are recorded, and return the signals.

        `check_replay` then compares the values that the random calls read, in the rows `compared`, by default in all.
        """
        if self.random_calls is None:
            return self.run(batch, kept_rows=kept_rows)
        with self.random_calls.replay(recorded_rows, compared) as self._replay:
            return self.run(batch, kept_rows=kept_rows)

    def check_replay(self) -> None:
        """Raise a ValueError if the random calls in the last pass of `run_replaying` differ from those recorded."""
        if self._replay is not None:
            self._replay.check(self.weights)

    def run(
        self, batch: Sequence[Tensor], memory: LiveMemory | None = None, kept_rows: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        """Run a pass and return the signals by layer.

        If `memory` is given, it records the memory of the pass. If `kept_rows` are given, only these entries of the
        first axis are returned, where a signal has them; a signal without axes is returned.
        """
        signals: dict[str, Tensor] = {}
        self.shapes = {}

        def keep(index: int, signal: Tensor) -> Tensor:
            layer = self.network.layer_names[index]
            self.shapes[layer] = tuple(signal.shape)
            with contextlib.nullcontext() if memory is None else memory.paused():
                if kept_rows is None or not signal.ndim:
                    signals[layer] = signal.clone()
                else:
                    signals[layer] = signal[[row for row in kept_rows if row < len(signal)]]
            if signals.keys() >= self._wanted:
                raise EndOfPass
            return signal

        self._other_generators.have_changed()
        # The generators get the seed only if the last pass used them, because another thread may use them too.
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


def _other_input(inputs: Sequence[Tensor]) -> int:
    """Return the position of the first input that differs from input 0; if none does, of the last compared input."""
    differs = [
        (tensor[:_COMPARED_INPUTS] != tensor[:1]).reshape(min(len(tensor), _COMPARED_INPUTS), -1).any(1)
        for tensor in inputs
    ]
    position = int(torch.stack([values.to(differs[0].device) for values in differs]).any(0).int().argmax())
    return position or min(len(inputs[0]), _COMPARED_INPUTS) - 1
