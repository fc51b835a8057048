"""The spiral data against their definition."""

import math

import numpy as np
import pytest

from layerbits.data import spiral_dataset


def spiral(samples=4000, seed=0, **options):
    return spiral_dataset(samples, np.random.default_rng(seed), **options)


def test_angles_are_normal_about_the_arm_of_the_class():
    inputs, labels = spiral(classes=3, turn=4.0, spread=0.2)
    x, y = inputs.double().numpy().T
    error = np.arctan2(y, x) - 4 * np.hypot(x, y) - 2 * math.pi * labels.numpy() / 3
    error = (error + math.pi) % (2 * math.pi) - math.pi
    # The tolerances are 5 standard errors of the mean and the standard deviation of 4000 normal values.
    assert abs(error.mean()) < 5 * 0.2 / math.sqrt(4000)
    assert abs(error.std() - 0.2) < 5 * 0.2 / math.sqrt(8000)


def test_radii_are_uniform_on_the_unit_interval():
    radii = np.sort(np.hypot(*spiral().inputs.double().numpy().T))
    # The Kolmogorov statistic exceeds this bound with probability 1e-5.
    assert np.abs(radii - (np.arange(4000) + 0.5) / 4000).max() < 2.5 / math.sqrt(4000)


def test_classes_are_equally_likely():
    counts = spiral().labels.bincount(minlength=3)
    assert (counts - 4000 / 3).abs().max() < 5 * math.sqrt(4000 * 2 / 9)


def test_generator_determines_the_points():
    assert spiral(10).inputs.equal(spiral(10).inputs)
    assert not spiral(10).inputs.equal(spiral(10, seed=1).inputs)


@pytest.mark.parametrize("name", ["samples", "classes"])
def test_count_below_1_is_refused(name):
    with pytest.raises(ValueError, match=name):
        spiral(**{name: 0})
