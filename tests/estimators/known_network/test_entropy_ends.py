"""Entropies where queries lie beyond the range of signals that the pilot assumes."""

import math

import numpy as np
import torch
from scipy.stats import norm

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings, known_network_estimates
from tests.support.answers import entropy
from tests.support.signal_models import DenseSignals

SIGMA, GAIN, THRESHOLD = 0.5, 500.0, 1.5
PLACES = np.linspace(0.0, 0.6, 4)


def rare_signals():
    """Return a unit that is 0 in most passes, and up to some hundred sigma elsewhere."""
    weights, biases = ([torch.tensor(values).double() for values in pair] for pair in (
        ([[1.0]], [[GAIN]]), ([0.0], [-GAIN * THRESHOLD])))  # fmt: skip
    return DenseSignals(torch.from_numpy(PLACES)[:, None], weights, biases, "relu", SIGMA)


def densities(axis):
    """Return p(t|x) in units of sigma: an atom at 0 and a normal law cut off at 0, each plus the noise."""
    means, deviation = GAIN / SIGMA * (PLACES[:, None] - THRESHOLD), GAIN
    total = math.hypot(deviation, 1)
    center = (means + axis * deviation**2) / total**2
    positive = norm.pdf(axis, means, total) * norm.cdf(center * total / deviation)
    return norm.cdf(-means / deviation) * norm.pdf(axis) + positive


def test_signals_beyond_the_assumed_range_leave_intervals_that_hold():
    axis, noise = np.arange(-10, 2500, 0.1), 0.5 * math.log(2 * math.pi * math.e)
    of_inputs = densities(axis)
    truths = {
        "h(T)": entropy(of_inputs.mean(0), axis) - noise,
        "h(T|X)": np.mean([entropy(density, axis) for density in of_inputs]) - noise,
    }
    model, settings = rare_signals(), KnownNetworkSettings(queries=1024, samples=16, chains=False)
    for seed in range(2):
        estimates = known_network_estimates(model, Classes.of(None, model.n_inputs), 1e-3, seed, settings)
        for name, truth in truths.items():
            assert estimates[name].tail_assumed
            assert estimates[name].interval.lower <= truth <= estimates[name].interval.upper
