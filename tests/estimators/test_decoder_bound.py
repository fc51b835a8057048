"""Decoders are densities: they integrate to one, and equal scipy's."""

import numpy as np
import pytest
import torch
from scipy import stats

from layerbits.estimators.decoder_bound import decoders
from layerbits.estimators.log_densities import Queries

SIGMA, CLASSES = 0.5, np.array([0, 0, 1, 0])
NAMES = ["Gaussian", "shared Gaussian", "wide mixture"]


def draws(d, r=5, dtype=np.float64):
    random = np.random.default_rng(d)
    return torch.from_numpy((2 * random.normal(size=(4, 1, d)) + random.normal(size=(4, r, d))).astype(dtype))


def densities(decoder, points, inputs):
    """q(t|x), q(t|y) and q(t) at points (m, d): queries without noise, whose surprisals lack that of N(0, SIGMA^2)."""
    some = points.expand(len(inputs), -1, -1)
    found = decoder.surprisals(Queries(some, some, np.zeros(some.shape[:2]), np.array(inputs)))
    volume = (2 * np.pi * SIGMA**2) ** (points.shape[1] / 2)
    return [np.exp(-one) / volume for one in (found.by_input, found.by_class, found.marginal)]


@pytest.mark.parametrize("place", range(3), ids=NAMES)
@pytest.mark.parametrize("d", [1, 2])
def test_densities_integrate_to_one(d, place):
    """Grid sums with steps of a half of SIGMA, the least deviation there is: off by exp(-2 pi^2 / 0.25) = 1e-34."""
    some = draws(d)
    axis = np.arange(float(some.min()) - 20, float(some.max()) + 20, SIGMA / 2)
    points = torch.from_numpy(np.stack(np.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d))
    for density in densities(list(decoders(some, CLASSES, SIGMA))[place], points, [0, 2]):
        assert density.sum(1) * (SIGMA / 2) ** d == pytest.approx(1, abs=1e-9)


def of_scipy(name, some):
    """q(t|x) of each input, from the formulas of the field."""
    r, d = some.shape[1:]
    noise = SIGMA**2 * np.eye(d)
    spreads = [np.atleast_2d(np.cov(one.T)) for one in some]
    shared = np.mean(spreads, axis=0)
    if name == "wide mixture":
        return [
            lambda t, one=one: np.mean(
                [stats.multivariate_normal(c, noise + 0.09 * shared).pdf(t) for c in one], axis=0
            )
            for one in some
        ]
    return [
        stats.multivariate_normal(one.mean(0), noise + (1 + 1 / r) * (own if name == "Gaussian" else shared)).pdf
        for one, own in zip(some, spreads, strict=True)
    ]


@pytest.mark.parametrize(("place", "name"), list(enumerate(NAMES)))
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
@pytest.mark.parametrize("d", [1, 3, 10])
def test_densities_are_those_of_scipy(d, place, name, dtype, tolerance):
    """Of all inputs, of classes, and of each: exponents of some tens, by factors that are rounded to their dtype."""
    some = draws(d, r=2 * d + 3, dtype=dtype)
    points = draws(d, r=6, dtype=dtype).flatten(0, 1)
    decoder = list(decoders(some, CLASSES, SIGMA))[place]
    assert decoder.name == name
    own, in_class, pooled = densities(decoder, points, range(4))
    truth = np.array([pdf(points.numpy()) for pdf in of_scipy(name, some.numpy())])
    np.testing.assert_allclose(own, truth, rtol=tolerance, atol=1e-30)
    np.testing.assert_allclose(pooled, np.tile(truth.mean(0), (4, 1)), rtol=tolerance)
    of_class = np.array([truth[CLASSES[x] == CLASSES].mean(0) for x in range(4)])
    np.testing.assert_allclose(in_class, of_class, rtol=tolerance, atol=1e-30)


def test_without_labels_the_class_is_all():
    for decoder in decoders(draws(2), None, SIGMA):
        _, in_class, pooled = densities(decoder, draws(2)[0], range(4))
        np.testing.assert_array_equal(in_class, pooled)


def test_some_inputs_are_asked_as_among_all():
    points = draws(2)[0]
    for decoder in decoders(draws(2), CLASSES, SIGMA):
        among, alone = densities(decoder, points, range(4)), densities(decoder, points, [3, 1])
        for all_found, found in zip(among, alone, strict=True):
            np.testing.assert_allclose(found, all_found[[3, 1]], rtol=1e-12)


@pytest.mark.parametrize(("d", "r", "names"), [(2, 1, []), (32, 2, NAMES), (33, 3, NAMES[1:])])
def test_decoders_are_those_that_draws_allow(d, r, names):
    assert [decoder.name for decoder in decoders(draws(d, r), None, SIGMA)] == names


@pytest.mark.parametrize("spread", [0.0, 1e-12])
def test_draws_that_are_all_the_same_leave_the_noise(spread):
    """Every decoder is then N(mean, SIGMA^2)."""
    some = draws(2)
    some = some[:, :1] + spread * some
    truth = np.array([stats.multivariate_normal(one.mean(0), SIGMA**2).pdf(some[0]) for one in some.numpy()])
    for decoder in decoders(some, None, SIGMA):
        np.testing.assert_allclose(densities(decoder, some[0], range(4))[0], truth, rtol=1e-9, atol=1e-30)
