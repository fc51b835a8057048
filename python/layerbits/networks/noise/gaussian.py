"""Gaussian noise of a layer: one standard deviation, one for each unit or channel, or a full covariance.

Noise of covariance A A^T is A times independent standard normal values. So A^-1 T is a signal plus noise of covariance
I, with the same information as T because A is invertible. Estimators need only these whitened signals and, for
entropies, `log_volume`. If sigma is one number, signals are not whitened.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits._base import check_positive, shape_of
from layerbits.networks.execution.call_stack import in_function_transform
from layerbits.networks.noise.sigma_checks import check_range, check_resolution, dense_tensor

# A standard deviation, the standard deviations of the d units or C channels, or the covariance (d, d) of the units.
Deviations = float | Tensor | npt.NDArray[np.floating]


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianNoise:
    """Gaussian noise of a layer. `gaussian_noise` makes it from checked arguments.

    Attributes
    ----------
    scale : float or float64 Tensor
        The standard deviation, the standard deviations of the units, shape (d,), those of the channels of a feature
        map or the features of tokens, shape (C,), or the lower Cholesky factor of the covariance, shape (d, d).
    least_deviation : float
        The smallest standard deviation of a unit.
    """

    scale: float | Tensor
    # Number of standard normal values for each value of the signal.
    n_normals: ClassVar[int] = 1
    # Copies of the scale on the devices of signals: a copy in each pass would synchronize host and device.
    _copies: dict[tuple[torch.device, torch.dtype], Tensor] = dataclasses.field(default_factory=dict, init=False)

    least_deviation: float = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "least_deviation", float(self._deviations().min()))

    def __eq__(self, other: object) -> bool:
        """Return whether both noises have an equal `scale`."""
        if not isinstance(other, GaussianNoise):
            return NotImplemented
        return torch.equal(*(torch.as_tensor(noise.scale, dtype=torch.float64) for noise in (self, other)))

    def __hash__(self) -> int:
        return hash(self.least_deviation)

    def __mul__(self, factor: float) -> GaussianNoise:
        """Return noise with `factor` times the standard deviations, such as ``0.9 * noise`` to anneal it.

        Raises
        ------
        TypeError, ValueError
            `factor` is not a positive finite number, or a standard deviation is then not from 1e-37 to 1e37.
        """
        scaled = GaussianNoise(self.scale * check_positive("factor", factor))
        check_range("sigma", scaled.least_deviation, float(scaled._deviations().max()))
        return scaled

    __rmul__ = __mul__

    def __float__(self) -> float:
        """Return the standard deviation; raise a TypeError if units have several, or a covariance."""
        if isinstance(self.scale, Tensor):
            raise TypeError(f"noise: got {self}, wanted noise with one standard deviation; read its attribute sigma")
        return self.scale

    def __reduce__(self) -> tuple[type[GaussianNoise], tuple[float | Tensor]]:
        """Pickle the scale without its copies, because the target machine may lack the device."""
        return GaussianNoise, (self.scale,)

    @property
    def sigma(self) -> float | Tensor:
        """A copy of the standard deviation, the deviations (d,) or (C,) or the covariance (d, d), as for `noisify`."""
        if not isinstance(self.scale, Tensor):
            return self.scale
        # A copy: changed in place, the scale would differ from its copies in other dtypes and on other devices.
        return self.scale.clone() if self.scale.ndim == 1 else self.scale @ self.scale.mT

    @property
    def whitened_sigma(self) -> float:
        """Standard deviation of the noise after whitening: 1 unless sigma is one number."""
        return 1.0 if isinstance(self.scale, Tensor) else self.scale

    @property
    def log_volume(self) -> float:
        """h(T) minus the entropy of the whitened T, in nats: log |det A|, or 0 if sigma is one number.

        Wrong for standard deviations of channels; `per_unit` converts them.
        """
        if not isinstance(self.scale, Tensor):
            return 0.0
        return float((self.scale if self.scale.ndim == 1 else self.scale.diagonal()).log().sum())

    def check(self, layer: str, shape: Sequence[int]) -> None:
        """Raise ValueError unless signals (n, ...) have as many units, channels (axis 1) or features as the noise.

        Features are those of tokens, along the last axis. `shape` is empty for nested tensors. C deviations for signals
        (n, C, C) are refused: they may be meant for either axis.
        """
        if not isinstance(self.scale, Tensor):
            return
        if not shape:
            raise ValueError(
                f"sigma: got noise of {len(self.scale)} units for {layer!r}, which returns nested tensors, wanted one "
                "standard deviation"
            )
        if self._axis(shape) is not None and len(shape) == 3 and shape[1] == shape[2]:
            n_channels, n_units = shape[1], shape[1] ** 2
            raise ValueError(
                f"sigma: got {n_channels} deviations for {layer!r}, whose signal of shape {shape_of(shape[1:])} has "
                f"length {n_channels} in axis 1 and in axis 2, wanted one for each unit, shape ({n_units},): "
                f"torch.repeat_interleave(sigma, {n_channels}) for axis 1, or torch.tile(sigma, ({n_channels},)) for "
                "axis 2"
            )
        if math.prod(shape[1:]) == len(self.scale) or self._axis(shape) is not None:
            return
        channels = f", or {shape[1]} for axis 1," if self.scale.ndim == 1 and len(shape) > 2 else ""
        channels += f" or {shape[2]} for axis 2," if channels and len(shape) == 3 else ""
        raise ValueError(
            f"sigma: got noise of {len(self.scale)} units for {layer!r}, wanted {math.prod(shape[1:])}{channels} for "
            f"its signal of shape {shape_of(shape[1:])}"
            + "; in torch.func.vmap, give the network rows, such as x[None]"
            * in_function_transform()
        )

    def check_resolution(self, layer: str, step: float, dtype: torch.dtype) -> None:
        """Raise ValueError if rounding to multiples of `step` distorts the noise in the direction of the least."""
        check_resolution(layer, self.least_scale, step, dtype)

    @property
    def least_scale(self) -> float:
        """The largest number c with D(p(t|s) || p(t|s')) <= |s - s'|^2 / (2 c^2), in nats, for all s and s'."""
        if isinstance(self.scale, Tensor) and self.scale.ndim == 2:
            return float(torch.linalg.matrix_norm(self.scale.double(), ord=-2))
        return self.least_deviation

    def of_mean(self, n_averaged: int) -> GaussianNoise:
        """Return the noise of the mean of `n_averaged` signals with this noise, independent of one another."""
        return GaussianNoise(self.scale / math.sqrt(n_averaged))

    def per_unit(self, shape: Sequence[int]) -> GaussianNoise:
        """Return noise with a standard deviation for each channel or feature as noise with one for each unit.

        The signals have the shape (n, ...). Other noise is returned unchanged.
        """
        axis = self._axis(shape)
        if axis is None:
            return self
        assert isinstance(self.scale, Tensor)
        deviations = self.scale.view(-1, *[1] * (len(shape) - 1 - axis))
        return GaussianNoise(deviations.expand(tuple(shape[1:])).flatten())

    def repeated(self, times: int) -> GaussianNoise:
        """Return the independent noise of `times` signals as that of one signal of all their units."""
        if not isinstance(self.scale, Tensor):
            return self
        if self.scale.ndim == 1:
            return GaussianNoise(self.scale.repeat(times))
        return GaussianNoise(torch.kron(torch.eye(times, dtype=self.scale.dtype), self.scale.contiguous()))

    def _axis(self, shape: Sequence[int]) -> int | None:
        """Return the axis of signals (n, ...) to which the standard deviations belong; None if they are of the units.

        Axis 1 is the axis of the channels; for tokens (n, L, C), axis 2 is that of the features. The last axis of a map
        (n, h, w, C) is never taken, because for h = C axis 1 would be taken.
        """
        if not isinstance(self.scale, Tensor) or self.scale.ndim != 1 or len(shape) < 3:
            return None
        count = len(self.scale)
        if count == math.prod(shape[1:]):
            return None
        return 1 if count == shape[1] else 2 if len(shape) == 3 and count == shape[2] else None

    def add(self, signal: Tensor, normal: Tensor) -> Tensor:
        """Add noise to a signal (n, ...), from standard normal values of the same shape and device.

        The sum is computed in the dtype of `normal` and rounded to that of the signal.
        """
        values = signal.to(normal.dtype)
        if not isinstance(self.scale, Tensor):
            return torch.add(values, normal, alpha=self.scale).to(signal.dtype)
        scale = self._scale_of(signal.device, normal.dtype)
        axis = self._axis(signal.shape)
        if axis is not None:
            return (values + normal * scale.view(-1, *[1] * (signal.ndim - 1 - axis))).to(signal.dtype)
        units = normal.reshape(-1, len(scale))
        noise = units * scale if scale.ndim == 1 else units @ scale.mT
        return (values + noise.view(signal.shape)).to(signal.dtype)

    def whiten(self, signals: Tensor) -> Tensor:
        """Map signals (..., d) to float64 signals whose noise has covariance I.

        If sigma is one number, the signals are returned unchanged. Standard deviations of channels must be converted by
        `per_unit` first.
        """
        if not isinstance(self.scale, Tensor):
            return signals
        scale = self._scale_of(signals.device, torch.float64)
        if scale.ndim == 1:
            return signals.to(torch.float64, copy=True).div_(scale)  # one copy, also of float32 signals
        columns = signals.double().flatten(0, -2).mT
        whitened: Tensor = torch.linalg.solve_triangular(scale, columns, upper=False)
        return whitened.mT.reshape(signals.shape)

    def _scale_of(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        if (device, dtype) not in self._copies:
            self._copies[device, dtype] = torch.as_tensor(self.scale).to(device, dtype)
        return self._copies[device, dtype]

    def __repr__(self) -> str:
        if not isinstance(self.scale, Tensor):
            return f"GaussianNoise(sigma={self.scale})"
        return f"GaussianNoise({'deviations' if self.scale.ndim == 1 else 'covariance'} of {len(self.scale)} units)"

    def _deviations(self) -> Tensor:
        """Return the standard deviations of the units or channels; one number if they are equal."""
        scale = torch.as_tensor(self.scale, dtype=torch.float64)
        return torch.linalg.vector_norm(scale, dim=1) if scale.ndim == 2 else scale


def gaussian_noise(sigma: Deviations, *, name: str = "sigma") -> GaussianNoise:
    """Make noise from a standard deviation, deviations (d,) of units or (C,) of channels, or a covariance (d, d).

    `name` is the name of `sigma` in errors.

    Raises
    ------
    TypeError, ValueError
        `sigma` has the wrong type or shape, is not finite, or requires gradients; a standard deviation is not from
        1e-37 to 1e37; or a covariance is not symmetric to the rounding of its dtype, or not positive definite.
    """
    if isinstance(sigma, list | tuple):
        raise TypeError(f"{name}: got {type(sigma).__name__}, wanted a number, a tensor or an array; use torch.tensor")
    if not isinstance(sigma, Tensor | np.ndarray):
        number = check_positive(name, sigma)
        check_range(name, number, number)
        return GaussianNoise(number)
    tensor = dense_tensor(name, sigma)
    scale = tensor.to("cpu", torch.float64, copy=True)
    shape = tuple(scale.shape)
    if scale.ndim not in (1, 2) or scale.numel() == 0 or shape[0] != shape[-1]:
        remedy = "; flatten deviations of several axes" if scale.ndim > 1 else ""
        remedy = f"; pass float({name})" if scale.numel() == 1 else remedy
        raise ValueError(
            f"{name}: got shape {shape}, wanted a float, standard deviations (d,) or a covariance (d, d){remedy}"
        )
    if not scale.isfinite().all():
        raise ValueError(f"{name}: got NaN or infinity, wanted finite numbers")
    if scale.ndim == 1:
        if not (scale > 0).all():
            raise ValueError(f"{name}: got a standard deviation of {float(scale.min())}, wanted positive numbers")
        check_range(name, float(scale.min()), float(scale.max()))
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
    deviations = scale.diagonal().sqrt()
    check_range(name, float(deviations.min()), float(deviations.max()))
    return GaussianNoise(factor)
