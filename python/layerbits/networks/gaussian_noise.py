"""The kinds of Gaussian noise that a layer can have: isotropic, a deviation for each unit, or a full covariance.

Noise of covariance A A^T is A times isotropic noise. So A^-1 T is a signal plus isotropic noise, and has the
information of T, for A is invertible: whitened signals are all that an estimator needs. No network here.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits._base import check_positive

# One standard deviation, one for each unit (d,), or a covariance (d, d) of the flattened units.
Deviations = float | Tensor | npt.NDArray[np.floating]


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianNoise:
    """Gaussian noise of a layer; made by `gaussian_noise`.

    Attributes
    ----------
    scale : float or float64 Tensor
        The standard deviation; those of the units, shape (d,); or the lower Cholesky factor of the covariance, shape
        (d, d).
    """

    scale: float | Tensor
    # Copies of a scale where signals are: one that is made in each pass would have the device wait for the host.
    _copies: dict[tuple[torch.device, torch.dtype], Tensor] = dataclasses.field(default_factory=dict, init=False)

    def __reduce__(self) -> tuple[type[GaussianNoise], tuple[float | Tensor]]:
        """Leave the copies behind: what is pickled goes to machines without the device."""
        return GaussianNoise, (self.scale,)

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise of whitened signals: 1 unless the noise is isotropic."""
        return 1.0 if isinstance(self.scale, Tensor) else self.scale

    @property
    def log_volume(self) -> float:
        """What h(T) has more than h of the whitened T, in nats: log |det| of the map that whitening undoes."""
        if not isinstance(self.scale, Tensor):
            return 0.0
        return float((self.scale if self.scale.ndim == 1 else self.scale.diagonal()).log().sum())

    def check(self, layer: str, signal: Tensor) -> None:
        """Raise a ValueError unless a signal (n, ...) of the layer has as many units as the noise."""
        units = math.prod(signal.shape[1:])
        if isinstance(self.scale, Tensor) and units != len(self.scale):
            raise ValueError(
                f"sigma: got noise of {len(self.scale)} units for {layer!r}, which has {units}, a signal of shape "
                f"{tuple(signal.shape)}; wanted as many"
            )

    def add(self, signal: Tensor, normal: Tensor) -> Tensor:
        """Return a signal (n, ...) with noise made of standard normal values of its shape, dtype and device."""
        if not isinstance(self.scale, Tensor):
            return torch.add(signal, normal, alpha=self.scale)
        scale = self._scale_of(signal.device, signal.dtype)
        noise = normal.flatten(1) * scale if scale.ndim == 1 else normal.flatten(1) @ scale.mT
        return signal + noise.view(signal.shape)

    def whiten(self, signals: Tensor) -> Tensor:
        """Return signals (..., d) whose noise is isotropic, of `sigma`; in float64, unless it was so before."""
        if not isinstance(self.scale, Tensor):
            return signals
        scale = self._scale_of(signals.device, torch.float64)
        if scale.ndim == 1:
            return signals.double() / scale
        columns = signals.double().flatten(0, -2).mT
        whitened: Tensor = torch.linalg.solve_triangular(scale, columns, upper=False)
        return whitened.mT.reshape(signals.shape)

    def _scale_of(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        if (device, dtype) not in self._copies:
            self._copies[device, dtype] = torch.as_tensor(self.scale).to(device, dtype)
        return self._copies[device, dtype]

    def __repr__(self) -> str:
        if not isinstance(self.scale, Tensor):
            return str(self.scale)
        return f"{'deviations' if self.scale.ndim == 1 else 'covariance'} of {len(self.scale)} units"


def gaussian_noise(sigma: Deviations, *, name: str = "sigma") -> GaussianNoise:
    """Return the noise of one standard deviation, of those of the units (d,), or of a covariance (d, d).

    Errors call `sigma` by its `name`.

    Raises
    ------
    TypeError, ValueError
        `sigma` is of another type or shape; deviations are not positive and finite; a covariance is not symmetric to
        the rounding of its dtype, or not positive definite.
    """
    if not isinstance(sigma, Tensor | np.ndarray):
        return GaussianNoise(check_positive(name, sigma))
    given = torch.as_tensor(sigma).detach()
    if not given.is_floating_point():
        raise TypeError(f"{name}: got dtype {given.dtype}, wanted floating-point numbers")
    scale = given.to("cpu", torch.float64, copy=True)
    shape = tuple(scale.shape)
    if scale.ndim not in (1, 2) or scale.numel() == 0 or shape[0] != shape[-1]:
        raise ValueError(f"{name}: got shape {shape}, wanted a float, deviations (d,) or a covariance (d, d)")
    if not scale.isfinite().all():
        raise ValueError(f"{name}: got NaN or infinity, wanted finite numbers")
    if scale.ndim == 1:
        if not (scale > 0).all():
            raise ValueError(f"{name}: got a deviation of {float(scale.min())}, wanted positive ones")
        return GaussianNoise(scale)
    asymmetry, largest = float((scale - scale.mT).abs().max()), float(scale.abs().max())
    # A product of matrices rounds its entry ij and ji apart, by as many rounding errors as it has terms.
    if asymmetry > len(scale) * torch.finfo(given.dtype).eps * largest:
        raise ValueError(f"{name}: got a covariance with entries ij and ji {asymmetry} apart, wanted a symmetric one")
    factor, failed = torch.linalg.cholesky_ex((scale + scale.mT) / 2)
    if failed:
        raise ValueError(
            f"{name}: got a covariance whose leading {int(failed)} x {int(failed)} block is not positive definite; "
            "wanted a positive definite one, for instance with a little added to its diagonal"
        )
    return GaussianNoise(factor)
