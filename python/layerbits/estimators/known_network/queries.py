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
        """Sample passes of these sizes: a pass of N queries takes every input once, any other takes uniform inputs.

        Never every k-th input: inputs may be sorted. Each pass has its own stream.
        """
        rows, noises, errors = [], [], []
        for number, size in enumerate(sizes):
            generator = stream(seed, RandomStream.KNOWN_QUERIES, number)
            whole = size == model.n_inputs
            rows.append(
                torch.arange(size) if whole else torch.from_numpy(generator.integers(model.n_inputs, size=size))
            )
            noises.append(standard_normal((size, model.noise_size), generator, torch.float64))
            errors.append(standard_normal((size, model.n_units), generator, torch.float64))
        all_rows, all_noises, all_errors = torch.cat(rows), torch.cat(noises), torch.cat(errors)
        points = model.signals(all_rows, all_noises) + all_errors
        return cls(all_rows, all_noises, points, all_errors.square().sum(1))

    def select(self, part: slice) -> KnownQueries:
        """Return a slice of the queries."""
        return KnownQueries(self.rows[part], self.noises[part], self.points[part], self.squares[part])


def pass_sizes(n_inputs: int, queries: int) -> list[int]:
    """Return the sizes of passes with about this many queries; whole passes if there are at least N queries."""
    if queries >= n_inputs:
        return [n_inputs] * (queries // n_inputs)
    passes = max(1, min(_MAX_PASSES, queries // _LEAST_PASS))
    return [queries // passes + (number < queries % passes) for number in range(passes)]
