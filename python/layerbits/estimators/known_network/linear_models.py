"""A linear Gaussian model of the noises W and the noisy value T for each input: the source of all proposals.

Given x the model says T = m + G W + E with E ~ N(0, V), V diagonal, so T ~ N(m, C) with C = G G^T + V. The gain is the
regression of the signal on the noises, cov(S, W) = E dS/dW (Stein's identity). The mean and the variances come from
other noises than the gain, whose linear part is subtracted. The model need not be right: proposals from a wrong model
only loosen the ends. The posterior of W given t is sampled by Matheron's rule.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from layerbits.estimators.known_network.signal_model import SignalModel
from layerbits.kernels import RandomStream, standard_normal, stream

# Number of Jacobians of an input, whose mean is the gain, unless the settings have another one.
JACOBIANS = 8

# Number n of signals of an input, which give its mean and variances. Their errors, of variance V / n and of relative
# variance 2 / n, cost a log density about 1 / 2n nats a unit each: .008 nats for 64.
SIGNALS = 64

# Largest sum of the variances of T given x over the units, in units of the noise of the layer. The sum bounds the
# condition number of C, whose least eigenvalue is at least 1.
LARGEST_SUM = 1e10

# Sum above which products with the inverse of C are refined once. The relative error of a product is about 2e-16 times
# the sum, and its values are up to the root of the sum: an error of 2e-7 noise deviations at 1e6, but .2 at 1e10.
# Refined, the error at 1e10 is about 2e-6, the rounding of the refinement itself.
_REFINED_SUM = 1e6


class UnboundedGainError(ValueError):
    """The noise of earlier layers acts so strongly on a signal that float64 cannot invert its covariance."""

    @classmethod
    def of(cls, largest_sum: float) -> UnboundedGainError:
        """Return the error for the largest sum of the variances of T given x over the units."""
        return cls(
            "sigma: got noise of earlier layers that moves the signals by "
            f"{math.sqrt(largest_sum):.3g} standard deviations of the layer's own noise, wanted at most "
            f"{math.sqrt(LARGEST_SUM):g} and covariances that float64 can invert; choose another sigma, or another "
            "estimator"
        )


@dataclasses.dataclass(frozen=True)
class LinearModels:
    """The linear models of b inputs; log densities here and in `weights` omit the term -d/2 log(2 pi).

    Attributes
    ----------
    rows : Tensor of shape (b,)
        Indices of the inputs.
    means : Tensor of shape (b, d)
        The mean of T.
    gains : Tensor of shape (b, d, k)
        The derivative G of the mean of T by the noises.
    variances : Tensor of shape (b, d)
        The variances V of T given the noises, which include the noise of the layer, 1.
    precisions : Tensor of shape (b, d, d)
        The inverse of C.
    half_log_determinants : Tensor of shape (b,)
        log(det C) / 2.
    """

    rows: Tensor
    means: Tensor
    gains: Tensor
    variances: Tensor
    precisions: Tensor
    half_log_determinants: Tensor

    @classmethod
    def fit(cls, model: SignalModel, rows: Tensor, seed: int, n_jacobians: int = JACOBIANS) -> LinearModels:
        """Fit the models of inputs (b,); the noises of an input depend on the seed and its index alone.

        Raises
        ------
        UnboundedGainError
            The covariance of T given an input cannot be inverted in float64.
        """
        noises = torch.stack([_noises(model, row, seed, n_jacobians) for row in rows.tolist()])
        gains = torch.zeros(len(rows), model.n_units, model.noise_size, dtype=torch.float64)
        for k in range(n_jacobians):
            jacobians = model.jacobians(rows, noises[:, k])
            if not jacobians.sum().isfinite():
                # A derivative may be NaN, as that of sqrt(s * (s > 0)) for s < 0, or infinite; any gain is valid there.
                jacobians = torch.where(jacobians.isfinite(), jacobians, 0.0)
            gains += jacobians
        gains /= n_jacobians
        fresh = noises[:, n_jacobians:]
        signals = model.signals(rows.repeat_interleave(SIGNALS), fresh.flatten(0, 1))
        residuals = signals.view(len(rows), SIGNALS, -1) - fresh @ gains.mT
        # A fresh residual has, around the mean of n residuals, the variance of a residual times 1 + 1/n.
        variances = 1 + (1 + 1 / SIGNALS) * residuals.var(1)
        roots = _cholesky(gains @ gains.mT + torch.diag_embed(variances))
        return cls(
            rows,
            residuals.mean(1),
            gains,
            variances,
            torch.cholesky_inverse(roots),
            roots.diagonal(dim1=1, dim2=2).log().sum(1),
        )

    @staticmethod
    def bytes_of_input(model: SignalModel) -> int:
        """Return the bytes of the model of one input."""
        return 8 * model.n_units * (model.noise_size + model.n_units + 2)

    def select(self, indices: Tensor) -> LinearModels:
        """Return the models at these positions of the batch."""
        return LinearModels(*(getattr(self, field.name)[indices] for field in dataclasses.fields(self)))

    def log_densities(self, points: Tensor) -> Tensor:
        """Return log N(t; m, C) at points (q, d) for each model, (b, q)."""
        deviations = points - self.means[:, None]
        return self._log_densities(deviations, deviations @ self.precisions)

    def log_ratios(self, points: Tensor, noises: Tensor) -> Tensor:
        """Return log p(w) - log q(w|t) of noises (b, n, k) at points (b, n, d), with the posterior q, (b, n).

        By Bayes' rule the ratio is N(t; m, C) / N(t; m + G w, V).
        """
        deviations = points - self.means[:, None]
        return self._log_densities(deviations, deviations @ self.precisions) - self._given_noises(
            deviations - noises @ self.gains.mT
        )

    def posterior_samples(self, points: Tensor, prior_noises: Tensor, prior_errors: Tensor) -> tuple[Tensor, Tensor]:
        """Sample the posterior of the noises at points (b, n, d), and return it with its `log_ratios`.

        `prior_noises` (b, n, k) and `prior_errors` (b, n, d) are standard normal values.
        """
        deviations = points - self.means[:, None]
        errors = prior_errors * self.variances.sqrt()[:, None]
        # Matheron's rule: a sample (w, e) of the prior plus the change that makes m + G w + e equal to t.
        precise = self._solve(deviations - prior_noises @ self.gains.mT - errors)
        noises = prior_noises + precise @ self.gains
        remaining = errors + precise * self.variances[:, None]  # t - m - G w
        log_ratios = self._log_densities(deviations, deviations @ self.precisions) - self._given_noises(remaining)
        return noises, log_ratios

    def _solve(self, values: Tensor) -> Tensor:
        """Return C^-1 u for values u (b, n, d), refined by a step of iteration where C is large."""
        solved = values @ self.precisions
        sums = self.gains.square().sum((1, 2)) + self.variances.sum(1)
        is_large = (sums > _REFINED_SUM)[:, None, None]
        if not is_large.any():
            return solved
        left = values - (solved @ self.gains) @ self.gains.mT - solved * self.variances[:, None]
        return torch.where(is_large, solved + left @ self.precisions, solved)

    def _log_densities(self, deviations: Tensor, precise: Tensor) -> Tensor:
        return -0.5 * (deviations * precise).sum(-1) - self.half_log_determinants[:, None]

    def _given_noises(self, remaining: Tensor) -> Tensor:
        """Return log N(t; m + G w, V) from t - m - G w, (b, n, d)."""
        squares = (remaining.square() / self.variances[:, None]).sum(-1)
        return -0.5 * (squares + self.variances.log().sum(-1)[:, None])


def _noises(model: SignalModel, row: int, seed: int, n_jacobians: int) -> Tensor:
    generator = stream(seed, RandomStream.KNOWN_MODELS, row)
    return standard_normal((n_jacobians + SIGNALS, model.noise_size), generator, torch.float64)


def _cholesky(covariances: Tensor) -> Tensor:
    """Return the Cholesky factors; raise an UnboundedGainError if they are not accurate."""
    largest = float(covariances.diagonal(dim1=1, dim2=2).sum(1).max())
    if largest <= LARGEST_SUM:  # not so for NaN
        roots: Tensor
        roots, errors = torch.linalg.cholesky_ex(covariances)
        if not errors.any():
            return roots
    raise UnboundedGainError.of(largest)
