"""Gaussian noise of a layer: isotropic, with a standard deviation for each unit, or with a full covariance.

Noise of covariance A A^T is A times isotropic noise. So A^-1 T is a signal plus isotropic noise, with the same
information as T because A is invertible. Estimators therefore need whitened signals only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits._base import check_positive

# A standard deviation, the standard deviations (d,) of the units, or the covariance (d, d) of the flattened units.
Deviations = float | Tensor | npt.NDArray[np.floating]

# The noise of all layers, or of each layer by its name or a glob.
Sigma = Deviations | Mapping[str, Deviations]


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianNoise:
    """Gaussian noise of a layer, made by `gaussian_noise`.

    Attributes
    ----------
    scale : float or float64 Tensor
        The standard deviation, the standard deviations of the units, shape (d,), or the lower Cholesky factor of the
        covariance, shape (d, d).
    """

    scale: float | Tensor
    # Copies of the scale on the devices of signals: a copy in each pass would make the device wait for the host.
    _copies: dict[tuple[torch.device, torch.dtype], Tensor] = dataclasses.field(default_factory=dict, init=False)

    def __reduce__(self) -> tuple[type[GaussianNoise], tuple[float | Tensor]]:
        """Pickle the scale without its copies, because the target machine may lack the device."""
        return GaussianNoise, (self.scale,)

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise after whitening: 1 unless the noise is isotropic."""
        return 1.0 if isinstance(self.scale, Tensor) else self.scale

    @property
    def log_volume(self) -> float:
        """h(T) minus the entropy of the whitened T, in nats: log |det A|."""
        if not isinstance(self.scale, Tensor):
            return 0.0
        return float((self.scale if self.scale.ndim == 1 else self.scale.diagonal()).log().sum())

    def check(self, layer: str, shape: Sequence[int]) -> None:
        """Raise ValueError if signals of shape (n, ...) of the layer have another number of units than the noise."""
        units = math.prod(shape[1:])
        if isinstance(self.scale, Tensor) and units != len(self.scale):
            raise ValueError(
                f"sigma: got noise of {len(self.scale)} units for {layer!r}, wanted {units} for its signal of shape "
                f"{tuple(shape)}"
            )

    def add(self, signal: Tensor, normal: Tensor) -> Tensor:
        """Add noise to a signal (n, ...), from standard normal values of the same shape and device.

        The sum is computed in the dtype of `normal` and rounded to that of the signal.
        """
        wide = signal.to(normal.dtype)
        if not isinstance(self.scale, Tensor):
            return torch.add(wide, normal, alpha=self.scale).to(signal.dtype)
        scale = self._scale_of(signal.device, normal.dtype)
        noise = normal.flatten(1) * scale if scale.ndim == 1 else normal.flatten(1) @ scale.mT
        return (wide + noise.view(signal.shape)).to(signal.dtype)

    def whiten(self, signals: Tensor) -> Tensor:
        """Map signals (..., d) to float64 signals with isotropic noise; return them unchanged if it is isotropic."""
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
    """Make noise from a standard deviation, standard deviations (d,) of the units or a covariance (d, d).

    `name` is the name of `sigma` in errors.

    Raises
    ------
    TypeError, ValueError
        `sigma` has the wrong type or shape, deviations are not positive and finite, or a covariance is not symmetric to
        the rounding of its dtype or not positive definite.
    """
    if not isinstance(sigma, Tensor | np.ndarray):
        return GaussianNoise(check_positive(name, sigma))
    tensor = torch.as_tensor(sigma).detach()
    if not tensor.is_floating_point():
        raise TypeError(f"{name}: got dtype {tensor.dtype}, wanted floating-point numbers")
    scale = tensor.to("cpu", torch.float64, copy=True)
    shape = tuple(scale.shape)
    if scale.ndim not in (1, 2) or scale.numel() == 0 or shape[0] != shape[-1]:
        raise ValueError(f"{name}: got shape {shape}, wanted a float, standard deviations (d,) or a covariance (d, d)")
    if not scale.isfinite().all():
        raise ValueError(f"{name}: got NaN or infinity, wanted finite numbers")
    if scale.ndim == 1:
        if not (scale > 0).all():
            raise ValueError(f"{name}: got a standard deviation of {float(scale.min())}, wanted positive numbers")
        return GaussianNoise(scale)
    asymmetry, largest = float((scale - scale.mT).abs().max()), float(scale.abs().max())
    # A matrix product of d terms rounds its entries ij and ji independently, with at most d rounding errors each.
    if asymmetry > len(scale) * torch.finfo(tensor.dtype).eps * largest:
        raise ValueError(
            f"{name}: got a covariance with entries ij and ji that differ by {asymmetry}, wanted equal entries; "
            "pass the mean of the matrix and its transpose"
        )
    factor, failed = torch.linalg.cholesky_ex((scale + scale.mT) / 2)
    if failed:
        raise ValueError(
            f"{name}: got a covariance whose leading {int(failed)} x {int(failed)} block is not positive definite; "
            "wanted a positive definite matrix; add a small number to its diagonal"
        )
    return GaussianNoise(factor)
