"""Reduction of many values to the axes along which the means of the rows differ most, for draws far from one another.

If the noise separates all n r draws, I(J;T) of a draw's number J is within a small error of log(n r), its largest value
in any number of dimensions. The plug-in bounds of a layer, which are differences of such terms, then gain nothing from
more dimensions. Only decoders depend on the dimensions, and they need axes along which rows differ: the principal axes
of the means of rows cost a small part of those of all draws.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from layerbits.mixtures.subspaces import BLOCK_VALUES, Subspace

# Rows whose draws are compared, and rows whose means choose the axes: they choose a subspace, and no bound rests on
# their number. The eigenvectors of 512 means take 0.04 s on a core with AVX-512.
_COMPARED_ROWS, _ROWS_OF_MEANS = 64, 512

# Axes of less than this share of the largest variance are left out: the directions are orthonormal up to 512 eps in
# float64 over this share, 1e-7, as they are in float32.
_LEAST_SHARE = 1e-6

# Largest rounding error of a coordinate, in units of sigma.
_LARGEST_ERROR = 1e-3


def confusion_of_draws(points: Tensor, sigma: float, *, negligible: float = 0.0) -> float:
    """Estimate log(n r) - I(J;T), in nats, for the number J of a draw among n r draws, from two draws of some rows.

    The estimate from some of the units is at least that from all of them. As soon as the estimate from the first units
    is at most `negligible`, it is returned, and the other units are not read.

    Parameters
    ----------
    points : Tensor of shape (n, r, d)
        Draws of n rows, r >= 2, of which the first two are compared.
    sigma : float
        Standard deviation of the noise.

    Notes
    -----
    By the lower bound of Kolchinsky and Tracey (2017), log m - I(J;T) is at most the mean over i of
    log(1 + sum_j!=i exp(-|s_i - s_j|^2 / (8 sigma^2))) for m draws. The sum over the draws compared is raised to that
    over all draws: by r - 1 for the other draws of a row, and by the ratio of the numbers of draws of other rows.
    """
    n, r = points.shape[:2]
    compared = points[:: math.ceil(n / _COMPARED_ROWS), :2]
    m = 2 * len(compared)
    origin = compared[0, 0].double()
    weight = max(r - 1, (n - 1) * r / max(1, m - 2))
    gram = torch.zeros(m, m, dtype=torch.float64, device=points.device)
    confusion = math.inf
    for units in _slices(points.shape[2], m):
        block = (compared[:, :, units].double() - origin[units]).flatten(0, 1)
        gram.addmm_(block, block.T)
        squares = gram.diagonal()
        squared_distances = (squares[:, None] + squares - 2 * gram).clamp_(min=0).fill_diagonal_(0)
        confusion = weight * max(0.0, float((squared_distances / sigma / sigma / -8).logsumexp(1).mean()))
        if confusion <= negligible:
            break
    return confusion


def mean_subspace(points: Tensor, *, fitted: int, max_dimensions: int) -> Subspace:
    """Return the affine subspace on the principal axes of the means of rows.

    Parameters
    ----------
    points : Tensor of shape (n, r, d)
        Finite values.
    fitted : int
        The first points of each row, whose means are taken.
    max_dimensions : int
        Largest number of axes; there are at most n - 1, and at least one.

    Returns
    -------
    Subspace
        With directions in the dtype of the points, in float32 for half precision.
    """
    n, _, d = points.shape
    dtype = torch.promote_types(points.dtype, torch.float32)
    means = points[:: math.ceil(n / _ROWS_OF_MEANS), :fitted].mean(1, dtype=dtype)
    origin = means.mean(0)
    means -= origin
    gram = torch.zeros(len(means), len(means), dtype=torch.float64, device=means.device)
    for units in _slices(d, len(means)):
        block = means[:, units].double()
        gram.addmm_(block, block.T)
    eigenvalues, eigenvectors = torch.linalg.eigh(gram)
    largest = eigenvalues[-max_dimensions:]
    kept = max(1, int((largest > _LEAST_SHARE * largest[-1]).sum()))
    axes = (eigenvectors[:, -kept:] / eigenvalues[-kept:].clamp(min=torch.finfo(torch.float64).tiny).sqrt()).flip(1)
    transposed = torch.empty(kept, d, dtype=dtype, device=means.device)
    for units in _slices(d, len(means)):
        transposed[:, units] = (axes.T @ means[:, units].double()).to(dtype)
    return Subspace(origin, transposed.T)


@dataclasses.dataclass(frozen=True)
class Projection:
    """Points in a subspace, and the remainders R of the points that the subspace was not fitted to.

    Attributes
    ----------
    coordinates : Tensor of shape (n, r, k)
        Coordinates in the subspace.
    squares : Tensor of shape (n, q)
        |R|^2 / sigma^2 of the last q = r - fitted points, in float64.
    gaussian_terms : Tensor of shape (n, q)
        Terms whose expectation bounds, in nats, the information and the entropy that the remainder adds, in float64.
    """

    coordinates: Tensor
    squares: Tensor
    gaussian_terms: Tensor


def project(points: Tensor, subspace: Subspace, sigma: float, *, fitted: int) -> Projection:
    """Compute the coordinates (n, r, k) of points, and terms that bound what the omitted dimensions add.

    Parameters
    ----------
    points : Tensor of shape (n, r, d)
        Finite values, of which the last r - `fitted` >= 1 of each row were not used to fit the subspace.
    subspace : Subspace
        As `mean_subspace` returns it.

    Notes
    -----
    Let R be the part of S orthogonal to the subspace. The information that the omitted dimensions T_2 add is at most
    h(R + Z) - h(Z) with Z in all d dimensions, because noise along the subspace is independent of the rest. By Gibbs'
    inequality h(R + Z) is at most the mean of -log q(R + Z) for every density q. With independent Gaussian units of
    variances (1 + a_j) sigma^2 the mean over Z given R, less h(Z), is

        sum_j [log(1 + a_j) + (R_j^2 / sigma^2 - a_j) / (1 + a_j)] / 2,

    a term of the point. The best a_j is the mean of R_j^2 / sigma^2. The last fitted points, as many as there are other
    points, estimate this mean, so that the terms of the other points are independent of q.

    Rounding of the directions to float32 makes their Gram matrix differ from the identity by at most
    delta = 2^-23 sqrt(k). Coordinates with unit noise are then those of a channel whose noise has a variance between
    1 - delta and 1 + delta; as the derivative of the information by the log of the signal-to-noise ratio is at most
    k/2, the information changes by at most k delta / 2, 3e-5 nats for 64 axes. The products are in float64 where the
    expected rounding in float32, 2^-24 |s| (sqrt(columns of a block) + sqrt(blocks)), exceeds 1e-3 sigma.
    """
    assert subspace.directions is not None
    n, r, d = points.shape
    precise = _dtype(points, sigma)
    subspace = subspace.to(precise)
    origin, directions = subspace.origin, subspace.directions
    assert directions is not None
    # Few rows of directions times many points are twice as fast as many points times few columns.
    transposed = torch.zeros(directions.shape[1], n * r, dtype=precise, device=points.device)
    for units in _slices(d, n * r):
        transposed.addmm_(directions[units].T, points[:, :, units].to(precise).flatten(0, 1).T)
    coordinates = (transposed.T - origin @ directions).view(n, r, -1)
    draws = slice(max(0, 2 * fitted - r), None)  # the points that choose the variances, and then those of the terms
    n_choosing, taken = fitted - (draws.start or 0), coordinates[:, draws]
    squares = torch.zeros(n, r - fitted, dtype=torch.float64, device=points.device)
    gaussian_terms = torch.zeros_like(squares)
    for units in _slices(d, n * taken.shape[1]):
        deviations = points[:, draws, units].to(precise) - origin[units]
        remainders = deviations.flatten(0, 1).addmm_(taken.flatten(0, 1), directions[units].T, alpha=-1)
        powers = remainders.div_(sigma).square_().view(n, taken.shape[1], -1)
        variances = 1 + powers[:, :n_choosing].mean((0, 1), dtype=torch.float64)
        fresh = powers[:, n_choosing:]
        squares += fresh.sum(2, dtype=torch.float64)
        gaussian_terms += (fresh / variances.to(precise)).sum(2, dtype=torch.float64) / 2
        gaussian_terms += (variances.log() - (variances - 1) / variances).sum() / 2
    dtype = torch.promote_types(points.dtype, torch.float32)
    return Projection(coordinates.to(dtype), squares, gaussian_terms)


def _dtype(points: Tensor, sigma: float) -> torch.dtype:
    """Return the dtype of products in which the rounding of coordinates stays small."""
    n, r, d = points.shape
    # A CUDA device may round float32 products to ten bits (TF32).
    if points.is_cuda or points.dtype == torch.float64:
        return torch.float64
    compared = points[:: math.ceil(n / _COMPARED_ROWS), 0]
    squares = sum(float(compared[:, units].double().square().sum()) for units in _slices(d, len(compared)))
    columns = max(1, BLOCK_VALUES // (n * r))
    steps = math.sqrt(columns) + math.sqrt(d / columns)
    rounding = torch.finfo(torch.float32).eps / 2 * math.sqrt(squares / len(compared)) * steps
    return torch.float32 if rounding <= _LARGEST_ERROR * sigma else torch.float64


def _slices(d: int, n_rows: int) -> Iterator[slice]:
    """Yield slices of d units; a slice of n_rows rows is a block of at most `BLOCK_VALUES` values, or one unit."""
    columns = max(1, BLOCK_VALUES // n_rows)
    for start in range(0, d, columns):
        yield slice(start, start + columns)
