"""Points of the plane along the arms of a spiral, an arm for each class."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from layerbits._base import check_count


class SpiralData(NamedTuple):
    """Points and the arms that they lie on.

    Attributes
    ----------
    inputs : torch.Tensor
        Shape (n, 2), float32, in the unit disc.
    labels : torch.Tensor
        Shape (n,), int64, from 0.
    """

    inputs: torch.Tensor
    labels: torch.Tensor


def spiral_dataset(
    samples: int, random: np.random.Generator, *, classes: int = 3, turn: float = 4.0, spread: float = 0.2
) -> SpiralData:
    """Draw points of a spiral, independent of each other.

    An arm is drawn uniformly, and a radius r uniformly from [0, 1]; the angle is that of the arm, plus `turn` r, plus
    normal noise.

    Parameters
    ----------
    samples : int
        Number of points.
    random : numpy.random.Generator
        Where they come from.
    classes : int
        Number of arms, at equal angles.
    turn : float
        Angle in radians by which an arm turns from the center to the rim.
    spread : float
        Standard deviation of the angle in radians.

    Raises
    ------
    TypeError, ValueError
        A number is no integer, or less than 1.
    """
    n, arms = check_count("samples", samples, minimum=1), check_count("classes", classes, minimum=1)
    labels, radius = random.integers(arms, size=n), random.random(n)
    angle = 2 * math.pi * labels / arms + turn * radius + spread * random.standard_normal(n)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return SpiralData(torch.from_numpy(points).float(), torch.from_numpy(labels))
