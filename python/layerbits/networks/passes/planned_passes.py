"""`Passes`: which noisy passes to run and what to record of them, and their division into single passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from torch import Tensor

from layerbits.kernels import ALONE, Processes
from layerbits.networks.noise.dropout import Noise
from layerbits.networks.passes.layer_parts import LayerPart
from layerbits.networks.passes.measured_network import MeasuredNetwork

# Least number of draws of a pass, unless it has fewer draws or rows: each thread fills the noise of whole draws.
_DRAWS_PER_PASS = 32

# Maps the signals (draws, rows, d) of a layer in a pass to the values that are recorded, (draws, rows, k).
View = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Passes:
    """Noisy passes of every input, and the layers or readouts that they record.

    Attributes
    ----------
    layers : tuple of str
        Names of the layers, or of the readouts in `parts`, to record, in the order of the data.
    draws : range
        Numbers of the draws; each draw has its own noise.
    seed : int or None
        Seed of the noise; None for passes without noise.
    rows : int, optional
        Largest number of rows of a pass; rows = inputs x draws in the pass.
    emitted : mapping of str to Tensor of shape (n, d)
        Values that layers emit in every draw, in place of signal plus noise; ignored in passes without noise.
    views : mapping of str to View
        The view of the signal, or of the values of the readout, that is recorded for a name.
    parts : mapping of str to LayerPart
        The layer and the readout of a name; a name without an entry is that of a layer.
    columns : mapping of str to int
        Number of draws in the tensor of a name, in which draw k has index k. Draws from this number on are not
        recorded but compared with draw 0. The tensor of a name without an entry has the draws of `draws` alone.
    keeps_half : bool
        Whether signals in half precision without a readout or a view stay so; by default they are recorded in float32.
    checks_float : bool
        Whether noise that float32 or float64 does not resolve is refused, as in half precision.
    processes : Processes
        Processes that share the passes, and all get the signals.
    """

    layers: tuple[str, ...]
    draws: range
    seed: int | None
    rows: int | None = None
    emitted: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    views: Mapping[str, View] = dataclasses.field(default_factory=dict)
    columns: Mapping[str, int] = dataclasses.field(default_factory=dict)
    keeps_half: bool = False
    parts: Mapping[str, LayerPart] = dataclasses.field(default_factory=dict)
    checks_float: bool = True
    processes: Processes = ALONE

    def layer(self, name: str) -> str:
        """Return the layer of a name in `layers`."""
        return self.parts[name].layer if name in self.parts else name

    def noise(self, network: MeasuredNetwork, name: str) -> Noise:
        """Return the noise of a name in `layers`."""
        return self.parts[name].noise(network) if name in self.parts else network.noise[name]


@dataclasses.dataclass(frozen=True)
class Pass:
    """A pass of some draws of successive inputs, from input `start` on; rows are ordered by draw, then by input."""

    draws: range
    start: int
    rows: int


class PlannedPasses:
    """The passes, of at most `rows` rows, of all draws of all inputs, in order; there may be too many for a list."""

    def __init__(self, n_inputs: int, draws: range, rows: int) -> None:
        self._n_inputs, self._draws, self._rows = n_inputs, draws, rows
        self._block = min(len(draws), rows, max(_DRAWS_PER_PASS, rows // n_inputs))  # draws of a pass
        self._full_blocks, last = divmod(len(draws), self._block)  # the last block may have fewer draws
        self._per_block = -(-n_inputs // (rows // self._block))  # rounded up
        self._of_last = -(-n_inputs // (rows // last)) if last else 0

    def __len__(self) -> int:
        return self._full_blocks * self._per_block + self._of_last

    def __getitem__(self, number: int) -> Pass:
        if not 0 <= number < len(self):
            raise IndexError(f"pass {number} of {len(self)}")
        block = min(number // self._per_block, self._full_blocks)
        draws = self._draws[block * self._block : (block + 1) * self._block]
        size = self._rows // len(draws)
        start = (number - block * self._per_block) * size
        return Pass(draws, start, min(size, self._n_inputs - start))
