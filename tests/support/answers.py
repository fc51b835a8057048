"""Known answers that share no code with the package: tables, quadrature, and plain Monte Carlo.

Quadrature is the trapezoidal rule up to 12 sigma beyond the centers, in steps of at most sigma / 16. For the smooth,
decaying integrands here its error falls exponentially in 1 / step and is below 1e-10.
tests/mixtures/test_information_values.py compares the quadrature with the table `BPSK`.
"""

import mpmath
import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

# I(S; S + sigma Z) = log 2 - E log(1 + exp(-2 (1 + sigma Z) / sigma^2)) of S = -1 or 1, equally likely, by sigma; in
# nats, rounded to the digits given. Computed for this project; the quadrature of this module, with mpmath in 30 digits,
# rounds to the same digits.
BPSK = {
    0.2: 0.693146,
    0.3: 0.691906,
    0.4: 0.675943,
    0.5: 0.632720,
    0.6: 0.571151,
    0.8: 0.441694,
    1: 0.336831,
    1.5: 0.182895,
    2: 0.111421,
    3: 0.0526716,
}
# The same information for probabilities 3/4 and 1/4, computed in the same way.
THREE_TO_ONE = {0.1: 0.562335, 0.5: 0.511060, 1: 0.265653}

# I(X; tanh(w X - 2 w) + sigma Z) of X uniform on {-3, -1, 1, 3}, by w and sigma; in nats, to 1e-4. Computed for this
# project; the quadrature of this module differs by at most 6.5e-5.
NEURON_SIGMAS = (0.005, 0.01, 0.05, 0.1, 0.2, 0.5)
NEURON = {
    0.05: (1.3863, 1.3863, 0.8328, 0.3908, 0.1320, 0.0236),
    0.2: (1.3863, 1.3863, 1.3689, 1.1454, 0.6859, 0.2099),
    0.5: (1.3863, 1.3863, 1.1654, 1.0590, 0.8454, 0.3979),
    1: (1.0926, 1.0540, 1.0226, 0.8450, 0.6626, 0.4753),
    2: (1.0394, 0.9741, 0.6031, 0.5730, 0.5650, 0.5056),
    5: (0.5624, 0.5623, 0.5624, 0.5623, 0.5623, 0.5110),
}
NEURON_CELLS = [
    (weight, sigma, value) for weight, row in NEURON.items() for sigma, value in zip(NEURON_SIGMAS, row, strict=True)
]


def exact_log_sum(point, centers, sigma, weights):
    """Compute log sum_k w_k exp(e_k) and sum_k p_k |e_k| in 50 digits.

    e_k = -|point - c_k|^2 / (2 sigma^2), and p is the softmax of e with the weights.
    """
    with mpmath.workdps(50):
        differences = [
            [mpmath.mpf(float(a)) - mpmath.mpf(float(b)) for a, b in zip(point, c, strict=True)] for c in centers
        ]
        exponents = [-mpmath.fsum(x**2 for x in row) / (2 * mpmath.mpf(sigma) ** 2) for row in differences]
        terms = [mpmath.mpf(float(w)) * mpmath.exp(e) for w, e in zip(weights, exponents, strict=True)]
        total = mpmath.fsum(terms)
        return float(mpmath.log(total)), float(
            mpmath.fsum(-t * e for t, e in zip(terms, exponents, strict=True)) / total
        )


STEPS_PER_SIGMA, MARGIN_IN_SIGMAS = 16, 12


def grid(lower, upper, sigma):
    """Return the points of the quadrature for centers between `lower` and `upper`."""
    margin = MARGIN_IN_SIGMAS * sigma
    steps = int(np.ceil((upper - lower + 2 * margin) / sigma * STEPS_PER_SIGMA))
    return np.linspace(lower - margin, upper + margin, steps + 1)


def normal(distance, sigma):
    return np.exp(-(distance**2) / (2 * sigma**2)) / np.sqrt(2 * np.pi) / sigma


def entropy(density, axis):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.trapezoid(np.where(density > 0, -density * np.log(density), 0), axis)


def information_of_channel(densities, axis, weights=None):
    """Compute I(X;T) of T on the line from the densities p(t|x) at the points of an axis, (inputs, points)."""
    weights = np.full(len(densities), 1 / len(densities)) if weights is None else weights / np.sum(weights)
    entropies = [entropy(density, axis) for density in densities]
    return entropy(weights @ densities, axis) - weights @ entropies


def information_on_line(centers, sigma, weights=None):
    """Compute I(S; S + Z) of centers (n,) on the line."""
    axis = grid(min(centers), max(centers), sigma)
    return information_of_channel(normal(axis - np.asarray(centers)[:, None], sigma), axis, weights)


def information_in_plane(centers, sigma, weights=None):
    """Compute I(S; S + Z) of centers (n, 2) in the plane."""
    weights = np.full(len(centers), 1 / len(centers)) if weights is None else weights / np.sum(weights)
    axes = [grid(min(column), max(column), sigma) for column in centers.T]
    factors = [normal(axis - column[:, None], sigma) for axis, column in zip(axes, centers.T, strict=True)]
    density = np.einsum("k,ki,kj->ij", weights, *factors)
    row_integrals = np.array([entropy(row, axes[1]) for row in density])
    return np.trapezoid(row_integrals, axes[0]) - np.log(2 * np.pi * np.e * sigma**2)


def gaussian_mixture_information(centers, covariance, samples, seed, classes=None):
    """Estimate I(index; T), or with `classes` I(class; T), by plain Monte Carlo; return it and its standard error.

    The index is uniform over the centers, and T ~ N(centers[index], covariance).
    """
    generator = np.random.default_rng(seed)
    whitened = centers @ np.linalg.inv(np.linalg.cholesky(covariance)).T
    inputs = generator.integers(len(centers), size=samples)
    points = whitened[inputs] + generator.standard_normal((samples, centers.shape[1]))
    exponents = -cdist(points, whitened, "sqeuclidean") / 2
    if classes is None:
        conditional = exponents[np.arange(samples), inputs]
    else:
        in_class = classes[inputs][:, None] == classes
        conditional = logsumexp(np.where(in_class, exponents, -np.inf), axis=1) - np.log(in_class.sum(1))
    terms = conditional - logsumexp(exponents, axis=1) + np.log(len(centers))
    return terms.mean(), terms.std(ddof=1) / np.sqrt(samples)
