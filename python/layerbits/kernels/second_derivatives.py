"""Second derivatives of the isotropic log-sum-exp, by operators of torch on blocks of rows.

Let F = sum_i u_i log sum_j exp(e_ij) with e_ij = log w_j - |x_i - c_j|^2 / (2 s_i^2), with a sigma for each row. In a
direction in which e_ij changes by e'_ij, F changes by

    F' = sum_i u_i m_i + u'_i log sum_j exp(e_ij),    m_i = sum_j p_ij e'_ij,    p_ij the softmax of e_ij over j.

`second_derivatives` computes the derivatives of F' by x, c, s, w and u. The first four are the change of the gradient
of F in the direction; the derivative by u_i is m_i, the change of log-sum i. One function therefore computes second
derivatives in reverse mode, and first and second derivatives in forward mode.

The native modules do not compute the moments of e'_ij (x_i - c_j) in these derivatives. torch computes the moments in
float64 from differences of coordinates, as the kernels do, so that no digits cancel. A block has as many rows as fit in
a few megabytes with all centers, at least one, so the computation takes memory O((m + n) d). torch can differentiate
every operator used here, which gives the third derivatives.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

# Largest number of differences of coordinates in a block of more than one row: 2 MiB of float64.
_BLOCK_DIFFERENCES = 2**18


class Direction(NamedTuple):
    """The change of each argument of F: shapes (m, d), (n, d), () or (m,), (n,) and (m,); None: no change."""

    points: Tensor | None = None
    centers: Tensor | None = None
    sigma: Tensor | None = None
    weights: Tensor | None = None
    upstream: Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The variables by which to compute derivatives."""

    points: bool = False
    centers: bool = False
    sigma: bool = False
    weights: bool = False
    upstream: bool = False

    def names(self) -> list[str]:
        """Return the names of the wanted derivatives, in order."""
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name)]

    def is_rowwise(self) -> bool:
        """Return whether each row of the wanted derivatives depends on one point alone."""
        return not (self.centers or self.weights)


class Problem(NamedTuple):
    """The arguments of F, with one sigma of shape () for all rows; a direction; offsets if there are groups."""

    points: Tensor
    centers: Tensor
    sigma: Tensor
    weights: Tensor | None
    upstream: Tensor
    direction: Direction
    point_offsets: Tensor | None = None
    center_offsets: Tensor | None = None

    def groups(self) -> list[Problem]:
        """Return the problem of each group; a native module has checked the offsets before."""
        if self.point_offsets is None or self.center_offsets is None:
            return [self]
        bounds = zip(pairwise(self.point_offsets.tolist()), pairwise(self.center_offsets.tolist()), strict=True)
        return [self.of_points(slice(*rows)).of_centers(slice(*columns)) for rows, columns in bounds]

    def of_points(self, rows: slice) -> Problem:
        """Return the problem of some points and all centers."""
        change = self.direction
        change = change._replace(
            points=_part(change.points, rows), sigma=_part(change.sigma, rows), upstream=_part(change.upstream, rows)
        )
        return self._replace(points=self.points[rows], upstream=self.upstream[rows], direction=change)

    def of_centers(self, columns: slice) -> Problem:
        """Return the problem of all points and some centers."""
        change = self.direction
        change = change._replace(centers=_part(change.centers, columns), weights=_part(change.weights, columns))
        return self._replace(centers=self.centers[columns], weights=_part(self.weights, columns), direction=change)

    def in_double(self) -> Problem:
        """Return the problem in float64, with a change of sigma for each point."""
        change = Direction(*(None if tensor is None else tensor.double() for tensor in self.direction))
        if change.sigma is not None:
            change = change._replace(sigma=change.sigma.to(self.points.device).expand(len(self.points)))
        return self._replace(
            points=self.points.double(),
            centers=self.centers.double(),
            weights=None if self.weights is None else self.weights.double(),
            direction=change,
        )


def second_derivatives(problem: Problem, wanted: Wanted) -> tuple[Tensor, ...]:
    """Compute the wanted derivatives of F', in the order of `Wanted`.

    Returns
    -------
    tuple of Tensor
        Shapes (m, d), (n, d), (m,), (n,) and (m,). The derivatives by points, centers and weights have the dtype of the
        points; the derivatives by sigma and upstream are float64. As in the first derivatives, centers at an infinite
        distance have no effect, and a row whose factor u_i is zero adds nothing to sums over rows, even if it has NaN.
    """
    parts = [_group_derivatives(group, wanted) for group in problem.in_double().groups()]
    joined = {name: torch.cat([part[name] for part in parts]) for name in wanted.names()}
    return tuple(
        joined[name] if name in ("sigma", "upstream") else joined[name].to(problem.points.dtype) for name in joined
    )


def _part(tensor: Tensor | None, rows: slice) -> Tensor | None:
    return None if tensor is None else tensor[rows]


