"""The mixture of estimator-comparison: a component at every corner of the cube [-1, 1]^d, cut off at its faces.

The coordinates are independent, so that the entropy of T is d times the entropy of one coordinate, an integral.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from scipy import integrate

from layerbits._base import Doubles
from layerbits.experiments.entropy.estimator_comparison.settings import Config
from layerbits.kernels import RandomStream, standard_normal, stream


def sample(config: Config, dim: int, samples: int, repeat: int) -> tuple[Doubles, Doubles]:
    """Sample signals and standard normal noise, both (samples, dim); the same for every estimator and sigma."""
    random = stream(config.seed, RandomStream.CORNER_SAMPLES, dim, samples, repeat)
    depth = config.spread * np.abs(random.standard_normal((samples, dim)))
    corners = np.where(random.random((samples, dim)) < 0.5, 1.0, -1.0)
    return corners * (1 - depth), standard_normal((samples, dim), random, torch.float64).numpy()


@functools.cache
def coordinate_entropy(sigma: float, spread: float) -> float:
    """Compute the entropy of a coordinate of T in nats, by quadrature.

    At a corner with coordinate 1, the coordinate of T minus 1 is normal noise minus the absolute value of a normal
    variable. This difference is skew-normal (Azzalini, 1985).
    """
    from scipy.stats import skewnorm  # imported here because the import takes half a second

    scale = math.hypot(spread, sigma)
    component = skewnorm(-spread / sigma, 0, scale)

    def integrand(t: float) -> float:
        density = float(component.pdf(t - 1) + component.pdf(-t - 1)) / 2
        return -density * math.log(density) if density > 0 else 0.0

    # The density is symmetric, and below 1e-31 beyond 12 standard deviations.
    intervals = [(0.0, 1.0), (1.0, 1 + 12 * scale)]
    return 2 * math.fsum(integrate.quad(integrand, *ends, limit=500, epsabs=1e-10)[0] for ends in intervals)
