"""Bounds on the error of plug-in entropy and information, in nats: pure functions of numbers.

S has a law P on R^d, Z ~ N(0, sigma^2 I_d) and T = S + Z. The plug-in of n samples of S is the entropy of the Gaussian
mixture with these samples as centers; its risk is E|plug-in - h(T)|. In all functions

- `n` is the number of samples (in `information_risk_bound`, of inputs), an int of any size,
- `dim` is d, from 1 to 10^7,
- `sigma` is the standard deviation of the noise, from 1e-30 to 1e30.

A bound too large for a float is returned as infinity, and a bound too small as 0. A TypeError or ValueError names an
argument that is out of range.

[T] is Goldfeld, Greenewald and Polyanskiy, Estimating Differential Entropy under Gaussian Convolutions (arXiv
1810.11589). docs/theory.md proves all other bounds.
"""

from typing import TYPE_CHECKING, NoReturn

from layerbits._base import missing_attribute
from layerbits.theory.covering_risk import (
    covering_risk_bound,
    finite_support_bias_bound,
    fluctuation_bound,
    subgaussian_covering_risk_bound,
)
from layerbits.theory.limits import information_ceiling, is_vacuous
from layerbits.theory.monte_carlo import information_mse_bound, monte_carlo_mse_bound, sharp_mse_bound
from layerbits.theory.published_risk import information_risk_bound, plugin_risk_bound, subgaussian_risk_bound
from layerbits.theory.sample_size import (
    SampleSize,
    log_necessary_samples,
    samples_needed,
    separable_levels,
    worst_case_bias,
)

__all__ = [
    "SampleSize",
    "covering_risk_bound",
    "finite_support_bias_bound",
    "fluctuation_bound",
    "information_ceiling",
    "information_mse_bound",
    "information_risk_bound",
    "is_vacuous",
    "log_necessary_samples",
    "monte_carlo_mse_bound",
    "plugin_risk_bound",
    "samples_needed",
    "separable_levels",
    "sharp_mse_bound",
    "subgaussian_covering_risk_bound",
    "subgaussian_risk_bound",
    "worst_case_bias",
]

if not TYPE_CHECKING:  # mypy would accept all names

    def __getattr__(name: str) -> NoReturn:
        present_names = {"least_bias": "worst_case_bias", "log_least_samples": "log_necessary_samples"}
        raise missing_attribute(f"module {__name__!r}", name, present_names)
