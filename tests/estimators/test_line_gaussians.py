"""Densities on the line with variances of their own, by sums over few variances."""

import math

import numpy as np
import pytest
import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.decoders import Gaussians, decoders
from layerbits.estimators.line_gaussians import LineGaussians, are_faster
from layerbits.estimators.log_densities import Queries
from tests.support.random_arrays import normal_tensor

SIGMA = 0.1
MEANS = torch.tensor([[-1.0], [0.2], [0.5], [2.0]], dtype=torch.float64)
VARIANCES = torch.tensor([0.01, 0.0173, 0.05, 0.3], dtype=torch.float64)
STEP = 0.002


def queries_on_the_line():
    """Return the same queries of every input, at all points of a grid."""
    points = torch.arange(-7, 8, STEP, dtype=torch.float64).expand(len(MEANS), -1)[..., None].contiguous()
    return Queries.at(points, MEANS[:, None].expand_as(points), SIGMA)


def log_densities(decoder, queries):
    """Return log densities of T: those of a decoder are relative to the density of the noise."""
    constant = -math.log(SIGMA * math.sqrt(2 * math.pi))
    return decoder.log_densities(queries).map(lambda values: values + queries.noise_log_density + constant)


@pytest.mark.parametrize("labels", [None, [0, 1, 0, 1]])
def test_densities_have_the_moments_of_each_input_and_are_near_gaussians(labels):
    queries, classes = queries_on_the_line(), Classes.of(None if labels is None else np.array(labels), len(MEANS))
    points = queries.points[0, :, 0].numpy()
    densities = log_densities(LineGaussians(MEANS, VARIANCES, classes, SIGMA), queries).map(np.exp)
    gaussian = log_densities(Gaussians(MEANS, VARIANCES[:, None, None], classes, SIGMA), queries)
    for number, density in enumerate(densities.given_input):
        # The rule of rectangles is exact here up to rounding: the integrands are analytic and end in zeros.
        assert density.sum() * STEP == pytest.approx(1, abs=1e-12)
        assert (density * points).sum() * STEP == pytest.approx(float(MEANS[number]), abs=1e-12)
        assert (density * (points - float(MEANS[number])) ** 2).sum() * STEP == pytest.approx(float(VARIANCES[number]))
        log_ratio = gaussian.given_input[number] - np.log(np.maximum(density, 1e-300))
        divergence = (np.exp(gaussian.given_input[number]) * log_ratio).sum() * STEP
        assert -1e-12 <= divergence <= 0.003  # the bound in the module's docstring
    for name, weights in (("marginal", np.ones((4, 4))), ("given_class", classes.numbers[:, None] == classes.numbers)):
        mixture = weights @ densities.given_input / weights.sum(1, keepdims=True)
        # Sums may change by 1e-7 nats.
        assert np.allclose(getattr(densities, name), mixture, rtol=2e-7, atol=1e-300)


def test_one_variance_gives_gaussians():
    classes, queries = Classes.of(None, len(MEANS)), queries_on_the_line()
    variances = torch.full_like(VARIANCES, 0.02)
    line, gaussians = (
        log_densities(decoder, queries).marginal
        for decoder in (
            LineGaussians(MEANS, variances, classes, SIGMA),
            Gaussians(MEANS, variances[:, None, None], classes, SIGMA),
        )
    )
    assert np.allclose(line, gaussians, rtol=1e-12, atol=2e-7)


@pytest.mark.parametrize(("n_inputs", "kind"), [(4096, LineGaussians), (64, Gaussians)])
def test_many_inputs_on_the_line_have_sums_over_variances(n_inputs, kind):
    draws = normal_tensor(n_inputs, 8, 1)
    first = next(decoders(draws, Classes.of(None, n_inputs), SIGMA))
    assert type(first) is kind
    assert first.name == "Gaussian"


def test_many_classes_have_sums_over_inputs():
    variances = torch.ones(4096)
    assert are_faster(variances, Classes.of(None, 4096))
    assert not are_faster(variances, Classes.of(np.arange(4096) % 64, 4096))
