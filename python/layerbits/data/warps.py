"""Random rotations, shears and shifts of images, for data augmentation."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from layerbits._base import check_number, check_type
from layerbits.kernels import as_floats


def warp(images: Tensor, random: np.random.Generator, *, degrees: float, shear: float, shift: float) -> Tensor:
    """Rotate and shear each image about its center and shift it, by random amounts, with bilinear interpolation.

    Parameters
    ----------
    images : torch.Tensor
        Shape (n, channels, h, w), float32 or float64. Pixels outside the image count as 0.
    random : numpy.random.Generator
        Source of four random numbers for each image.
    degrees, shear : float
        Largest angles of rotation and of shear of the vertical axis, in both directions, in degrees; `shear` is below
        90.
    shift : float
        Largest shift along each axis, in both directions, in pixels.

    Returns
    -------
    torch.Tensor
        The warped images, in the shape of `images`.

    Raises
    ------
    TypeError, ValueError
        An argument has a wrong type, shape or dtype, or an angle or `shift` is not finite or is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import layerbits as lb
    >>> images = torch.ones(2, 1, 8, 8)
    >>> tuple(lb.data.warp(images, np.random.default_rng(0), degrees=10, shear=10, shift=1).shape)
    (2, 1, 8, 8)
    """
    _check_images(images)
    check_type("random", random, np.random.Generator, wanted="a numpy.random.Generator")
    degrees, shear, shift = check_number("degrees", degrees), check_number("shear", shear), check_number("shift", shift)
    if abs(shear) >= 90:
        raise ValueError(f"shear: got {shear}, wanted less than 90 degrees")
    height, width = images.shape[-2:]
    amounts = random.uniform(-1, 1, (4, len(images)))
    angle, slope = math.radians(degrees) * amounts[0], np.tan(math.radians(shear) * amounts[1])
    cosine, sine = np.cos(angle), np.sin(angle)
    # Rows of the affine maps from output to input pixels, in units of half the width and half the height.
    x_rows = np.stack([cosine, (slope * cosine - sine) * height / width, 2 * shift / width * amounts[2]])
    y_rows = np.stack([sine * width / height, slope * sine + cosine, 2 * shift / height * amounts[3]])
    maps = torch.from_numpy(np.stack([x_rows, y_rows]).transpose(2, 0, 1)).to(images)
    grid = affine_grid(maps, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _check_images(images: Tensor) -> None:
    check_type("images", images, Tensor, wanted="a tensor (n, channels, height, width)")
    as_floats("images", images)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"images: got shape {tuple(images.shape)}, wanted (n, channels, height, width), none of them 0"
        )
