"""Random rotations, shears and shifts of images."""

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from layerbits.data import warp

IMAGES = torch.rand(4, 1, 9, 9, generator=torch.Generator().manual_seed(0))


class FixedGenerator(np.random.Generator):
    """A stand-in for a NumPy generator that returns the same amounts for every image."""

    def __init__(self, *amounts):
        super().__init__(np.random.PCG64())
        self.amounts = amounts

    def uniform(self, lower, upper, shape):
        assert (lower, upper) == (-1, 1)
        return np.repeat(np.array(self.amounts, dtype=float)[:, None], shape[1], axis=1)


def assert_close(warped, expected):
    # The affine map, whose terms sum to at most 2 in magnitude, and the conversion to pixels round a coordinate by at
    # most 4.5 eps of float32 times the length of its axis, at most 13: 7e-6 pixels. Neighbouring pixels differ by at
    # most 1, so that two coordinates change a value by at most 1.4e-5. The interpolation rounds it by less than 1e-6.
    torch.testing.assert_close(warped, expected, atol=2e-5, rtol=0)


def test_limits_of_zero_change_nothing():
    assert_close(warp(IMAGES, np.random.default_rng(0), degrees=0, shear=0, shift=0), IMAGES)


def test_rotation_by_90_degrees_agrees_with_rot90():
    assert_close(warp(IMAGES, FixedGenerator(1, 0, 0, 0), degrees=90, shear=0, shift=0), torch.rot90(IMAGES, 1, (2, 3)))


def test_rotation_of_an_oblong_image_by_90_degrees_rotates_its_middle_square():
    oblong = torch.zeros(1, 1, 9, 13)
    oblong[..., 2:11] = IMAGES[:1]
    assert_close(
        warp(oblong, FixedGenerator(1, 0, 0, 0), degrees=90, shear=0, shift=0)[..., 2:11],
        torch.rot90(IMAGES[:1], 1, (2, 3)),
    )


@pytest.mark.parametrize(("amounts", "rows", "columns"), [((0, 0, 1, 0), 0, -2), ((0, 0, 0, -0.5), 1, 0)])
def test_shift_by_whole_pixels_fills_with_background(amounts, rows, columns):
    padded = torch.nn.functional.pad(IMAGES, (2, 2, 2, 2))
    expected = padded[..., 2 - rows : 11 - rows, 2 - columns : 11 - columns]
    assert_close(warp(IMAGES, FixedGenerator(*amounts), degrees=0, shear=0, shift=2), expected)


def test_shear_shifts_rows_in_proportion_to_their_distance_from_the_center():
    warped = warp(IMAGES, FixedGenerator(0, 1, 0, 0), degrees=0, shear=45, shift=0)
    padded = torch.nn.functional.pad(IMAGES, (4, 4, 0, 0))
    expected = torch.stack([padded[..., row, row : row + 9] for row in range(9)], -2)
    assert_close(warped, expected)


def test_amounts_vary_between_images_within_their_limits():
    dots = torch.zeros(500, 1, 41, 41)
    dots[..., 20, 30] = 1  # 10 pixels to the right of the center
    warped = warp(dots, np.random.default_rng(0), degrees=10, shear=10, shift=2)
    offsets = torch.arange(41.0) - 20
    brightness = warped.sum((1, 2, 3))
    x = (warped.sum((1, 2)) * offsets).sum(1) / brightness
    y = (warped.sum((1, 3)) * offsets).sum(1) / brightness
    # The shift moves the dot to (8 to 12, -2 to 2). Rotation gives |y| <= 12 sin 10 + 2 cos 10 = 4.05 (degrees), and
    # x >= 8 cos 10 - 2 sin 10 = 7.53. Shear adds up to 4.05 tan 10, so that |x - 10| <= 3.19. Interpolation spreads the
    # dot by a pixel, which becomes cos 10 + sin 10 = 1.16 in y, and 1.16 (1 + tan 10) = 1.37 in x.
    assert y.abs().max() < 4.05 + 1.16
    assert (x - 10).abs().max() < 3.19 + 1.37
    # A shift alone gives |y| <= 2, a rotation alone 1.74. The standard deviation of y is about
    # sqrt((2^2 + 1.74^2) / 3) = 1.53, with a standard error of 1.53 / sqrt(2 * 500) = 0.05.
    assert y.abs().max() > 2.5
    assert y.std() > 1


def test_combined_warp_agrees_with_the_affine_transform_of_scipy():
    angle, slope, x_shift, y_shift = np.radians(8), np.tan(np.radians(6)), 1.4, -0.6
    image = np.random.default_rng(0).random((7, 12))
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # acts on (row, column)
    matrix = rotation @ np.array([[1, 0], [slope, 1]])
    center = (np.array(image.shape) - 1) / 2
    offset = center - matrix @ center + (y_shift, x_shift)
    padded = np.pad(image, 5)  # SciPy does not interpolate towards the background
    expected = affine_transform(padded, matrix, offset + 5, output_shape=image.shape, order=1)
    warped = warp(
        torch.from_numpy(image)[None, None], FixedGenerator(0.8, 0.6, 0.7, -0.3), degrees=10, shear=10, shift=2
    )
    assert_close(warped[0, 0], torch.from_numpy(expected))


def test_generator_determines_the_warps():
    expected, repeated, different = (
        warp(IMAGES, np.random.default_rng(seed), degrees=10, shear=10, shift=2) for seed in (1, 1, 2)
    )
    assert torch.equal(repeated, expected)
    assert not torch.equal(different, expected)
