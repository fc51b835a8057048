"""Linear views of the units of a layer, and the noise behind them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits.networks.noise.gaussian import GaussianNoise


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
        Position along the only axis in `axes`; None for the mean over the axes.
    """

    units: tuple[int, ...]
    axes: tuple[int, ...]
    position: int | None

    def __call__(self, signals: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return the values (..., k) of signals (..., d); `rows` has no effect."""
        leading = signals.ndim - 1
        values, axes = signals.reshape(*signals.shape[:-1], *self.units), [leading + axis for axis in self.axes]
        values = values.mean(axes) if self.position is None else values.select(axes[0], self.position)
        return values.flatten(leading)

    def noise(self, layer: str, noise: GaussianNoise) -> GaussianNoise:
        """Return the noise of the values, from the noise of the layer.

        Raises
        ------
        ValueError
            The noise has another number of units than the layer.
        """
        n_averaged = math.prod(self.units[axis] for axis in self.axes) if self.position is None else 1
        scale = noise.scale
        if not isinstance(scale, Tensor):
            return GaussianNoise(scale / math.sqrt(n_averaged))
        _check_units(layer, scale, self.units)
        if scale.ndim == 1:
            return GaussianNoise((self(scale.square()) / n_averaged).sqrt())
        # With covariance F F^T and F^T A = Q R: A^T F F^T A = R^T R. The signs make the diagonal of R^T positive.
        triangle = torch.linalg.qr(self(scale.mT), mode="r").R
        return GaussianNoise(triangle.mT * triangle.diagonal().sign())


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedView:
    """A linear view that differs by input: the mean over m tokens of each input, which have positions of their own.

    Attributes
    ----------
    units : tuple of int
        Shape of the signal of one input.
    axis : int
        Axis of the tokens among the axes of the units, from 0.
    positions : integer Tensor of shape (n, m)
        Positions of the m tokens of each of the n inputs.
    """

    units: tuple[int, ...]
    axis: int
    positions: Tensor

    @classmethod
    def of(cls, units: tuple[int, ...], axis: int, which: str, kept: Tensor) -> MaskedView:
        """Return the view of the first or the last token, or of all tokens, that a mask (n, L) keeps.

        `which` is "first", "last" or "mean".

        Raises
        ------
        ValueError
            An input keeps no token; `which` is "mean", and inputs keep different numbers of tokens.
        """
        counts = kept.sum(1)
        if not counts.all():
            raise ValueError(
                f"readout: got a mask that keeps no token of input {int(counts.argmin())}, wanted at least one token "
                "of every input; leave those inputs out"
            )
        if which == "mean":
            if counts.min() != counts.max():
                raise ValueError(
                    f"readout: got a mask that keeps {int(counts.min())} to {int(counts.max())} tokens, wanted equally "
                    "many of every input: the noise of a mean over fewer tokens is larger; read out the first or the "
                    "last kept token"
                )
            return cls(units, axis, kept.nonzero()[:, 1].reshape(len(kept), -1))
        tokens = torch.arange(kept.shape[1], device=kept.device).expand_as(kept)
        if which == "first":
            return cls(units, axis, tokens.where(kept, kept.shape[1]).amin(1, keepdim=True))
        return cls(units, axis, tokens.where(kept, -1).amax(1, keepdim=True))

    def __call__(self, signals: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return the values (draws, rows, k) of signals (draws, rows, d); the inputs `rows` have these signals."""
        positions = self.positions[rows].to(signals.device)
        tokens = signals.reshape(*signals.shape[:2], *self.units).movedim(2 + self.axis, 2)
        kept = tokens[:, torch.arange(len(positions), device=signals.device)[:, None], positions]
        return kept.mean(2).flatten(2)

    def noise(self, layer: str, noise: GaussianNoise) -> GaussianNoise:
        """Return the noise of the values, from the noise of the layer.

        Raises
        ------
        ValueError
            The noise has another number of units than the layer, differs by token, or has a covariance.
        """
        n_averaged, scale = self.positions.shape[1], noise.scale
        if not isinstance(scale, Tensor):
            return GaussianNoise(scale / math.sqrt(n_averaged))
        _check_units(layer, scale, self.units)
        by_token = scale.reshape(self.units).movedim(self.axis, 0) if scale.ndim == 1 else None
        if by_token is None or not torch.equal(by_token, by_token[:1].expand_as(by_token)):
            raise ValueError(
                f"sigma: got {noise} for {layer!r}, wanted a number, or the same deviations for every token: under a "
                "mask, the noise of a readout would differ by input"
            )
        return GaussianNoise(by_token[0].flatten() / math.sqrt(n_averaged))


def _check_units(layer: str, scale: Tensor, units: Sequence[int]) -> None:
    if len(scale) != math.prod(units):
        raise ValueError(
            f"sigma: got noise of {len(scale)} units for {layer!r}, wanted {math.prod(units)}, one for each unit of "
            f"shape {tuple(units)}"
        )
