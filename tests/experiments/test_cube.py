"""Probabilities, information and density of signals at the corners of the cube."""

import numpy as np
import pytest

from layerbits.experiments.entropy import cube
from tests.support import answers as known_answers


@pytest.mark.parametrize(("sigma", "value"), known_answers.BPSK.items())
def test_fair_bits_carry_the_tabulated_information(sigma, value):
    assert cube.information(3, 0.5, sigma) == pytest.approx(3 * value, abs=3 * 0.6e-6)  # the table has six digits


@pytest.mark.parametrize(("sigma", "value"), known_answers.THREE_TO_ONE.items())
@pytest.mark.parametrize("probability", [0.25, 0.75])
def test_unfair_bits_carry_the_tabulated_information(sigma, value, probability):
    assert cube.information(2, probability, sigma) == pytest.approx(2 * value, abs=2 * 0.6e-6)


def test_corner_probabilities_give_each_bit_its_probability():
    corners, probabilities = cube.corners(4), cube.corner_probabilities(4, 0.8)
    assert len(np.unique(corners, axis=0)) == 16
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities @ corners == pytest.approx(np.full(4, 0.6))


def test_log_density_is_that_of_the_mixture_of_all_corners():
    random = np.random.default_rng(0)
    points, sigma = 2 * random.standard_normal((20, 3)), 0.4
    distances = ((points[:, None] - cube.corners(3)) ** 2).sum(-1)
    density = np.exp(-distances / (2 * sigma**2)) @ cube.corner_probabilities(3, 0.7) / (2 * np.pi * sigma**2) ** 1.5
    assert cube.log_density(points, 0.7, sigma) == pytest.approx(np.log(density), rel=1e-12)