def _group_derivatives(problem: Problem, wanted: Wanted) -> dict[str, Tensor]:
    step = max(1, _BLOCK_DIFFERENCES // max(1, problem.centers.numel()))
    blocks: dict[str, list[Tensor]] = {}
    totals: dict[str, Tensor] = {}
    for start in range(0, max(1, len(problem.points)), step):
        for name, values in _block_derivatives(problem.of_points(slice(start, start + step)), wanted).items():
            if name in ("centers", "weights"):
                totals[name] = totals[name] + values if name in totals else values
            else:
                blocks.setdefault(name, []).append(values)
    return totals | {name: torch.cat(values) for name, values in blocks.items()}


class _Pairs(NamedTuple):
    """Values of every pair of a block: (rows, n, d) for the differences, otherwise (rows, n)."""

    differences: Tensor
    squares: Tensor
    softmax: Tensor
    softmax_per_weight: Tensor  # p_ij / w_j, or its limit at a weight of zero
    ignored_rows: Tensor  # (rows, 1): whether a row has NaN and a factor of zero


def _pairs(problem: Problem) -> _Pairs:
    differences = problem.points[:, None] - problem.centers
    squares = differences.square().sum(2)
    exponents = -squares / (2 * problem.sigma**2)
    log_terms = exponents if problem.weights is None else exponents + problem.weights.log()
    log_sum = log_terms.logsumexp(1, keepdim=True)
    log_sum = log_sum.masked_fill(log_sum == -torch.inf, 0)  # without a center in reach, every p_ij is 0
    softmax = (log_terms - log_sum).exp()
    ignored_rows = ((problem.upstream == 0) & squares.isnan().any(1))[:, None]
    ignored_pairs = squares.isinf() | ignored_rows
    return _Pairs(
        differences.masked_fill(ignored_pairs[:, :, None], 0),
        squares.masked_fill(ignored_pairs, 0),
        softmax,
        softmax if problem.weights is None else (exponents - log_sum).exp(),
        ignored_rows,
    )


def _rates(pairs: _Pairs, sigma: Tensor, change: Direction) -> Tensor:
    """Return e'_ij without the change of log w_j."""
    rates = torch.zeros_like(pairs.squares)
    if change.points is not None:
        rates = rates - (pairs.differences @ change.points[:, :, None])[:, :, 0] / sigma**2
    if change.centers is not None:
        rates = rates + (pairs.differences * change.centers).sum(2) / sigma**2
    if change.sigma is not None:
        rates = rates + pairs.squares * change.sigma[:, None] / sigma**3
    return rates


def _block_derivatives(problem: Problem, wanted: Wanted) -> dict[str, Tensor]:
    pairs, sigma, change = _pairs(problem), problem.sigma, problem.direction
    rates = _rates(pairs, sigma, change)
    weight_changes = 0.0 if change.weights is None else pairs.softmax_per_weight * change.weights
    mean = (pairs.softmax * rates + weight_changes).sum(1, keepdim=True)
    factor = problem.upstream[:, None]
    softmax = pairs.softmax.masked_fill(pairs.ignored_rows, 0)
    terms = factor * softmax
    term_changes = factor * (pairs.softmax * (rates - mean) + weight_changes).masked_fill(pairs.ignored_rows, 0)
    if change.upstream is not None:
        term_changes = term_changes + change.upstream[:, None] * softmax
    scaled_changes = term_changes / sigma**2  # the change of terms / sigma^2
    if change.sigma is not None:
        scaled_changes = scaled_changes - 2 * terms * change.sigma[:, None] / sigma**3

    derivatives = {}
    if wanted.points:
        derivatives["points"] = _point_derivatives(pairs, terms, scaled_changes, change, sigma)
    if wanted.centers:
        derivatives["centers"] = _center_derivatives(pairs, terms, scaled_changes, change, sigma)
    if wanted.sigma:
        sigma_terms = term_changes * pairs.squares / sigma**3 - 2 * terms * rates / sigma
        if change.sigma is not None:
            sigma_terms = sigma_terms - terms * pairs.squares * change.sigma[:, None] / sigma**4
        derivatives["sigma"] = sigma_terms.sum(1)
    if wanted.weights:
        weight_factors = factor * (rates - mean)
        if change.upstream is not None:
            weight_factors = weight_factors + change.upstream[:, None]
        derivatives["weights"] = (pairs.softmax_per_weight * weight_factors).masked_fill(pairs.ignored_rows, 0).sum(0)
    if wanted.upstream:
        derivatives["upstream"] = mean[:, 0]
    return derivatives


def _point_derivatives(
    pairs: _Pairs, terms: Tensor, scaled_changes: Tensor, change: Direction, sigma: Tensor
) -> Tensor:
    derivative = -(scaled_changes[:, None] @ pairs.differences)[:, 0]
    if change.points is not None:
        derivative = derivative - terms.sum(1, keepdim=True) * change.points / sigma**2
    if change.centers is not None:
        derivative = derivative + terms @ change.centers / sigma**2
    return derivative


def _center_derivatives(
    pairs: _Pairs, terms: Tensor, scaled_changes: Tensor, change: Direction, sigma: Tensor
) -> Tensor:
    derivative = (scaled_changes[:, :, None] * pairs.differences).sum(0)
    if change.points is not None:
        derivative = derivative + terms.mT @ change.points / sigma**2
    if change.centers is not None:
        derivative = derivative - terms.sum(0)[:, None] * change.centers / sigma**2
    return derivative
