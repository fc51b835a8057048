"""The reduction of dimension: a mixture with isotropic noise lives where its centers do.

Centers in a k-dimensional affine subspace of R^d give T = (T inside, T across) with T across pure noise, so that
I(S;T) is that of the k coordinates inside, and h(T) theirs plus (d - k)/2 log(2 pi e sigma^2). k <= n - 1 always, which
makes wide layers possible. Of centers that lie near the subspace, the rest is bounded: see `Subspace.coordinates`.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

# What leaving a direction out may cost in all, in nats: below what any estimate here can resolve.
NEGLIGIBLE = 1e-7


@dataclasses.dataclass(frozen=True)
class Subspace:
    """An affine subspace of R^d.

    Attributes
    ----------
    origin : Tensor of shape (d,)
        Noise added far from zero would be rounded to the grid of its place.
    directions : Tensor of shape (d, k) or None
        Orthonormal, of the dtype in which points are projected; None keeps the axes.
    """

    origin: Tensor
    directions: Tensor | None

    def coordinates(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return coordinates (..., k) of points (..., d), in their dtype, and their squared distances (...) from it.

        With S across the part of S that is left out, I(S;T) exceeds the information of the coordinates by at most
        E|S across|^2 / (2 sigma^2): by the chain rule, that is I(S; T across | T inside) <= h(T across) - h(Z across),
        and no law of its power has more entropy than a Gaussian, sum_k log(1 + power_k / sigma^2) / 2.
        """
        shifted = points.to(self.origin.dtype) - self.origin
        if self.directions is None:
            return shifted.to(points.dtype), shifted.new_zeros(shifted.shape[:-1])
        inside = shifted @ self.directions
        across = (shifted.square().sum(-1) - inside.square().sum(-1)).clamp(min=0)
        return inside.to(points.dtype), across

    def to(self, dtype: torch.dtype) -> Subspace:
        """Return it in a dtype in which points are to be projected."""
        return Subspace(self.origin.to(dtype), None if self.directions is None else self.directions.to(dtype))


def fit_subspace(centers: Tensor, sigma: float, *, most: int | None = None, cost: float = NEGLIGIBLE) -> Subspace:
    """Return the smallest affine subspace that finite centers (n, d) leave at a cost in nats of `NEGLIGIBLE`.

    Only where it has more than `most` dimensions, the smallest that they leave at `cost`, and `most` of them where that
    allows it. With a mean square r^2 in the directions left out, the cost is r^2 / (2 sigma^2). k >= 1; without a
    direction to leave out, the axes stay.
    """
    n, d = centers.shape
    origin = centers.double().mean(0)
    scaled = (centers.double() - origin) / (sigma * math.sqrt(n))
    is_dual = n < d  # the Gram matrix is the smaller one, with the same eigenvalues
    axes, _ = _principal_axes(scaled @ scaled.T if is_dual else scaled.T @ scaled, most, cost)
    if axes is None and not is_dual:
        return Subspace(origin, None)
    return Subspace(origin, torch.linalg.qr(scaled.T if axes is None else scaled.T @ axes).Q if is_dual else axes)


def affine_coordinates(
    centers: Tensor, sigma: float, *, weights: Tensor | None = None, most: int | None = None, cost: float = NEGLIGIBLE
) -> tuple[Tensor, float]:
    """Return finite centers (n, d) in coordinates (n, k) about their mean, as `fit_subspace`; and the cost in nats."""
    mass = torch.ones_like(centers[:, 0], dtype=torch.float64) if weights is None else weights.double()
    mass = mass / mass.sum()
    shifted = centers.double()
    shifted = shifted - mass @ shifted
    if len(centers) < centers.shape[1]:
        shifted = torch.linalg.qr(shifted.T, mode="r").R.T  # of the same Gram matrix
    scaled = shifted * (mass.sqrt() / sigma)[:, None]
    axes, lost = _principal_axes(scaled.T @ scaled, most, cost)
    return (shifted if axes is None else shifted @ axes).to(centers.dtype), lost


def _principal_axes(gram: Tensor, most: int | None, cost: float) -> tuple[Tensor | None, float]:
    """Return the eigenvectors that are kept, as columns, None for all, and what the others cost."""
    if len(gram) == 1 or not gram.isfinite().all():
        return None, 0.0
    power, vectors = torch.linalg.eigh(gram)
    # Eigenvalues are known to about this much; where it is too coarse to tell which are empty, none is.
    power = power.cpu()  # a handful of numbers, each of which decides something
    known_to = len(power) * torch.finfo(torch.float64).eps * float(power[-1])
    lost = power.clamp(min=0).cumsum(0) / 2
    empty = int((lost <= NEGLIGIBLE).sum()) if known_to <= NEGLIGIBLE else 0
    if most is not None and len(power) - empty > most:
        empty = max(empty, min(int((lost <= cost).sum()), len(power) - most))
    empty = min(empty, len(power) - 1)
    return (vectors[:, empty:], float(lost[empty - 1])) if empty else (None, 0.0)
