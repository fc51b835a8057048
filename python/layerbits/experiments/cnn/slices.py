"""Random slices of a layer of the test images, with noise that exists in the measurement alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from layerbits.estimators import layer_information
from layerbits.experiments.cnn.settings import CnnConfig
from layerbits.networks import RandomSlices

QUANTITIES = ("SI_1(X;T)", "SI_1(T;Y)")


class SlicedInformation(NamedTuple):
    """A row of slices.csv: a quantity of the layer, its estimate and the ends of its 95 % interval, in nats."""

    variant: str
    seed: int
    epoch: int
    layer: str
    quantity: str
    value: float
    lower: float
    upper: float


def sliced_information(
    config: CnnConfig, key: tuple[str, int, int], layer: str, points: Tensor, labels: Tensor
) -> Iterator[SlicedInformation]:
    """Yield SI_1(X;T) and SI_1(T;Y) of the activations (n, d) of a layer; `key` is variant, seed and epoch."""
    table = layer_information(
        nn.Sequential(nn.Identity()),
        points,
        labels,
        sigma=config.slice_sigma,
        layers="0",
        readout=RandomSlices(1, config.frames),
        seed=config.seed,
    )
    for row in table:
        if row.quantity in QUANTITIES:
            yield SlicedInformation(*key, layer, row.quantity, row.value, row.lower, row.upper)
