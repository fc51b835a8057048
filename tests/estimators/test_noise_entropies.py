"""h(T|S) of noise that grows with the signal: the coverage of its interval, and its bound."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from layerbits.estimators.noise_entropies import NoiseEntropy

SIGMA, ALPHA, RISK, SEEDS = 0.2, 0.5, 0.05, 200
# More than this number of SEEDS ends with the probability RISK of a miss are wrong with probability 1e-6.
MAX_WRONG = stats.binom.ppf(1 - 1e-6, SEEDS, RISK)


def entropy_of(function):
    """Return h(T|S) for S = function of a standard normal variable, by adaptive quadrature."""

    def integrand(z):
        return stats.norm.pdf(z) * stats.norm.entropy(scale=math.hypot(ALPHA * function(z), SIGMA))

    return integrate.quad(integrand, -12, 12, points=[0], epsabs=1e-10, limit=200)[0]


@pytest.mark.parametrize(
    ("function", "diameter"),
    [(np.tanh, 2.0), (lambda z: np.maximum(z, 0), math.inf), (lambda z: 1.0 * (np.abs(z) > 2.5), 1.0)],
    ids=["tanh", "relu", "rare step"],
)
@pytest.mark.parametrize(("n", "r"), [(6, 8), (1, 40), (50, 2)])
def test_ends_hold_with_their_probability(function, diameter, n, r):
    truth = entropy_of(function)
    results = []
    for seed in range(SEEDS):
        signals = torch.from_numpy(function(np.random.default_rng(seed).standard_normal((n, r, 1))))
        results.append(NoiseEntropy.of(signals, SIGMA, ALPHA, diameter, RISK))
    assert sum(result.interval.lower > truth for result in results) <= MAX_WRONG
    assert sum(result.interval.upper < truth for result in results) <= MAX_WRONG
    assert all(result.tail_assumed == math.isinf(diameter) for result in results)
    errors = np.array([result.mean - truth for result in results])
    assert abs(errors.mean()) <= 5 * errors.std() / math.sqrt(SEEDS)


def test_equal_signals_have_the_entropy_of_their_noise():
    signals = torch.full((10, 200, 3), 0.4, dtype=torch.float64)
    result = NoiseEntropy.of(signals, SIGMA, ALPHA, 2 * math.sqrt(3), RISK)
    exact = 3 * stats.norm.entropy(scale=math.hypot(0.2, 0.2))
    assert result.mean == pytest.approx(exact, abs=1e-12)
    assert result.standard_error == pytest.approx(0, abs=1e-12)
    assert result.interval.lower <= exact <= result.interval.upper
    assert result.interval.half_width < 0.02
