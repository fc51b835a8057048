"""Small random rotations, shears and shifts of images, to train on more than there are."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def warp(images: Tensor, random: np.random.Generator, *, degrees: float, shear: float, shift: float) -> Tensor:
    """Rotate, shear and shift each image by its own random amounts, about its centre, with bilinear interpolation.

    Parameters
    ----------
    images : torch.Tensor
        Shape (n, channels, h, w), floating; what moves in from outside is 0.
    random : numpy.random.Generator
        Draws four numbers for each image.
    degrees, shear : float
        Largest angles of rotation and of shear (of the vertical axis) either way, in degrees; below 90.
    shift : float
        Largest shift either way along each axis, in pixels.

    Returns
    -------
    torch.Tensor
        Of the shape of `images`.
    """
    height, width = images.shape[-2:]
    draws = random.uniform(-1, 1, (4, len(images)))
    angle, slant = math.radians(degrees) * draws[0], np.tan(math.radians(shear) * draws[1])
    cosine, sine = np.cos(angle), np.sin(angle)
    # Where a pixel comes from, in units of half the width and half the height.
    across = np.stack([cosine, (slant * cosine - sine) * height / width, 2 * shift / width * draws[2]])
    down = np.stack([sine * width / height, slant * sine + cosine, 2 * shift / height * draws[3]])
    maps = torch.from_numpy(np.stack([across, down]).transpose(2, 0, 1)).to(images)
    grid = affine_grid(maps, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
