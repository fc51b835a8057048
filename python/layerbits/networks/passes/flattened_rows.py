"""Layers that flatten tokens: a measurement reads signals (n k, ...) of n inputs as (n, k, ...).

The rows of each input must stand together, in the order of the inputs. The rows of experts do not: experts get some of
the tokens, or all tokens in another order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.passes.batch_effects import batches_among_other_rows
from layerbits.networks.passes.measured_network import OBSERVED_ROWS, MeasuredNetwork
from layerbits.networks.passes.probing import FEWER_ROWS, REPLACED_ROWS, ROWS, Probe


def find_flattened_rows(network: MeasuredNetwork, inputs: Sequence[Tensor]) -> None:
    """Find the layers whose signals have k > 1 rows for each input, in the order of the inputs.

    In passes of few rows, the rows of an input must not change with the other inputs, nor with its place. The
    network's attribute `tokens` gets the results. Where the noise of such a layer is known, it becomes the noise of all
    units of an input.
    """
    n_observed = min(OBSERVED_ROWS, len(inputs[0]))
    layers = [
        call.name
        for call in network.calls
        if call.shape and call.shape[0] > n_observed and call.shape[0] % n_observed == 0
    ]
    if not layers:
        return
    with network.taking_unobserved_calls():
        _find(Probe(network, inputs, layers))
    for layer, tokens in network.tokens.items():
        if layer in network.noise:
            network.noise[layer] = network.noise[layer].repeated(tokens)


def _find(probe: Probe) -> None:
    network = probe.network
    signals, fewer = probe.run(probe.rows(ROWS)), probe.run(probe.rows(FEWER_ROWS))
    for layer, signal in signals.items():
        tokens, units = len(signal) // len(ROWS), signal.shape[1:]
        shapes = tuple(tuple(of_pass[layer].shape) for of_pass in (signals, fewer) if layer in of_pass)
        if tokens > 1 and shapes == tuple((tokens * len(rows), *units) for rows in (ROWS, FEWER_ROWS)):
            network.tokens[layer] = tokens
    signals, fewer = (
        {layer: network.by_input(layer, of_pass[layer]) for layer in network.tokens} for of_pass in (signals, fewer)
    )
    rows = range(len(ROWS))
    if not network.uses_random_numbers:
        _keep_equal(network, {layer: signal[[0, 1, 0]] for layer, signal in signals.items()}, signals, rows)
        _keep_equal(network, signals, fewer, range(len(FEWER_ROWS)))
    for position, replaced in REPLACED_ROWS.items():
        kept_rows = [row for row in rows if row != position]
        _keep_equal(network, signals, probe.run(probe.rows(replaced)), kept_rows)
    for batch in batches_among_other_rows(probe):
        others = probe.run(batch, kept_rows=range(len(FEWER_ROWS)))
        _keep_equal(network, signals, others, () if network.uses_random_numbers else range(len(FEWER_ROWS)))


def _keep_equal(
    network: MeasuredNetwork, signals: Mapping[str, Tensor], others: Mapping[str, Tensor], rows: Sequence[int]
) -> None:
    """Delete the layers from `tokens` that lack a signal in a pass, or whose signals of equal rows differ in it."""
    for layer in list(network.tokens):
        shape = signals[layer].shape[1:]
        is_equal = layer in others and others[layer].shape[1:] == shape
        if not is_equal or not are_close(signals[layer][list(rows)], others[layer][list(rows)]):
            del network.tokens[layer]
