"""Queries: noisy values of the layer, with the noises that made them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits.estimators.known_network.signal_model import SignalModel
from layerbits.kernels import RandomStream, standard_normal, stream

# Earlier passes set the stakes of a pass, so several passes are better than one; short passes set them badly. These are
# the largest number and the least size of passes with fewer queries than inputs.
_MAX_PASSES, _LEAST_PASS = 8, 32


@dataclasses.dataclass(frozen=True)
class KnownQueries:
    """q queries T = g(x, W) + Z.

    Attributes
    ----------
    rows : Tensor of shape (q,)
        The input of each query.
    noises : Tensor of shape (q, k)
        The noises W, an exact sample of their posterior given T and x.
    points : Tensor of shape (q, d)
        The values T.
    squares : Tensor of shape (q,)
        |Z|^2.
    """

    rows: Tensor
    noises: Tensor
    points: Tensor
    squares: Tensor

    @classmethod
    def sample(cls, model: SignalModel, sizes: Sequence[int], seed: int) -> KnownQueries:
        """Sample passes of these sizes, as `QueryStream`."""
        return QueryStream(model, sizes, seed).take(sum(sizes))

    def select(self, part: slice) -> KnownQueries:
        """Return a slice of the queries."""
        return KnownQueries(self.rows[part], self.noises[part], self.points[part], self.squares[part])

    def joined(self, following: KnownQueries) -> KnownQueries:
        """Return these queries and the following ones."""
        pairs = zip(vars(self).values(), vars(following).values(), strict=True)
        return KnownQueries(*map(torch.cat, pairs))


class QueryStream:
    """The queries of successive passes, in parts of any size; the sizes of the parts do not change the queries.

    A pass of N queries takes every input once; any other pass takes uniform inputs, not every k-th one, because inputs
    may be sorted. Each pass has its own streams.

    Parameters
    ----------
    model : SignalModel
        The network.
    sizes : sequence of int
        The numbers of queries of the passes.
    seed : int
        Seed of the queries.
    """

    def __init__(self, model: SignalModel, sizes: Sequence[int], seed: int) -> None:
        self._model = model
        self._passes = iter([_QueryPass(model, size, seed, number) for number, size in enumerate(sizes)])
        self._pass = next(self._passes)

    def take(self, count: int) -> KnownQueries:
        """Return the next queries; count is at least 1, and at most the number of queries that are left."""
        parts, missing = [], count
        while missing:
            if not self._pass.left:
                self._pass = next(self._passes)
            parts.append(self._pass.take(min(missing, self._pass.left)))
            missing -= len(parts[-1][0])
        rows, noises, errors = (torch.cat(values) for values in zip(*parts, strict=True))
        return KnownQueries(rows, noises, self._model.signals(rows, noises) + errors, errors.square().sum(1))


class _QueryPass:
    """The inputs, the noises and the errors of the queries of a pass, a part at a time."""

    def __init__(self, model: SignalModel, size: int, seed: int, number: int) -> None:
        self._widths = model.noise_size, model.n_units
        self._size, self._n_inputs, self.left = size, model.n_inputs, size
        self._rows, self._noises, self._errors = (
            stream(seed, RandomStream.KNOWN_QUERIES, number, use) for use in range(3)
        )

    def take(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        first, self.left = self._size - self.left, self.left - count
        if self._size == self._n_inputs:
            rows = torch.arange(first, first + count)
        else:
            rows = torch.from_numpy(self._rows.integers(self._n_inputs, size=count))
        noises, errors = (
            standard_normal((count, width), generator, torch.float64)
            for width, generator in zip(self._widths, (self._noises, self._errors), strict=True)
        )
        return rows, noises, errors


def pass_sizes(n_inputs: int, queries: int) -> list[int]:
    """Return the sizes of passes with about this many queries; whole passes if there are at least N queries."""
    if queries >= n_inputs:
        return [n_inputs] * (queries // n_inputs)
    passes = max(1, min(_MAX_PASSES, queries // _LEAST_PASS))
    return [queries // passes + (number < queries % passes) for number in range(passes)]
