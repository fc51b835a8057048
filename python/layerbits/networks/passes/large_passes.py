"""`LargePass`: compare rows of a pass of many rows with passes of few rows.

Few rows may act on one another, and only in passes of more rows than the probing passes have. So one row in 32 of each
measurement runs again, in passes of such rows alone. If a share f of the rows changes with the
others, n rows in all passes show the change with probability 1 - (1 - f)^(n / 32): .79 for f = 1 % and n = 5,000,
.99 for f = 3 %.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Sequence

from torch import Tensor

from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.passes.end_of_pass import EndOfPass
from layerbits.networks.passes.interaction import refuse_interaction
from layerbits.networks.passes.measured_network import Channel, MeasuredNetwork
from layerbits.networks.passes.random_calls import RandomCall, RandomCallRecord, RandomCallRecorder

# Largest number of rows of a probing pass; those in which rows have random numbers of their own have 3.
_PROBED_ROWS = 16
_PROBED_ROWS_OF_RANDOM = 3

# Number of rows of a pass that repeats rows of the large one. Networks that drop an axis of length 1 fail with one row.
_SMALL_ROWS = 2

# One row in so many runs again in a small pass.
_ROWS_PER_COMPARED = 32

# In a network with random numbers of its own, which distant rows may share, further rows are compared: at most 12, and
# at most this share of the rows of the large pass. Multiples of the golden ratio give their positions.
_FURTHER_ROWS = 12
_FURTHER_SHARE = 1 / 8
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


class LargePass:
    """A channel that keeps some rows of a pass of many rows, to compare them with small passes.

    All layers of the pass are compared: the small passes go on with the noisy values of the large one, so a layer shows
    only the interaction behind the layers before it. The same rows have the same random numbers of the network, which
    `recorder` records in the pass.

    Parameters
    ----------
    network : MeasuredNetwork
        The network.
    channel : Channel
        The channel of the pass.
    n_rows : int
        Number of rows of the pass, at least 3.
    pairs : bool
        Whether the first and the last rows are compared, in passes of two rows.
    sample : sequence of int
        Rows that are compared in a pass of their own.
    """

    def __init__(
        self, network: MeasuredNetwork, channel: Channel, n_rows: int, *, pairs: bool, sample: Sequence[int]
    ) -> None:
        self._network, self._channel, self._n_rows = network, channel, n_rows
        self._signals: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}  # with which the network continues
        # In a network of limited capacity, the last rows change.
        self._rows = [0, 1, n_rows - 2, n_rows - 1] if pairs else []
        self.recorder: RandomCallRecorder | None = None
        if network.random_calls is not None and pairs:
            n_further = min(_FURTHER_ROWS, int(_FURTHER_SHARE * n_rows) // _SMALL_ROWS * _SMALL_ROWS)
            self._rows += _positions(n_rows, range(1, n_further + 1))
        self._n_paired = len(self._rows)
        self._rows += sample
        if network.random_calls is not None:
            # No method of this object: a cycle would keep the recorded signals after the pass.
            part = functools.partial(_call_of_rows, network.random_calls, self._rows, n_rows)
            self.recorder = RandomCallRecorder(part)

    def __call__(self, index: int, signal: Tensor) -> Tensor:
        """Pass a signal to the channel, and keep rows of it and of the value that the channel returns."""
        layer = self._network.layer_names[index]
        if len(signal) != self._n_rows:  # an expert that lost rows to another one, which the channel refuses
            return self._channel(index, signal)
        self._signals[layer] = signal.detach()[self._rows]
        value = self._channel(index, signal)
        if value is not signal:
            self._values[layer] = value.detach()[self._rows]
        return value

    def compare(self, batch: Sequence[Tensor]) -> None:
        """Compare with small passes, in which layers emit the noisy values of the large pass.

        `batch` has the inputs of the large pass, whose rows are ordered by draw, then by input.

        Raises
        ------
        ValueError
            The signal of a row depends on the other rows of the pass, on its place among them, or on random numbers of
            other rows; or the small passes have other random calls. Nothing is raised if the weights have changed.
        """
        ranges = [range(start, start + _SMALL_ROWS) for start in range(0, self._n_paired, _SMALL_ROWS)]
        if len(self._rows) > self._n_paired:
            ranges.append(range(self._n_paired, len(self._rows)))
        for rows in ranges:
            self._run(rows, [tensor[[self._rows[row] % len(tensor) for row in rows]] for tensor in batch])

    def _run(self, rows: range, inputs: Sequence[Tensor]) -> None:
        waiting, positions = set(self._signals), list(rows)

        def channel(index: int, signal: Tensor) -> Tensor:
            layer = self._network.layer_names[index]
            if layer in waiting:
                waiting.remove(layer)
                if not are_close(self._signals[layer][positions], signal):
                    refuse_interaction(self._network.weights, layer, self._cause)
            if not waiting:
                raise EndOfPass
            return self._values[layer][positions] if layer in self._values else signal

        if self._network.random_calls is None or self.recorder is None:
            self._network.run(channel, inputs)
            return
        record = RandomCallRecord(self._network.random_calls.layout, self.recorder.calls, len(self._rows))
        with self._network.own_randomness(0), record.replay(rows) as replay:
            self._network.run(channel, inputs)
        replay.check(self._network.weights)

    @property
    def _cause(self) -> str:
        """The cause of a change in the signal of a row, for the message."""
        if self._network.random_calls is None:
            return "the other rows of"
        return "its place, with other rows, or with random numbers of other rows in"


def _call_of_rows(
    record: RandomCallRecord, rows: Sequence[int], n_rows: int, index: int, call: RandomCall
) -> RandomCall | None:
    """Return the part of call `index` that belongs to some rows of a pass; None behind the layers of the record."""
    return record.layout.rows(index, call, rows, n_rows) if index < len(record.calls) else None


def large_pass(network: MeasuredNetwork, channel: Channel, layers: Sequence[str], n_rows: int) -> LargePass | None:
    """Return the `LargePass` of a pass of `n_rows`; None if no row is to be compared.

    Pairs of rows are compared if the pass has more rows than those compared before, and a sample of rows if fewer than
    one row in 32 have been compared so far.
    Passes with the noise of experts are not compared.
    """
    compared = [rows for other_layers, rows in network.compared_passes if other_layers.issuperset(layers)]
    probed_rows = _PROBED_ROWS if network.random_calls is None else _PROBED_ROWS_OF_RANDOM
    if network.has_routed_noise:
        return None
    pairs = n_rows > max([probed_rows, *compared])
    if pairs:
        network.compared_passes.append((frozenset(layers), n_rows))
    sample = _sample(network, n_rows)
    return LargePass(network, channel, n_rows, pairs=pairs, sample=sample) if pairs or sample else None


def _sample(network: MeasuredNetwork, n_rows: int) -> list[int]:
    """Return the rows to compare in a small pass, so that one row in 32 of all passes so far is compared; or none."""
    network.n_rows_run += n_rows
    first = network.n_rows_compared
    last = min(network.n_rows_run // _ROWS_PER_COMPARED, first + n_rows // _SMALL_ROWS)
    if last - first < _SMALL_ROWS:
        return []
    network.n_rows_compared = last
    return _positions(n_rows, range(first, last))


def _positions(n_rows: int, numbers: range) -> list[int]:
    return [int(n_rows * (_GOLDEN_RATIO * number % 1)) for number in numbers]


def recording_of(large: LargePass | None) -> contextlib.AbstractContextManager[object]:
    """Return a context for a pass, which records the random numbers of the network if they are compared."""
    return contextlib.nullcontext() if large is None or large.recorder is None else large.recorder
