"""Readouts: fixed linear views of a layer, behind which the noise is Gaussian with a known covariance.

For a matrix A, A^T T = A^T S + A^T Z with A^T Z ~ N(0, A^T Sigma A), so I(X; A^T T) is measured as I(X;T) is, and is at
most I(X;T).
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits._base import LayerSelectionError, check_count
from layerbits.networks.noise.gaussian import GaussianNoise
from layerbits.networks.passes.measured_network import MeasuredNetwork

_POSITIONS = {"first": 0, "last": -1}


@dataclasses.dataclass(frozen=True)
class UnitView:
    """A linear view of the units of a layer: the mean over some of their axes, or the units at one position of an axis.

    Attributes
    ----------
    units : tuple of int
        Shape of the signal of one input.
    axes : tuple of int
        Axes of the units that the view removes, from 0.
    position : int or None
        Position along the one axis; None for the mean over the axes.
    """

    units: tuple[int, ...]
    axes: tuple[int, ...]
    position: int | None

    def __call__(self, signals: Tensor) -> Tensor:
        """Return the values (..., k) of signals (..., d)."""
        leading = signals.ndim - 1
        values, axes = signals.reshape(*signals.shape[:-1], *self.units), [leading + axis for axis in self.axes]
        values = values.mean(axes) if self.position is None else values.select(axes[0], self.position)
        return values.flatten(leading)

    def noise(self, layer: str, noise: GaussianNoise) -> GaussianNoise:
        """Return the noise of the values, from that of a layer.

        Raises
        ------
        ValueError
            The noise has another number of units than the layer.
        """
        n_averaged = math.prod(self.units[axis] for axis in self.axes) if self.position is None else 1
        scale = noise.scale
        if not isinstance(scale, Tensor):
            return GaussianNoise(scale / math.sqrt(n_averaged))
        if len(scale) != math.prod(self.units):
            raise ValueError(
                f"sigma: got noise of {len(scale)} units for {layer!r}, wanted {math.prod(self.units)}, one for each "
                f"unit of shape {self.units}"
            )
        if scale.ndim == 1:
            largest = scale.max()  # the square of a tiny deviation would be 0
            return GaussianNoise(largest * (self((scale / largest).square()) / n_averaged).sqrt())
        # With covariance F F^T and A^T F = (Q R)^T: A^T F F^T A = R^T R.
        triangle = torch.linalg.qr(self(scale.mT), mode="r").R
        return GaussianNoise(triangle.mT * triangle.diagonal().sign())


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A readout of the tokens of a layer: their mean, or the value of one of them.

    Parameters
    ----------
    which : {"mean", "first", "last"} or int
        The mean over the tokens, or a position among them; negative numbers count from the end. With padded tokens the
        mean includes the padding, and the last one may be padding.
    axis : int, optional
        Axis of the tokens, from 1; the inputs are axis 0, wherever the layer has them. By default axis 1 of (n, L, d),
        and signals of another number of axes are refused.

    Raises
    ------
    TypeError, ValueError
        An argument has another type or value than wanted.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model, inputs = torch.nn.Sequential(torch.nn.Tanh()), torch.randn(10, 4, 3)
    >>> table = lb.layer_information(model, inputs, sigma=1.0, layers="0", readout=lb.Tokens("mean", axis=2))
    >>> table.rows[0].layer
    '0[mean axis=2]'
    """

    which: str | int
    axis: int | None = None

    def __post_init__(self) -> None:
        is_position = isinstance(self.which, numbers.Integral) and not isinstance(self.which, bool)
        if not is_position and not isinstance(self.which, str):
            raise TypeError(f"readout: got {type(self.which).__name__}, wanted 'mean', 'first', 'last' or a position")
        if isinstance(self.which, str) and self.which != "mean" and self.which not in _POSITIONS:
            raise ValueError(f"readout: got {self.which!r}, wanted 'mean', 'first', 'last' or a position")
        if self.axis is not None:
            check_count("axis", self.axis, minimum=1)

    @property
    def name(self) -> str:
        """Name of the readout in tables."""
        return f"{self.which}" if self.axis is None else f"{self.which} axis={self.axis}"

    def view(self, layer: str, units: tuple[int, ...]) -> UnitView:
        """Return the view of a layer with units of a shape.

        Raises
        ------
        ValueError
            The layer has no such axis or position, or features beside its tokens are missing.
        """
        axis = 1 if self.axis is None else self.axis
        if len(units) < 2 or axis > len(units) or (self.axis is None and len(units) != 2):
            raise ValueError(
                f"readout: got {self.name!r} for {layer!r}, whose signal has shape {_shape(units)}, wanted tokens "
                f"(n, L, d){'' if self.axis is None else f' with an axis {axis}'}; choose other layers, name the axis, "
                'Tokens("mean", axis=...), or take Channels("mean") of a feature map (n, C, ...)'
            )
        if self.which == "mean":
            return UnitView(units, (axis - 1,), None)
        position = _POSITIONS[self.which] if isinstance(self.which, str) else int(self.which)
        n_tokens = units[axis - 1]
        if not -n_tokens <= position < n_tokens:
            raise ValueError(
                f"readout: got position {position} for {layer!r}, whose signal has shape {_shape(units)}, wanted one "
                f"of {n_tokens} tokens"
            )
        return UnitView(units, (axis - 1,), position)


