"""Moments of the draws of every input, from which Gaussian decoders are made."""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

# Least variance of the error of a mean, relative to that of a noisy value: draws without spread would make the
# covariance of these errors singular.
_LEAST_UNCERTAINTY = 1e-12


@dataclasses.dataclass(frozen=True)
class DrawMoments:
    """Moments of draws (N, r, d), r >= 2, in float64.

    Attributes
    ----------
    means : Tensor of shape (N, d)
        Mean of the draws of each input.
    deviations : Tensor of shape (N, r, d)
        Draws less the mean of their input.
    sigma : float
        Standard deviation of the noise.
    """

    means: Tensor
    deviations: Tensor
    sigma: float

    @classmethod
    def of(cls, draws: Tensor, sigma: float) -> DrawMoments:
        """Return the moments of draws (N, r, d)."""
        # Deviations from the first draw are exactly 0 for equal draws, so rounding adds no spread, however small the
        # noise.
        origins = draws[:, :1].double()
        deviations = draws.to(torch.float64, copy=True).sub_(origins)
        shifts = deviations.mean(1, keepdim=True)
        return cls((origins + shifts)[:, 0], deviations.sub_(shifts), sigma)

    @functools.cached_property
    def noise(self) -> Tensor:
        """Covariance of the noise, (d, d)."""
        dim = self.means.shape[1]
        return self.sigma**2 * torch.eye(dim, dtype=torch.float64, device=self.means.device)

    @functools.cached_property
    def covariance(self) -> Tensor:
        """Covariance (d, d) of a signal given its input, averaged over the inputs."""
        n, r, _ = self.deviations.shape
        deviations = self.deviations.flatten(0, 1)
        return deviations.mT @ deviations / (n * (r - 1))

    @functools.cached_property
    def shrunk_means(self) -> tuple[Tensor, Tensor]:
        """Means (N, d) that are moved towards their average, and the covariance (d, d) of their errors.

        Notes
        -----
        Let W be the covariance of a signal given its input, and B that of the true means of the inputs. If the true
        means are Gaussian, then given an observed mean m of r draws the true mean has the expectation
        mu + B (B + W/r)^-1 (m - mu) and the covariance B (B + W/r)^-1 W/r (James and Stein, 1961; Efron and Morris,
        1973). B is the covariance of the observed means less W/r, without its negative eigenvalues relative to W/r.
        """
        n, r = self.deviations.shape[:2]
        # Variances relative to those of a noisy value are at most 1.
        root = cholesky_root(self.noise + self.covariance)
        relative = congruent(root, self.covariance) / r
        variances, error_axes = torch.linalg.eigh((relative + relative.mT) / 2)
        deviations = error_axes * variances.clamp(min=_LEAST_UNCERTAINTY).sqrt()
        center = self.means.mean(0)
        whitened = torch.linalg.solve_triangular(root, (self.means - center).mT, upper=False)
        coordinates = (deviations / deviations.square().sum(0)).mT @ whitened
        eigenvalues, axes = torch.linalg.eigh(coordinates @ coordinates.mT / max(1, n - 1))
        between = (eigenvalues - 1).clamp(min=0)
        kept = between / (1 + between)
        directions = root @ deviations @ axes
        means = center + (axes.mT @ coordinates * kept[:, None]).mT @ directions.mT
        return means, directions * kept @ directions.mT


def cholesky_root(covariances: Tensor) -> Tensor:
    """Return Cholesky factors of covariances (..., d, d) in float64.

    First, the rounding error of the entries is added to the diagonal, so that rounding makes no covariance indefinite.
    """
    dim = covariances.shape[-1]
    identity = torch.eye(dim, dtype=torch.float64, device=covariances.device)
    trace = covariances.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    root: Tensor = torch.linalg.cholesky(covariances + dim * torch.finfo(torch.float64).eps * trace * identity)
    return root


def congruent(root: Tensor, matrix: Tensor) -> Tensor:
    """Return root^-1 matrix root^-T for a lower triangular root."""
    half = torch.linalg.solve_triangular(root, matrix, upper=False)
    product: Tensor = torch.linalg.solve_triangular(root, half.mT, upper=False).mT
    return product
