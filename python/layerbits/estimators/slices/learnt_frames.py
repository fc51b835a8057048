"""Frames that maximize an estimate of I(X; A^T T) or I(A^T T; Y) by gradient steps.

The estimate is the plug-in at queries with fresh noise in every step. One start has the principal axes of the signals,
another those of the class means, or a random frame; they compete on common queries. No bound rests on the fit: a
measurement bounds the information of the frame with other passes and other noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from layerbits.estimators.slices.principal_frames import principal_frame
from layerbits.kernels import NormalStream, single_threaded_torch
from layerbits.networks import GaussianNoise

# Gradient steps of each start, and their learning rate times sqrt(d), because the entries of a column are of the size
# 1 / sqrt(d). On hidden layers of networks trained on digits, further steps change the estimate by less than .02 nats.
_STEPS, _LEARNING_RATE = 120, 0.05

# Queries of a step, and inputs of the mixture: a step has about 2^18 pairs.
_QUERIES, MAX_INPUTS = 256, 512

# Queries on which the frames compete: with as few as in a step, worse frames win where slices have little information.
_COMMON_QUERIES = 4096


@dataclasses.dataclass(frozen=True)
class LearntFrame:
    """The data of a fit.

    Attributes
    ----------
    signals : float64 Tensor of shape (n, r, d), on the CPU
        Draws of each of n inputs.
    noise : GaussianNoise
        Noise of the layer.
    groups : integer Tensor of shape (n,)
        Number of the input, or of its class: the variable of the information that is maximized.
    """

    signals: Tensor
    noise: GaussianNoise
    groups: Tensor

    def fit(self, size: int, stream: NormalStream) -> Tensor:
        """Return the best frame (d, size): the starts without and with gradient steps compete."""
        with single_threaded_torch(), torch.inference_mode(False), torch.enable_grad():
            common = self._normal(stream, size, _COMMON_QUERIES)
            candidates = list(self._candidates(size, stream))
            with torch.no_grad():
                estimates = [float(self._estimate(frame, common, offset=0)) for frame in candidates]
        best = max(range(len(candidates)), key=estimates.__getitem__)
        return candidates[best]

    def _candidates(self, size: int, stream: NormalStream) -> Iterator[Tensor]:
        n, _, dim = self.signals.shape
        start = self.signals.new_empty(dim, size)
        stream.fill(start)
        n_groups = int(self.groups.max()) + 1
        if n_groups < n:
            sums = self.signals.new_zeros(n_groups, dim).index_add_(0, self.groups, self.signals.mean(1))
            start = principal_frame(sums / self.groups.bincount()[:, None], size)
        for matrix in (principal_frame(self.signals.flatten(0, 1), size), start):
            frame = torch.linalg.qr(matrix).Q
            yield frame
            yield self._improved(frame, stream)

    def _improved(self, start: Tensor, stream: NormalStream) -> Tensor:
        matrix = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([matrix], lr=_LEARNING_RATE / len(start) ** 0.5)
        for step in range(_STEPS):
            optimizer.zero_grad()
            frame: Tensor = torch.linalg.qr(matrix).Q
            loss = -self._estimate(frame, self._normal(stream, start.shape[1]), offset=step * _QUERIES)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        best: Tensor = torch.linalg.qr(matrix.detach()).Q
        return best

    def _estimate(self, frame: Tensor, normal: Tensor, offset: int) -> Tensor:
        """Return the mean of log p(t|group) - log p(t) over queries at the signals from number `offset` on, in nats."""
        n, draws = self.signals.shape[:2]
        centers = self._whitened(frame)
        groups = self.groups.repeat_interleave(draws)
        numbers = torch.arange(len(normal)) + offset
        chosen = numbers % n * draws + numbers // n % draws  # all inputs in turn, each with the next draw
        points = centers[chosen] + normal
        exponents = -(points[:, None] - centers).square().sum(2) / 2
        own = groups[chosen][:, None] == groups
        own_sum = exponents.masked_fill(~own, -torch.inf).logsumexp(1)
        log_share = (self.groups.bincount()[self.groups[chosen // draws]] / n).log()
        return (own_sum - log_share - exponents.logsumexp(1)).mean()

    def _whitened(self, frame: Tensor) -> Tensor:
        """Return the values (n r, k) of the slice, whose noise has covariance I."""
        values, scale = self.signals.flatten(0, 1) @ frame, self.noise.scale
        if not isinstance(scale, Tensor):
            return values / scale
        columns = frame * scale[:, None] if scale.ndim == 1 else scale.mT @ frame
        factor = torch.linalg.cholesky(columns.mT @ columns)
        whitened: Tensor = torch.linalg.solve_triangular(factor, values.mT, upper=False).mT
        return whitened

    def _normal(self, stream: NormalStream, size: int, queries: int = _QUERIES) -> Tensor:
        normal = self.signals.new_empty(queries, size)
        stream.fill(normal)
        return normal
