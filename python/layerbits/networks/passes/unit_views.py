"""Linear views of the units of a layer, and the noise of their values.

Where the noise of a mean differs by input, the mean carries the scale c of its noise as imaginary part
(`layerbits.mixtures.scales_of`). With a `DropoutNoise` and equal numbers of tokens, c is the root mean square of the
tokens. Under a mask that keeps different numbers of tokens, (alpha c)^2 is the variance of the mean minus sigma^2, the
least variance; Gaussian noise then has alpha = 1.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits.networks.noise.dropout import DropoutNoise, Noise, NoiseByInput
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
    with_scales : bool
        Whether means carry the scales of their noise.
    """

    units: tuple[int, ...]
    axes: tuple[int, ...]
    position: int | None
    with_scales: bool = False

    def __call__(self, signals: Tensor, rows: slice | Tensor = slice(None)) -> Tensor:
        """Return the values (..., k) of signals (..., d); `rows` has no effect."""
        values = self._values(signals)
        if not self.with_scales or self.position is not None:
            return values
        return _with_scales(values, self._values(signals.double().square()))

    def _values(self, signals: Tensor) -> Tensor:
        leading = signals.ndim - 1
        values, axes = signals.reshape(*signals.shape[:-1], *self.units), [leading + axis for axis in self.axes]
        values = values.mean(axes) if self.position is None else values.select(axes[0], self.position)
        return values.flatten(leading)

    @property
    def n_averaged(self) -> int:
        """Number of units of the layer of which a value is the mean."""
        return math.prod(self.units[axis] for axis in self.axes) if self.position is None else 1

    def noise(self, layer: str, noise: Noise) -> Noise:
        """Return the noise of the values, from the noise of the layer.

        Raises
        ------
        ValueError
            The noise has another number of units than the layer.
        """
        n_averaged = self.n_averaged
        if isinstance(noise, DropoutNoise) or not isinstance(noise.scale, Tensor):
            return noise.of_mean(n_averaged)
        scale = noise.scale
        check_units(layer, scale, self.units)
        if scale.ndim == 1:
            return GaussianNoise((self(scale.square()) / n_averaged).sqrt())
        # With covariance F F^T and F^T A = Q R: A^T F F^T A = R^T R. The signs make the diagonal of R^T positive.
        triangle = torch.linalg.qr(self(scale.mT), mode="r").R
        return GaussianNoise(triangle.mT * triangle.diagonal().sign())


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedView:
    """A linear view that differs by input: one kept token of each input, or the mean over its kept tokens.

    The mean over m tokens has the noise of a token divided by sqrt(m). Where m differs by input, `noise` has the
    least variance, that of the largest m, and the scale of each input adds the rest of its variance.

    Attributes
    ----------
    units : tuple of int
        Shape of the signal of one input.
    axis : int
        Axis of the tokens among the axes of the units, from 0.
    positions : integer Tensor of shape (n, m)
        Positions of the tokens of each of the n inputs; those of an input with fewer than m tokens are repeated.
    counts : integer Tensor of shape (n,)
        Number of tokens of each input, from 1 to m.
    token_noise : GaussianNoise, DropoutNoise or None
        The noise of a kept token, from which the scales of means are computed; None for values without scales.
    """

    units: tuple[int, ...]
    axis: int
    positions: Tensor
    counts: Tensor
    token_noise: Noise | None = None

    @classmethod
    def of(cls, units: tuple[int, ...], axis: int, which: str, kept: Tensor) -> MaskedView:
        """Return the view of the first or the last token, or of all tokens, that a mask (n, L) keeps.

        `which` is "first", "last" or "mean".

        Raises
        ------
        ValueError
            An input keeps no token.
        """
        counts = kept.sum(1)
        if not counts.all():
            raise ValueError(
                f"readout: got a mask that keeps no token of input {int(counts.argmin())}, wanted at least one token "
                "of every input; leave those inputs out"
            )
        # The kept tokens come first, in their order.
        positions = kept.int().argsort(dim=1, descending=True, stable=True)
        last = (counts - 1)[:, None]
        if which == "mean":
            places = torch.arange(int(counts.max()), device=kept.device).minimum(last)
            return cls(units, axis, positions.gather(1, places), counts)
        place = torch.zeros_like(last) if which == "first" else last
        return cls(units, axis, positions.gather(1, place), torch.ones_like(counts))

    def __call__(self, signals: Tensor, rows: slice | Tensor = slice(None)) -> Tensor:
        """Return the values (draws, rows, k) of signals (draws, rows, d); the inputs `rows` have these signals."""
        values, noise, most_tokens = self._values(signals, rows), self.token_noise, self.positions.shape[1]
        counts = self.counts[rows].to(signals.device)[:, None].double()
        if isinstance(noise, DropoutNoise) and most_tokens > 1:
            shares, squares = most_tokens / counts, self._values(signals.double().square(), rows)
            return _with_scales(values, squares * shares + (noise.sigma / noise.alpha) ** 2 * (shares - 1))
        if isinstance(noise, GaussianNoise) and self.counts_differ:
            variances = torch.as_tensor(noise.scale, dtype=torch.float64, device=signals.device).square()
            squares = variances / counts - noise.least_deviation**2 / most_tokens
            return _with_scales(values, squares.clamp(min=0))  # rounding may make the least square negative
        return values

    def _values(self, signals: Tensor, rows: slice | Tensor) -> Tensor:
        positions, counts = (tensor[rows].to(signals.device) for tensor in (self.positions, self.counts))
        tokens = signals.reshape(*signals.shape[:2], *self.units).movedim(2 + self.axis, 2)
        chosen = tokens[:, torch.arange(len(positions), device=signals.device)[:, None], positions].flatten(3)
        # The repeated tokens are no part of the mean.
        is_kept = torch.arange(positions.shape[1], device=signals.device) < counts[:, None]
        return chosen.where(is_kept[..., None], 0).sum(2) / counts[:, None]

    @functools.cached_property
    def counts_differ(self) -> bool:
        """Whether the inputs have different numbers of tokens."""
        return int(self.counts.min()) < self.positions.shape[1]

    def noise_of_token(self, layer: str, noise: Noise) -> Noise:
        """Return the noise of a kept token, from the noise of the layer.

        Raises
        ------
        ValueError
            The noise has another number of units than the layer, differs by token, or has a covariance.
        """
        if isinstance(noise, DropoutNoise) or not isinstance(noise.scale, Tensor):
            return noise
        scale = noise.scale
        check_units(layer, scale, self.units)
        by_token = scale.reshape(self.units).movedim(self.axis, 0) if scale.ndim == 1 else None
        if by_token is None or not torch.equal(by_token, by_token[:1].expand_as(by_token)):
            raise ValueError(
                f"sigma: got {noise} for {layer!r}, wanted a number, or the same deviations for every token: under a "
                "mask, a readout needs the same noise at every token"
            )
        return GaussianNoise(by_token[0].flatten())

    def noise(self, layer: str, noise: Noise) -> Noise:
        """Return the noise of the values, from the noise of the layer.

        Raises
        ------
        ValueError
            As `noise_of_token`.
        """
        token_noise, most_tokens = self.noise_of_token(layer, noise), self.positions.shape[1]
        if isinstance(token_noise, GaussianNoise) and self.counts_differ:
            return NoiseByInput(1.0, token_noise.least_deviation / math.sqrt(most_tokens))
        return token_noise.of_mean(most_tokens)


def _with_scales(means: Tensor, squares: Tensor) -> Tensor:
    """Return means with the roots of squares as imaginary parts."""
    return torch.complex(means, squares.sqrt().to(means.dtype))


def check_units(layer: str, scale: Tensor, units: Sequence[int]) -> None:
    """Raise a ValueError unless the scale of a noise has an entry for each unit of a layer."""
    if len(scale) != math.prod(units):
        raise ValueError(
            f"sigma: got noise of {len(scale)} units for {layer!r}, wanted {math.prod(units)}, one for each unit of "
            f"shape {tuple(units)}"
        )
