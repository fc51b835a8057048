"""The spiral against its definition."""

import math

import numpy as np
import pytest

from layerbits.data import spiral_dataset


def draw(samples=4000, seed=0, **options):
    return spiral_dataset(samples, np.random.default_rng(seed), **options)


def test_points_lie_along_the_arm_of_their_class():
    inputs, labels = draw(classes=3, turn=4.0, spread=0.2)
    x, y = inputs.double().numpy().T
    off = np.arctan2(y, x) - 4 * np.hypot(x, y) - 2 * math.pi * labels.numpy() / 3
    off = (off + math.pi) % (2 * math.pi) - math.pi
    # Five standard errors of a mean and of a standard deviation of 4000 normal values.
    assert abs(off.mean()) < 5 * 0.2 / math.sqrt(4000)
    assert abs(off.std() - 0.2) < 5 * 0.2 / math.sqrt(8000)


def test_radii_fill_the_unit_interval_evenly():
    radii = np.sort(np.hypot(*draw().inputs.double().numpy().T))
    # Kolmogorov: exceeded by chance once in 10^5.
    assert np.abs(radii - (np.arange(4000) + 0.5) / 4000).max() < 2.5 / math.sqrt(4000)


def test_classes_are_equally_likely():
    counts = draw().labels.bincount(minlength=3)
    assert (counts - 4000 / 3).abs().max() < 5 * math.sqrt(4000 * 2 / 9)


def test_generator_decides_the_points():
    assert draw(10).inputs.equal(draw(10).inputs)
    assert not draw(10).inputs.equal(draw(10, seed=1).inputs)


@pytest.mark.parametrize("name", ["samples", "classes"])
def test_number_below_one_is_refused(name):
    with pytest.raises(ValueError, match=name):
        draw(**{name: 0})