@dataclasses.dataclass(frozen=True)
class Channels:
    """A readout of a feature map: the mean of each channel over all positions, of shape (n, C).

    Parameters
    ----------
    which : {"mean"}
        The mean over the positions of (n, C, L), (n, C, H, W), ...

    Raises
    ------
    ValueError
        `which` has another value.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model, inputs = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU()), torch.randn(10, 1, 8, 8)
    >>> table = lb.layer_information(model, inputs, sigma=1.0, layers="1", readout=lb.Channels("mean"))
    >>> table.rows[0].layer
    '1[channels mean]'
    """

    which: str = "mean"

    def __post_init__(self) -> None:
        if self.which != "mean":
            raise ValueError(f"readout: got Channels({self.which!r}), wanted Channels('mean')")

    @property
    def name(self) -> str:
        """Name of the readout in tables."""
        return f"channels {self.which}"

    def view(self, layer: str, units: tuple[int, ...]) -> UnitView:
        """Return the view of a layer with units of a shape; a ValueError if it is no feature map."""
        if len(units) < 2:
            raise ValueError(
                f"readout: got {self.name!r} for {layer!r}, whose signal has shape {_shape(units)}, wanted a feature "
                "map (n, C, L) or (n, C, H, W); choose other layers"
            )
        return UnitView(units, tuple(range(1, len(units))), None)


# What a user passes as `readout`; None is the whole layer.
Readout = str | int | Tokens | Channels
Readouts = Readout | Sequence[Readout | None] | None


@dataclasses.dataclass(frozen=True)
class LayerPart:
    """What the rows of a table with one name measure: a layer, or a readout of it.

    Attributes
    ----------
    layer : str
        Name of the layer.
    view : UnitView or None
        The readout; None for the whole layer.
    """

    layer: str
    view: UnitView | None = None

    def noise(self, network: MeasuredNetwork) -> GaussianNoise:
        """Return the noise of the part in a network."""
        noise = network.noise[self.layer]
        return noise if self.view is None else self.view.noise(self.layer, noise)


def as_readouts(readout: Readouts) -> tuple[Tokens | Channels | None, ...]:
    """Return the readouts that a user passes, one or a sequence of them; TypeError or ValueError name `readout`."""
    items = list(readout) if isinstance(readout, Sequence) and not isinstance(readout, str) else [readout]
    if not items:
        raise ValueError("readout: got an empty sequence, wanted at least one readout; None is the whole layer")
    readouts = tuple(item if item is None or isinstance(item, Tokens | Channels) else Tokens(item) for item in items)
    names = [None if item is None else item.name for item in readouts]
    if len(set(names)) < len(names):
        raise ValueError(f"readout: got {names}, wanted different readouts")
    return readouts


def layer_parts(
    network: MeasuredNetwork, layers: Sequence[str], readouts: Sequence[Tokens | Channels | None]
) -> dict[str, LayerPart]:
    """Return the readouts of every layer by their names in tables: that of the layer, or ``layer[readout]``.

    Raises
    ------
    LayerSelectionError
        Another layer has such a name.
    ValueError
        A layer has no such readout, or its noise does not fit its units.
    """
    parts: dict[str, LayerPart] = {}
    for layer in layers:
        for readout in readouts:
            name = layer if readout is None else f"{layer}[{readout.name}]"
            view = None if readout is None else readout.view(layer, network.unit_shape(layer))
            if name in parts or (view is not None and name in network.layer_names):
                raise LayerSelectionError(f"layers: got a layer of the name {name!r}, which is that of a readout")
            parts[name] = LayerPart(layer, view)
            parts[name].noise(network)
    return parts


def _shape(units: Sequence[int]) -> str:
    return f"({', '.join(map(str, ('n', *units)))})"
