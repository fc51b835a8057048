"""The exact reduction of dimension: a mixture with isotropic noise lives where its centers do.

Centers in a k-dimensional affine subspace of R^d give T = (T inside, T across) with T across pure noise, so that
I(S;T) is that of the k coordinates inside, and h(T) theirs plus (d - k)/2 log(2 pi e sigma^2). k <= n - 1 always, which
makes wide layers possible.
"""

from __future__ import annotations

import torch
from torch import Tensor

# What leaving a direction out may cost in all, in nats: below what any estimate here can resolve.
NEGLIGIBLE = 1e-7


def affine_coordinates(centers: Tensor, sigma: float, *, weights: Tensor | None = None) -> Tensor:
    """Return finite centers (n, d) in coordinates (n, k) about their mean in the smallest affine subspace of them.

    Directions count as empty where rounding is all that they hold: together they carry a mean square r^2 with
    r^2 / (2 sigma^2) <= NEGLIGIBLE, and I(S;T) loses at most that, by the chain rule and the capacity of a Gaussian
    channel of that power. Without such a direction, the axes stay. k >= 1.
    """
    n, d = centers.shape
    mass = torch.ones(n, dtype=torch.float64) if weights is None else weights.double()
    mass = mass / mass.sum()
    # Noise added far from zero would be rounded to the grid of its place.
    shifted = centers.double()
    shifted = shifted - mass @ shifted
    scaled = shifted * (mass.sqrt() / sigma)[:, None]
    dual = n < d  # the Gram matrix is the smaller one, with the same eigenvalues
    gram = scaled @ scaled.T if dual else scaled.T @ scaled
    if d == 1 or not gram.isfinite().all():
        return shifted.to(centers.dtype)
    power, vectors = torch.linalg.eigh(gram)
    # Eigenvalues are known to about this much; where it is too coarse to tell which are empty, none is.
    known_to = len(power) * torch.finfo(torch.float64).eps * float(power[-1])
    empty = int((power.clamp(min=0).cumsum(0) <= 2 * NEGLIGIBLE).sum()) if known_to <= NEGLIGIBLE else 0
    kept = max(1, len(power) - empty)
    if kept == d:
        return shifted.to(centers.dtype)
    directions = vectors[:, len(power) - kept :]
    if dual:
        directions = torch.linalg.qr(scaled.T @ directions).Q
    coordinates: Tensor = shifted @ directions
    return coordinates.to(centers.dtype)
