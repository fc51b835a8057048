"""Arrays by the name of the layer, as `information` and `sigma_profile` accept them."""

from __future__ import annotations

from collections.abc import Mapping

from layerbits._base import Array


def arrays_by_layer(argument: str, arrays: Array | Mapping[str, Array], unnamed_layer: str) -> Mapping[str, Array]:
    """Return arrays by layer; an array that is in no mapping gets the name `unnamed_layer`.

    Raises
    ------
    TypeError, ValueError
        A key of the mapping is not a str; the mapping is empty. The message names `argument`.
    """
    if not isinstance(arrays, Mapping):
        return {unnamed_layer: arrays}
    if not arrays:
        raise ValueError(f"{argument}: got an empty mapping, wanted at least one layer")
    if not all(isinstance(layer, str) for layer in arrays):
        raise TypeError(f"{argument}: got a mapping with keys that are not str, wanted names of layers")
    return arrays
