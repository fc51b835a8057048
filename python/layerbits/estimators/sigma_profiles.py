"""Profiles over sigma: the information that activations without noise keep when noise is added to them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from layerbits._base import Array, Integers, check_confidence, check_count, check_positive
from layerbits.estimators.audits import MARGIN, SATURATED
from layerbits.kernels import NormalStream, RandomStream, as_floats
from layerbits.mixtures import ChannelEstimate, KnownChannel, affine_coordinates, common_noise_surprisals
from layerbits.statistics import Interval, class_numbers

if TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(frozen=True)
class SigmaRow:
    """A quantity of a layer at one sigma.

    Attributes
    ----------
    layer : str
        Name of the layer; empty if there is a single, unnamed layer.
    sigma : float
        Standard deviation of the noise.
    quantity : str
        ``"I(X;T)"``, ``"I(T;Y)"`` or ``"I(X;T|Y)"``.
    value, standard_error : float
        Point estimate and its standard error, in `unit`.
    lower, upper : float
        Confidence interval, in `unit`.
    unit : str
        ``"nats"`` or ``"bits"``.
    note : str
        Notes of the audits; empty if there are none.
    """

    layer: str
    sigma: float
    quantity: str
    value: float
    standard_error: float
    lower: float
    upper: float
    unit: str = "nats"
    note: str = ""

    @property
    def bits(self) -> SigmaRow:
        """The same row in bits."""
        if self.unit == "bits":
            return self
        scaled = {name: getattr(self, name) / math.log(2) for name in ("value", "standard_error", "lower", "upper")}
        return dataclasses.replace(self, unit="bits", **scaled)


@dataclasses.dataclass(frozen=True)
class SigmaProfile:
    """Information by layer, sigma and quantity, in the order of the arguments of `sigma_profile`."""

    rows: tuple[SigmaRow, ...]

    def __iter__(self) -> Iterator[SigmaRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bits(self) -> SigmaProfile:
        """The same profile in bits."""
        return SigmaProfile(tuple(row.bits for row in self.rows))

    def to_pandas(self) -> pandas.DataFrame:
        """Return a `pandas.DataFrame` with a column for each field of a row (pandas is in the extra `experiments`)."""
        import pandas  # an optional dependency of this method alone

        columns = [field.name for field in dataclasses.fields(SigmaRow)]
        return pandas.DataFrame([dataclasses.astuple(row) for row in self.rows], columns=columns)

    def __str__(self) -> str:
        width = max((len(row.layer) for row in self.rows), default=0)
        return "\n".join(
            f"{row.layer:<{width}}  {row.sigma:8.4g}  {row.quantity:<8}  {row.value:9.4f} {row.unit} "
            f"({row.lower:.4f} to {row.upper:.4f})" + (f"  ({row.note})" if row.note else "")
            for row in self.rows
        )


def sigma_profile(
    activations: Array | Mapping[str, Array],
    sigmas: Iterable[float],
    *,
    labels: Array | None = None,
    queries: int = 4,
    confidence: float = 0.95,
    seed: int = 0,
) -> SigmaProfile:
    """Estimate I(X; S + sigma Z), in nats, for activations S of a network without noise and each of several sigmas.

    Parameters
    ----------
    activations : tensor or array of shape (n, ...), or a mapping of layer names to tensors or arrays
        The value of S at each of the N = n values of X, flattened; ``layer_activations(model, inputs)`` returns them.
    sigmas : iterable of float
        Standard deviations of the noise, in any order.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, a function of X; adds I(T;Y) and I(X;T|Y).
    queries : int
        Queries T of each input, at least 2.
    confidence : float
        Level of each interval.
    seed : int
        Seed of the noise. Z is the same for all sigmas, so that profiles are smooth.

    Returns
    -------
    SigmaProfile
        A row for each layer, sigma and quantity. Notes name saturation at log N, and an information that rises with
        sigma by more than its error, which theory rules out.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, shape or value than wanted; activations are not finite.

    Notes
    -----
    The density p(t|x) is known, so intervals hold for any number of inputs and queries (`layerbits.statistics`). The
    lower end is a bet on a decoder (Barber and Agakov, The IM Algorithm, 2003). Up to some 120 dimensions, or with few
    sigmas, each sigma has its own sums over pairs of a query and a center; otherwise two numbers for each pair serve
    all sigmas.

    Examples
    --------
    >>> import torch, layerbits
    >>> row, = layerbits.sigma_profile(torch.tensor([[-1.0], [1.0]]), [0.5], queries=1000)
    >>> row.lower <= 0.63272 <= row.upper
    True
    """
    layers = activations if isinstance(activations, Mapping) else {"": activations}
    if not all(isinstance(name, str) for name in layers):
        raise TypeError("activations: got a mapping with keys that are not str, wanted names of layers")
    if not layers:
        raise ValueError("activations: got an empty mapping, wanted at least one layer")
    points = {layer: _as_points(layer, array) for layer, array in layers.items()}
    if not isinstance(sigmas, Iterable):
        raise TypeError(
            f"sigmas: got {type(sigmas).__name__}, wanted positive numbers, for instance np.geomspace(0.01, 1)"
        )
    sigmas = [check_positive("sigmas", sigma.item() if isinstance(sigma, Tensor) else sigma) for sigma in sigmas]
    if not sigmas:
        raise ValueError("sigmas: got none, wanted at least one")
    check_count("queries", queries, minimum=2)
    risk = (1 - check_confidence(confidence)) / 2
    check_count("seed", seed, minimum=0)
    classes = [None if labels is None else class_numbers(labels, len(centers)) for centers in points.values()]
    rows: list[SigmaRow] = []
    for index, (layer, centers) in enumerate(points.items()):
        channels = _channels(centers, classes[index], sigmas)
        stream = NormalStream(seed, RandomStream.PROFILE_QUERIES, index)
        estimates = _estimates(channels, queries, stream, risk)
        rows += _audited(_rows(layer, sigmas, estimates), math.log(len(centers)))
    return SigmaProfile(tuple(rows))


def _channels(points: Tensor, classes: Integers | None, sigmas: Sequence[float]) -> list[KnownChannel]:
    """Return a channel for each sigma; they share centers, reduced in dimension and sorted by class."""
    centers = affine_coordinates(points, min(sigmas))[0]
    if classes is not None:
        order = classes.argsort(kind="stable")
        centers, classes = centers[order], classes[order]
    return [KnownChannel(centers, sigma, classes) for sigma in sigmas]


def _estimates(
    channels: Sequence[KnownChannel], queries: int, stream: NormalStream, risk: float
) -> list[dict[str, ChannelEstimate]]:
    """Estimate every information of each channel; each end of an interval is wrong with at most this risk."""
    noise = stream.like(channels[0].centers[:, None].expand(-1, queries, -1))
    surprisals, lower_bounds = common_noise_surprisals(channels, noise)
    return [
        channel.estimates_at(by_condition, risk, Interval(lower_bound, math.inf))
        for channel, by_condition, lower_bound in zip(channels, surprisals, lower_bounds.tolist(), strict=True)
    ]


def _rows(layer: str, sigmas: Sequence[float], estimates: Sequence[Mapping[str, ChannelEstimate]]) -> list[SigmaRow]:
    return [
        SigmaRow(
            layer=layer,
            sigma=sigma,
            quantity=quantity,
            value=estimate.value,
            standard_error=estimate.standard_error,
            lower=estimate.interval.lower,
            upper=estimate.interval.upper,
        )
        for sigma, by_quantity in zip(sigmas, estimates, strict=True)
        for quantity, estimate in by_quantity.items()
    ]


def _audited(rows: Sequence[SigmaRow], log_n: float) -> list[SigmaRow]:
    """Return the rows of a layer with notes on saturation and on violations of theory by more than the error."""
    audited = []
    for row in rows:
        noisier_rows = [other for other in rows if other.quantity == row.quantity and other.sigma > row.sigma]
        notes = [
            f"below that at sigma = {noisier.sigma:g}: raise queries"
            for noisier in noisier_rows
            if noisier.lower > row.upper
        ]
        if row.quantity == "I(X;T)" and row.value >= log_n - MARGIN:
            notes.append(SATURATED)
        audited.append(dataclasses.replace(row, note="; ".join(notes)))
    return audited


def _as_points(layer: str, activations: Array) -> Tensor:
    """Return the activations of a layer as a float64 tensor (n, d)."""
    name = f"activations of layer {layer!r}" if layer else "activations"
    points = as_floats(name, activations).detach()
    if points.ndim == 0 or points.numel() == 0:
        raise ValueError(f"{name}: got shape {tuple(points.shape)}, wanted (n, ...) with n >= 1")
    if not points.isfinite().all():
        raise ValueError(f"{name}: got NaN or infinity, wanted finite numbers")
    return points.double().reshape(len(points), -1)
