"""Views of a layer by frames: matrices A with orthonormal columns, whose slices are A^T T."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from layerbits.networks.noise.dropout import DropoutNoise, Noise
from layerbits.networks.noise.gaussian import GaussianNoise
from layerbits.networks.passes.unit_views import check_units

# Largest entry of A^T A - I of a frame in float64: Householder's QR of up to some 10^5 rows leaves less.
_ORTHONORMAL = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class FrameView:
    """The slice A^T T of one frame A.

    Attributes
    ----------
    frame : float64 Tensor of shape (d, k)
        A, with orthonormal columns.

    Raises
    ------
    ValueError
        The columns are not orthonormal.
    """

    frame: Tensor

    def __post_init__(self) -> None:
        check_frames(self.frame[None])

    def __call__(self, signals: Tensor, rows: slice | Tensor = slice(None)) -> Tensor:
        """Return the values (..., k) of signals (..., d) in float64; `rows` has no effect.

        In float32 a sum of d products would have a rounding error of the size of the smallest noise that is allowed.
        """
        return signals.double() @ self.frame.to(signals.device)

    def noise(self, layer: str, noise: Noise) -> GaussianNoise:
        """Return the noise of the slice, from the noise of the layer.

        Raises
        ------
        ValueError
            The noise has another number of units than the layer, or is a `DropoutNoise`.
        """
        noise = check_gaussian(layer, noise)
        if not isinstance(noise.scale, Tensor):
            return noise
        return GaussianNoise(slice_factors(layer, self.frame[None], noise.scale)[0])


@dataclasses.dataclass(frozen=True, eq=False)
class RandomFramesView:
    """The slices of many frames, made by `of`. The noise of every slice has the covariance sigma^2 I.

    Attributes
    ----------
    matrix : float64 Tensor of shape (d, count * size)
        The frames one after the other. If the noise of the layer is not isotropic, each frame is multiplied by a
        matrix that whitens the noise of its slice.
    count, size : int
        Number m of frames, and dimension k of a slice.
    sigma : float
        Standard deviation of the noise of each value.
    ceiling, ceiling_of_function : float
        Upper bounds of I(X; A^T T) for all frames, in nats: one that always holds, and one that holds if the signal is
        a function of the input. Infinite if none is known.
    """

    matrix: Tensor
    count: int
    size: int
    sigma: float
    ceiling: float = math.inf
    ceiling_of_function: float = math.inf

    @classmethod
    def of(cls, layer: str, frames: Tensor, noise: GaussianNoise) -> RandomFramesView:
        """Return the view of frames (m, d, k) in float64, from the noise of the layer.

        Raises
        ------
        ValueError
            The columns of a frame are not orthonormal; the noise has another number of units than the layer.
        """
        check_frames(frames)
        count, dim, size = frames.shape
        sigma = 1.0 if isinstance(noise.scale, Tensor) else noise.scale
        if isinstance(noise.scale, Tensor):
            # The noise of a slice has the covariance L L^T, so that of (A L^-T)^T T is I.
            factors = slice_factors(layer, frames, noise.scale)
            frames = torch.linalg.solve_triangular(factors.mT, frames, upper=True, left=False)
        return cls(frames.movedim(0, 1).reshape(dim, count * size).contiguous(), count, size, sigma)

    def __call__(self, signals: Tensor, rows: slice | Tensor = slice(None)) -> Tensor:
        """Return the values (..., m k) of signals (..., d) in float64; `rows` has no effect."""
        return signals.double() @ self.matrix.to(signals.device)

    def noise(self, layer: str, noise: Noise) -> GaussianNoise:
        """Return the noise of every slice; `layer` and `noise`, which `of` took, have no effect."""
        return GaussianNoise(self.sigma)


def check_gaussian(layer: str, noise: Noise) -> GaussianNoise:
    """Return the noise of a layer, or raise a ValueError if it is a `DropoutNoise`."""
    if isinstance(noise, DropoutNoise):
        raise ValueError(
            f"readout: got slices of {layer!r}, which has {noise}, wanted Gaussian noise, because the noise of a slice "
            "would depend on the signal; give the layer a standard deviation, or measure the whole layer"
        )
    return noise


def check_frames(frames: Tensor) -> None:
    """Raise a ValueError unless each frame of (m, d, k) has orthonormal columns."""
    _, dim, size = frames.shape
    error = float((frames.mT @ frames - torch.eye(size, dtype=frames.dtype)).abs().max()) if size <= dim else math.inf
    if not error <= _ORTHONORMAL:
        raise ValueError(
            f"frame: got {size} columns of length {dim} that are not orthonormal (A^T A - I has an entry of "
            f"{error:.3g}), wanted orthonormal columns; take torch.linalg.qr(frame).Q"
        )


def slice_factors(layer: str, frames: Tensor, scale: Tensor) -> Tensor:
    """Return lower Cholesky factors (m, k, k) of the covariances of the noise of slices.

    `scale` is that of the noise of the layer, as in `GaussianNoise`; with covariance F F^T and F^T A = Q R, the slice
    has the covariance R^T R.
    """
    check_units(layer, scale, (frames.shape[1],))
    columns = frames * scale[:, None] if scale.ndim == 1 else scale.mT @ frames
    triangles = torch.linalg.qr(columns, mode="r").R
    factors: Tensor = triangles.mT * triangles.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]
    return factors
