"""A 95 % interval for the entropy h(T) of the last hidden layer, from samples alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from layerbits._base import Doubles
from layerbits.experiments.entropy.spiral.network import sample_layer
from layerbits.experiments.entropy.spiral.settings import WIDTHS, Config
from layerbits.mixtures import mixture_entropy, mixture_log_density, noise_entropy
from layerbits.statistics import student_margin, unseen_probability, upper_mean_bound

_QUERIES = 16_384  # points of the cross-entropy behind the upper end
_RISK = 0.05  # half for each end of the interval
_DIM = WIDTHS[-1]


class Reference(NamedTuple):
    """The row of reference.csv: a 95 % interval for h(T), and the mean plug-in and cross-entropy; in nats."""

    samples: int
    lower: float
    plug_in: float
    cross_entropy: float
    upper: float


def entropy_interval(config: Config, network: nn.Module) -> Reference:
    """Compute an interval for h(T): plug-ins are too small on average, and cross-entropies are too large.

    The lower end is Student's bound for the mean of plug-ins. The upper end follows from E[-log q(T)] >= h(T), which
    holds for every density q. Here q is the mixture of one sample, and T is taken from the next sample.
    """
    repeats = range(config.repeats, config.repeats + config.reference_repeats)
    samples = [sample_layer(config, network, config.reference_samples, repeat) for repeat in repeats]
    plug_ins = np.array(
        [
            mixture_entropy(signals, config.sigma, tolerance=config.tolerance, seed=config.seed).value
            for signals, _ in samples
        ]
    )
    variance = plug_ins.var(ddof=1) / len(samples)
    margin = student_margin(np.array([variance]), len(samples) - 1, _RISK / 2)
    excess, upper_excess = _cross_entropy_excess(samples, config.sigma)
    noise = noise_entropy(_DIM, config.sigma)
    return Reference(
        config.reference_samples,
        lower=float(plug_ins.mean()) - margin,
        plug_in=float(plug_ins.mean()),
        cross_entropy=noise + excess,
        upper=noise + upper_excess,
    )


def _cross_entropy_excess(samples: Sequence[tuple[Doubles, Doubles]], sigma: float) -> tuple[float, float]:
    """Estimate E[-log q(T)] - h(Z), and bound it from above."""
    wide_share = unseen_probability(_QUERIES, _RISK / 2)
    terms = list(_terms(samples, sigma, wide_share))
    # With |s|^2 <= d, log N(t; s, sigma^2 I) - log N(t; 0, (1 + sigma^2) I) is at most d/2 log(1 + 1/sigma^2) + d/2,
    # its value where the derivative by t is 0. Each term is at most this value minus log(wide_share).
    ceiling = _DIM / 2 * math.log1p(1 / sigma**2) + _DIM / 2 - math.log(wide_share)
    upper = upper_mean_bound(terms, lower_limit=0.0, upper_limit=ceiling, risk=_RISK / 2)
    return float(np.mean(terms)), upper


def _terms(samples: Sequence[tuple[Doubles, Doubles]], sigma: float, wide_share: float) -> Iterator[Doubles]:
    """Yield log p(T|S) - log q(T) at points of each sample but the first.

    q is the mixture of the sample before, with a wide normal density of weight `wide_share`, which bounds the terms.
    """
    queries = _QUERIES // (len(samples) - 1)
    for (centers, _), (signals, noise) in itertools.pairwise(samples):
        points = signals[:queries] + sigma * noise[:queries]
        log_q = np.logaddexp(
            mixture_log_density(points, centers, sigma) + math.log1p(-wide_share),
            mixture_log_density(points, np.zeros((1, _DIM)), math.sqrt(1 + sigma**2)) + math.log(wide_share),
        )
        log_noise = -(noise[:queries] ** 2).sum(1) / 2 - _DIM * math.log(math.sqrt(2 * math.pi) * sigma)
        yield log_noise - log_q
