"""`LargePass`: rows may act on one another only in passes of more rows than the probing passes have."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from layerbits.networks.execution.weights import WeightSums
from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.passes.batch_effects import refuse_interaction
from layerbits.networks.passes.measured_network import Channel, EndOfPass, MeasuredNetwork

# Largest number of rows of a probing pass.
_PROBED_ROWS = 16

# Number of rows of a pass that repeats rows of the large one. Networks that drop an axis of length 1 fail with one row.
_SMALL = 2

# The rows of a large pass that are compared: in a network of a limited capacity, the last rows differ.
_COMPARED = [0, 1, -2, -1]


class LargePass:
    """A channel that keeps the first and the last rows of a pass of many rows, to compare them with small passes.

    All layers of the pass are compared: the small passes go on with the noisy values of the large one, so a layer shows
    only the interaction behind the layers before it.

    Parameters
    ----------
    network : MeasuredNetwork
        The network.
    channel : Channel
        The channel of the pass.
    """

    def __init__(self, network: MeasuredNetwork, channel: Channel) -> None:
        self._network, self._channel = network, channel
        self._weights = WeightSums(network.module)
        self._signals: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}  # with which the network continues

    def __call__(self, index: int, signal: Tensor) -> Tensor:
        """Pass a signal to the channel, and keep rows of it and of the value that the channel returns."""
        layer = self._network.layer_names[index]
        self._signals[layer] = signal.detach()[_COMPARED]
        value = self._channel(index, signal)
        if value is not signal:
            self._values[layer] = value.detach()[_COMPARED]
        return value

    def compare(self, batch: Sequence[Tensor], n_draws: int) -> None:
        """Compare with two small passes, in which layers emit the noisy values of the large pass.

        `batch` has the inputs of the large pass, whose rows are ordered by draw, then by input.

        Raises
        ------
        ValueError
            The signal of a row depends on the other rows of the pass, and the weights have not changed meanwhile.
        """
        n_inputs = len(batch[0])
        inputs = [range(n_draws * n_inputs)[row] % n_inputs for row in _COMPARED]
        for rows in (slice(_SMALL), slice(_SMALL, None)):
            self._run(rows, [tensor[inputs[rows]] for tensor in batch])

    def _run(self, rows: slice, inputs: Sequence[Tensor]) -> None:
        waiting = set(self._signals)

        def channel(index: int, signal: Tensor) -> Tensor:
            layer = self._network.layer_names[index]
            if layer in waiting:
                waiting.remove(layer)
                if not are_close(self._signals[layer][rows], signal):
                    refuse_interaction(self._weights, layer)
            if not waiting:
                raise EndOfPass
            return self._values[layer][rows] if layer in self._values else signal

        self._network.run(channel, inputs)


def large_pass(network: MeasuredNetwork, channel: Channel, layers: Sequence[str], n_rows: int) -> LargePass | None:
    """Return a pass to compare with small ones; None if it is not larger than passes that were compared before.

    Random numbers of the network itself depend on the number of rows of a pass, so its passes are not compared; neither
    are those with the noise of experts.
    """
    compared = [rows for other_layers, rows in network.compared_passes if other_layers.issuperset(layers)]
    if n_rows <= max([_PROBED_ROWS, *compared]) or network.uses_random_numbers or network.has_routed_noise:
        return None
    network.compared_passes.append((frozenset(layers), n_rows))
    return LargePass(network, channel)
