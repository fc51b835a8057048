"""Points in the plane along the arms of a spiral, with one arm for each class."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from layerbits._base import check_count, check_number, check_type, shown

_LARGEST_COUNT = 2**24  # sampling takes about 100 bytes per point
_LARGEST_ANGLE = 10**6  # radians; angles of random points are then exact to 1e-9


class SpiralData(NamedTuple):
    """Points of a spiral and their arms.

    Attributes
    ----------
    inputs : torch.Tensor
        Shape (n, 2), float32, in the unit disc.
    labels : torch.Tensor
        Shape (n,), int64: the number of the arm, from 0.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> inputs, labels = lb.data.spiral_dataset(5, np.random.default_rng(0))
    >>> tuple(inputs.shape), labels.dtype
    ((5, 2), torch.int64)
    """

    inputs: torch.Tensor
    labels: torch.Tensor


def spiral_dataset(
    samples: int, random: np.random.Generator, *, classes: int = 3, turn: float = 4.0, spread: float = 0.2
) -> SpiralData:
    """Sample independent points of a spiral.

    The arm is uniform and the radius r is uniform on [0, 1]. The angle is the sum of the arm's angle, `turn` times r,
    and normal noise.

    Parameters
    ----------
    samples : int
        Number of points.
    random : numpy.random.Generator
        Source of the random numbers.
    classes : int
        Number of arms; the angles between them are equal.
    turn : float
        Angle in radians by which an arm turns from the origin to the rim.
    spread : float
        Standard deviation of the normal noise in radians.

    Returns
    -------
    SpiralData

    Raises
    ------
    TypeError, ValueError
        `samples` or `classes` is not an integer from 1 to 2^24; another argument has the wrong type, or is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> inputs, labels = lb.data.spiral_dataset(100, np.random.default_rng(0))
    >>> tuple(inputs.shape), sorted(labels.unique().tolist())
    ((100, 2), [0, 1, 2])
    """
    samples = check_count("samples", samples, minimum=1, maximum=_LARGEST_COUNT)
    classes = check_count("classes", classes, minimum=1, maximum=_LARGEST_COUNT)
    check_type("random", random, np.random.Generator, wanted="a numpy.random.Generator")
    for name, radians in (("turn", turn), ("spread", spread)):
        if abs(check_number(name, radians)) > _LARGEST_ANGLE:
            raise ValueError(f"{name}: got {shown(radians)}, wanted at most {_LARGEST_ANGLE} radians")
    labels, radius = random.integers(classes, size=samples), random.random(samples)
    angle = 2 * math.pi * labels / classes + turn * radius + spread * random.standard_normal(samples)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return SpiralData(torch.from_numpy(points).float(), torch.from_numpy(labels))
