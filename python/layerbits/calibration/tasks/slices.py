"""Layers whose random slices have known information: the tasks of V3."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from layerbits._base import Doubles, Integers
from layerbits.calibration.tasks.channels import REACH, Channel, line_channel, normal_density
from layerbits.calibration.tasks.module_task import ModuleTask, chain
from layerbits.calibration.tasks.quadrature import quadrature_truths
from layerbits.calibration.tasks.scalar_tasks import alternating
from layerbits.calibration.tasks.task import Truth, Truths
from layerbits.networks import DropoutNoise, RandomSlices

# Nodes of the quadrature over frames: of an even grid of angles, and of Gauss and Legendre's rule. Half as many nodes
# give the error.
_NODES = 64


@dataclasses.dataclass(frozen=True, eq=False)
class SliceTask(ModuleTask):
    """Random slices of the layer T of a noisy network, with X uniform over its inputs.

    `truths` has the symbols of the slices, such as ``"SI_1(X;T)"``.

    Attributes
    ----------
    readout : RandomSlices
        The slices.

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.V3 if task.name == "slices-plane")
    >>> task.row_name, round(task.truths["SI_1(X;T)"].value, 4)
    ('0[random 1 x 64]', 0.929)
    """

    readout: RandomSlices = dataclasses.field(default_factory=RandomSlices)

    @property
    def row_name(self) -> str:
        """Name of the slices in tables."""
        return f"{self.layer}[{self.readout.name}]"


def _mean_truths(k: int, nodes: Sequence[Truths], weights: Doubles) -> dict[str, Truth]:
    """Return the weighted mean of the truths of slices of k dimensions, with the symbols of slices."""
    names = [name for name in nodes[0] if name.startswith("I")]
    return {
        f"SI_{k}{name[1:]}": Truth(
            float(weights @ np.array([truths[name].value for truths in nodes])),
            max(truths[name].error for truths in nodes),
            math.nan,
            "quadrature",
        )
        for name in names
    }


def _with_error(fine: dict[str, Truth], coarse: dict[str, Truth]) -> Truths:
    """Return the truths of a fine quadrature over frames, with the change from a coarse one added to the error."""
    return {
        name: dataclasses.replace(truth, error=truth.error + abs(truth.value - coarse[name].value))
        for name, truth in fine.items()
    }


def _in_the_plane(centers: Doubles, labels: Integers, deviations: Callable[[Doubles], Doubles]) -> Truths:
    """Compute SI_1 of centers (n, 2): the mean over the angle of the frame, of period pi.

    `deviations` returns the standard deviations (n,) of the noise of the inputs in a direction.
    """

    def mean_over(count: int) -> dict[str, Truth]:
        angles = np.arange(count) * np.pi / count
        directions = np.stack([np.cos(angles), np.sin(angles)], 1)
        channels = [_channel(centers @ direction, deviations(direction)) for direction in directions]
        nodes = [quadrature_truths(channel, labels=labels) for channel in channels]
        return _mean_truths(1, nodes, np.full(count, 1 / count))

    return _with_error(mean_over(_NODES), mean_over(_NODES // 2))


def _channel(places: Doubles, deviations: Doubles) -> Channel:
    """Return the channel from places (n,) on the line with noise of deviations (n,)."""

    def channel(steps: int) -> tuple[Doubles, float]:
        step = float(deviations.min()) / steps
        axis = np.arange((places - REACH * deviations).min(), (places + REACH * deviations).max() + step, step)
        return normal_density(axis - places[:, None], deviations[:, None]), step

    return channel


def on_an_axis(places: Doubles, dim: int, k: int, labels: Integers, sigma: float) -> Truths:
    """Compute SI_k of centers on one axis of R^dim.

    A slice has the information of the places times the length r of the axis in the frame; r^2 has the distribution
    Beta(k/2, (dim - k)/2). With r = sin(a), the density of a is proportional to sin(a)^(k-1) cos(a)^(dim-k-1).
    """

    def mean_over(count: int) -> dict[str, Truth]:
        points, weights = np.polynomial.legendre.leggauss(count)
        angles = (points + 1) * np.pi / 4
        density = weights * np.sin(angles) ** (k - 1) * np.cos(angles) ** (dim - k - 1)
        nodes = [
            quadrature_truths(line_channel(places * scale, sigma=sigma), labels=labels) for scale in np.sin(angles)
        ]
        return _mean_truths(k, nodes, density / density.sum())

    return _with_error(mean_over(_NODES), mean_over(_NODES // 2))


def _identities(layers: int) -> torch.nn.Module:
    return chain(*[lambda x: x] * layers)


def _plane_task(
    name: str, description: str, noise: Sequence[float | DropoutNoise], count: int, deviation: float
) -> ModuleTask:
    """Make identities with noise; `deviation` is that of all noise without the part that grows with the signal."""
    angles, labels = np.arange(8) * 2.4, alternating(8)
    centers = np.stack([np.cos(angles), np.sin(angles)], 1) * np.sqrt(np.arange(1, 9))[:, None]
    alpha = math.hypot(*(layer_noise.alpha for layer_noise in noise if isinstance(layer_noise, DropoutNoise)))

    def deviations(direction: Doubles) -> Doubles:
        scales: Doubles = np.hypot(alpha * np.linalg.norm(centers * direction, axis=1), deviation)
        return scales

    return SliceTask(
        name,
        description,
        lambda: _in_the_plane(centers, labels, deviations),
        centers,
        labels,
        lambda: _identities(len(noise)),
        {str(layer): layer_noise for layer, layer_noise in enumerate(noise)},
        str(len(noise) - 1),
        readout=RandomSlices(1, count),
    )


def _axis_task(name: str, description: str, places: Doubles, dim: int, readout: RandomSlices) -> ModuleTask:
    labels = alternating(len(places))
    centers = np.zeros((len(places), dim))
    centers[:, 0] = places
    return SliceTask(
        name,
        description,
        lambda: on_an_axis(places, dim, readout.k, labels, 1.0),
        centers,
        labels,
        lambda: _identities(1),
        {"0": 1.0},
        "0",
        readout=readout,
    )


V3: tuple[ModuleTask, ...] = (
    _plane_task("slices-plane", "random lines in the plane, behind no noise", [0.6], 64, 0.6),
    _plane_task("slices-noise", "random lines in the plane, behind noise", [0.6, 0.6], 16, math.hypot(0.6, 0.6)),
    _plane_task(
        "slices-dropout",
        "random lines in the plane, behind dropout",
        [DropoutNoise(0.5, 0.3), 0.4],
        64,
        math.hypot(0.3, 0.4),
    ),
    _axis_task(
        "slices-space", "random planes in space, behind no noise", np.linspace(-3.0, 3.0, 6), 3, RandomSlices(2, 16)
    ),
    _axis_task(
        "slices-skewed",
        "lines that rarely separate two distant inputs",
        np.array([-6.0, 6.0]),
        50,
        RandomSlices(1, 64),
    ),
)
