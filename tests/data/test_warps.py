"""Random rotations, shears and shifts of images."""

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from layerbits.data import warp

IMAGES = torch.rand(4, 1, 9, 9, generator=torch.Generator().manual_seed(0))


class Fixed:
    """Instead of a generator: the same draws for every image."""

    def __init__(self, *draws):
        self.draws = draws

    def uniform(self, low, high, shape):
        assert (low, high) == (-1, 1)
        return np.repeat(np.array(self.draws, dtype=float)[:, None], shape[1], axis=1)


def close(found, expected):
    # Coordinates have errors of some eps of float32 times 9 pixels, and neighbours differ by at most 1.
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_nothing_is_changed_by_amounts_of_zero():
    close(warp(IMAGES, np.random.default_rng(0), degrees=0, shear=0, shift=0), IMAGES)


def test_quarter_turn_is_a_quarter_turn():
    close(warp(IMAGES, Fixed(1, 0, 0, 0), degrees=90, shear=0, shift=0), torch.rot90(IMAGES, 1, (2, 3)))


def test_quarter_turn_of_an_oblong_image_keeps_its_middle_square():
    oblong = torch.zeros(1, 1, 9, 13)
    oblong[..., 2:11] = IMAGES[:1]
    close(warp(oblong, Fixed(1, 0, 0, 0), degrees=90, shear=0, shift=0)[..., 2:11], torch.rot90(IMAGES[:1], 1, (2, 3)))


@pytest.mark.parametrize(("draws", "rows", "columns"), [((0, 0, 1, 0), 0, -2), ((0, 0, 0, -0.5), 1, 0)])
def test_shift_moves_by_whole_pixels_and_fills_with_background(draws, rows, columns):
    padded = torch.nn.functional.pad(IMAGES, (2, 2, 2, 2))
    expected = padded[..., 2 - rows : 11 - rows, 2 - columns : 11 - columns]
    close(warp(IMAGES, Fixed(*draws), degrees=0, shear=0, shift=2), expected)


def test_shear_moves_each_row_in_proportion_to_its_height():
    found = warp(IMAGES, Fixed(0, 1, 0, 0), degrees=0, shear=45, shift=0)
    padded = torch.nn.functional.pad(IMAGES, (4, 4, 0, 0))
    expected = torch.stack([padded[..., row, row : row + 9] for row in range(9)], -2)
    close(found, expected)


def test_amounts_differ_between_images_and_stay_within_their_limits():
    wide = torch.zeros(500, 1, 41, 41)
    wide[..., 20, 30] = 1  # a dot at 10 pixels to the right of the centre
    found = warp(wide, np.random.default_rng(0), degrees=10, shear=10, shift=2)
    places = torch.arange(41.0) - 20
    mass = found.sum((1, 2, 3))
    across = (found.sum((1, 2)) * places).sum(1) / mass
    down = (found.sum((1, 3)) * places).sum(1) / mass
    # Up to 2 pixels of shift, and 10 sin(10 degrees) = 1.7 of rotation; interpolation spreads by less than a pixel.
    assert down.abs().max() < 2 + 1.74 + 1
    assert down.abs().max() > 2.5
    assert (across - 10).abs().max() < 2 + 1.74 + 1
    assert down.std() > 1


def test_all_at_once_is_the_affine_map_of_scipy():
    angle, slant, across, down = np.radians(8), np.tan(np.radians(6)), 1.4, -0.6
    image = np.random.default_rng(0).random((7, 12))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # of (row, column)
    matrix = turn @ np.array([[1, 0], [slant, 1]])
    center = (np.array(image.shape) - 1) / 2
    offset = center - matrix @ center + (down, across)
    wide = np.pad(image, 5)  # scipy does not fade out towards the background by itself
    expected = affine_transform(wide, matrix, offset + 5, output_shape=image.shape, order=1)
    found = warp(torch.from_numpy(image)[None, None], Fixed(0.8, 0.6, 0.7, -0.3), degrees=10, shear=10, shift=2)
    close(found[0, 0], torch.from_numpy(expected))


def test_generator_decides():
    first, again, other = (
        warp(IMAGES, np.random.default_rng(seed), degrees=10, shear=10, shift=2) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
