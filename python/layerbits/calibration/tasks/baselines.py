"""Samples whose information or entropy is known, with bounds on the errors of the baselines."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import polygamma

from layerbits._base import Doubles
from layerbits.baselines import (
    infonce_information,
    kde_entropy,
    kozachenko_leonenko_entropy,
    ksg_information,
    matrix_renyi_entropy,
    pairwise_bounds,
    sliced_ksg_information,
)
from layerbits.calibration.tasks.slices import on_an_axis
from layerbits.calibration.tasks.task import Task, Truth, Truths
from layerbits.kernels import RandomStream, stream

_ROWS, _NEIGHBOURS, _SLICES, _CANDIDATES = 1000, 3, 16, 128
_ROUNDING = 1e-9


class ErrorBound(NamedTuple):
    """Largest error of an estimate below and above the true value, in nats, in 95 of 100 samples.

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.BASELINES if task.name == "ksg-gaussian")
    >>> isinstance(task.bounds["I(X;T)"], lb.calibration.ErrorBound)
    True
    """

    below: float
    above: float


_EXACT = ErrorBound(_ROUNDING, _ROUNDING)


@dataclasses.dataclass(frozen=True, eq=False)
class BaselineTask(Task):
    """Samples of a known distribution for a baseline, which has no interval.

    `layerbits check` counts the estimates whose error is within a bound. The bound is a published or derived bias plus
    1.96 standard errors, from a bound on the variance. Mean and true value show the bias.

    Attributes
    ----------
    estimate : callable
        Returns the estimates of a sample, by quantity, from the seed of the sample.
    bounds : mapping of str to ErrorBound
        Bounds on the errors by quantity.

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.BASELINES if task.name == "ksg-gaussian")
    >>> error = task.estimate(0)["I(X;T)"] - task.truths["I(X;T)"].value
    >>> -task.bounds["I(X;T)"].below < error < task.bounds["I(X;T)"].above
    True
    """

    estimate: Callable[[int], Mapping[str, float]] = dataclasses.field(repr=False)
    bounds: Mapping[str, ErrorBound]


def _task(
    names: tuple[str, str], quantity: str, truth: float, estimate: Callable[[int], float], bound: ErrorBound
) -> BaselineTask:
    """Make a task with a name and a description."""
    truths = {quantity: Truth(truth, _ROUNDING, math.nan, "closed form")}
    return BaselineTask(*names, lambda: truths, lambda seed: {quantity: estimate(seed)}, {quantity: bound})


def _within(variance: float, rows: int, bias: float) -> ErrorBound:
    error = 1.96 * math.sqrt(variance / rows) + bias
    return ErrorBound(error, error)


def _random(seed: int) -> np.random.Generator:
    return stream(seed, RandomStream.BASELINE_SAMPLES)


def _gaussian_pair(seed: int, dim: int, correlation: float) -> tuple[Doubles, Doubles]:
    """Sample T and X whose coordinates have a correlation."""
    inputs, noise = _random(seed).standard_normal((2, _ROWS, dim))
    return correlation * inputs + math.sqrt(1 - correlation**2) * noise, inputs


def _gaussian_information(correlation: float) -> float:
    return -math.log(1 - correlation**2) / 2


def _ksg_gaussian(correlation: float) -> BaselineTask:
    def estimate(seed: int) -> float:
        rows, inputs = _gaussian_pair(seed, 1, correlation)
        return ksg_information(rows, inputs=inputs).value

    return _task(
        ("ksg-gaussian", "KSG on correlated Gaussians"), "I(X;T)", _gaussian_information(correlation), estimate,
        _within(_ksg_variance(correlation), _ROWS, 0.01),
    )  # fmt: skip


def _ksg_variance(correlation: float) -> float:
    """Bound the variance of KSG times n: the variance of the information density, and 2 psi'(k) of 3 k neighbours.

    The bias is below 0.01 for some thousand rows (Kraskov et al., figure 2).
    """
    return correlation**2 + 6 * _NEIGHBOURS * float(polygamma(1, _NEIGHBOURS))


def _ksg_discrete() -> BaselineTask:
    """Make T = X of four values.

    With counts c of n, digamma(n) - sum c digamma(c) / n is the plug-in entropy plus 3 / 2n, up to O(1 / n^2), and 2 n
    times the error of the plug-in is chi-square with 3 degrees of freedom, below 7.9 in 95 of 100 samples.
    """

    def estimate(seed: int) -> float:
        values = _random(seed).integers(0, 4, (_ROWS, 1)).astype(float)
        return ksg_information(values, inputs=values).value

    bound = ErrorBound(7.9 / 2 / _ROWS, 2 / _ROWS)
    return _task(("ksg-discrete", "KSG on rows that coincide"), "I(X;T)", math.log(4), estimate, bound)


def _ksg_lattice() -> BaselineTask:
    """Make independent values of 16 and 256 integers, and 10 classes: distances tie at the radii of most rows."""

    def estimate(seed: int) -> dict[str, float]:
        random = _random(seed)
        rows, inputs = (random.integers(0, 16, (_ROWS, dim)).astype(float) for dim in (1, 2))
        result = ksg_information(rows, inputs=inputs)
        of_classes = ksg_information(inputs, inputs=rows, labels=random.integers(0, 10, _ROWS)).label_information
        assert of_classes is not None
        return {"I(X;T)": result.value, "I(T;Y)": of_classes}

    truth, bound = Truth(0.0, _ROUNDING, math.nan, "closed form"), _within(_ksg_variance(0.0), _ROWS, 0.01)
    return BaselineTask(
        "ksg-lattice", "KSG on independent integers", lambda: {"I(X;T)": truth, "I(T;Y)": truth}, estimate,
        {"I(X;T)": bound, "I(T;Y)": bound},
    )  # fmt: skip


def _dead(name: str, quantity: str, estimate: Callable[[Doubles, Doubles], float]) -> BaselineTask:
    def of_seed(seed: int) -> float:
        return estimate(np.full((_ROWS, 3), 0.3), _random(seed).standard_normal((_ROWS, 2)))

    return _task((name, "rows that all coincide"), quantity, 0.0, of_seed, _EXACT)


def _gaussian_entropy(name: str, dim: int, entropy: Callable[[Doubles], float], bound: ErrorBound) -> BaselineTask:
    return _task(
        (name, "the entropy of a Gaussian"), "h(T)", dim / 2 * math.log(2 * math.pi * math.e),
        lambda seed: entropy(_random(seed).standard_normal((_ROWS, dim))), bound,
    )  # fmt: skip


def _entropies() -> list[BaselineTask]:
    """Make tasks for h(T), whose variance times n is d / 2 for -log f, and 3 k psi'(k) for the neighbours.

    Neighbours: a share (k / n)^(2 / (d + 2)) of the rows lies in the tails, where each errs by less than 1. KDE: a
    cross-entropy exceeds the entropy by less than 2 n^(-4 / (d + 4)), the integrated error of Scott's rule.
    """
    dim, k = 2, _NEIGHBOURS
    variance, tails = dim / 2 + 3 * k * float(polygamma(1, k)), (k / _ROWS) ** (2 / (dim + 2))
    above = _within(dim / 2, _ROWS, 2 * _ROWS ** (-4 / (dim + 4))).above
    below = _within(dim / 2, _ROWS, 0.0).below
    return [
        _gaussian_entropy(
            "neighbours-gaussian",
            dim,
            lambda rows: kozachenko_leonenko_entropy(rows).value,
            _within(variance, _ROWS, tails),
        ),
        _gaussian_entropy("kde-gaussian", dim, lambda rows: kde_entropy(rows).value, ErrorBound(below, above)),
    ]


def _of_two_rows() -> list[BaselineTask]:
    """Make tasks for functions of two rows at the distance 2, whose values have closed forms for sigma = width = 1."""
    rows, kernel = np.array([[-1.0], [1.0]]), math.exp(-(2.0**2) / 2)
    eigenvalues = np.array([1 + kernel, 1 - kernel]) / 2
    renyi = -math.log(float((eigenvalues**2).sum()))
    values: dict[tuple[str, str, str], tuple[float, Callable[[int], float]]] = {
        ("pairwise-lower", "the lower bound of two rows", "I(T;T+Z)"): (
            -math.log((1 + math.exp(-(2.0**2) / 8)) / 2),
            lambda _: pairwise_bounds(rows, sigma=1.0)[0].value,
        ),
        ("pairwise-upper", "the upper bound of two rows", "I(T;T+Z)"): (
            -math.log((1 + kernel) / 2),
            lambda _: pairwise_bounds(rows, sigma=1.0)[1].value,
        ),
        ("renyi-two", "the matrix entropy of two rows", "S_alpha(T)"): (
            renyi,
            lambda _: matrix_renyi_entropy(rows, alpha=2.0, width=1.0).value,
        ),
    }
    return [
        _task((name, description), quantity, truth, estimate, _EXACT)
        for (name, description, quantity), (truth, estimate) in values.items()
    ]


def _sliced_gaussian(correlation: float) -> BaselineTask:
    """Make the plane, where the mean over the angle of -log(1 - rho^2 cos^2) / 2 is -log((1 + sqrt(1 - rho^2)) / 2)."""

    def estimate(seed: int) -> float:
        rows, inputs = _gaussian_pair(seed, 2, correlation)
        return sliced_ksg_information(rows, inputs=inputs, slices=_SLICES, seed=seed).value

    truth = -math.log((1 + math.sqrt(1 - correlation**2)) / 2)
    return _task(
        ("sliced-gaussian", "sliced KSG on Gaussians in the plane"), "SI(X;T)", truth, estimate,
        _sliced_bound(_ksg_variance(correlation), _gaussian_information(correlation)),
    )  # fmt: skip


def _sliced_bound(variance: float, largest: float) -> ErrorBound:
    """Bound the error of a mean over slices, whose information in [0, `largest`] deviates by at most `largest` / 2."""
    return _within(variance / _ROWS + largest**2 / 4 / _SLICES, 1, 0.01)


def _sliced_classes() -> BaselineTask:
    """Make two classes in the plane whose centers are 8 deviations apart."""
    places, labels = np.array([-4.0, 4.0]), np.array([0, 1])

    def truths() -> Truths:
        return {"SI(T;Y)": on_an_axis(places, 2, 1, labels, 1.0)["SI_1(T;Y)"]}

    def estimate(seed: int) -> dict[str, float]:
        random = _random(seed)
        classes = random.integers(0, 2, _ROWS)
        rows = random.standard_normal((_ROWS, 2)) + np.outer(places[classes], [1.0, 0.0])
        result = sliced_ksg_information(rows, inputs=rows, labels=classes, slices=_SLICES, seed=seed)
        assert result.label_information is not None
        return {"SI(T;Y)": result.label_information}

    bound = _sliced_bound(_ksg_variance(1.0), math.log(2))
    return BaselineTask("sliced-classes", "sliced KSG on classes", truths, estimate, {"SI(T;Y)": bound})


def _infonce(seed: int, dim: int, correlation: float) -> float:
    rows, inputs = _gaussian_pair(seed, dim, correlation)
    return infonce_information(rows, inputs=inputs, batch=_CANDIDATES, seed=seed).value


def _infonce_gaussian(correlation: float) -> BaselineTask:
    """Make correlated Gaussians, of which 384 rows are held out.

    The expectation is at most I(X;T), and the terms vary nearly as the information density, whose variance is rho^2.
    The critic loses less than 0.1 nats (measured: 0 to .05).
    """
    above = _within(correlation**2, 3 * _CANDIDATES, 0.0).above
    return _task(
        ("infonce-gaussian", "InfoNCE on correlated Gaussians"), "I(X;T)", _gaussian_information(correlation),
        partial(_infonce, dim=1, correlation=correlation), ErrorBound(above + 0.1, above),
    )  # fmt: skip


def _infonce_cap() -> BaselineTask:
    """Make T = X in 8 dimensions, of infinite information: the value is at most log K, and above 0.9 log K."""
    cap = math.log(_CANDIDATES)
    return _task(
        ("infonce-cap", "InfoNCE of T = X, where log K is its limit"), "I(X;T)", cap,
        partial(_infonce, dim=8, correlation=1.0), ErrorBound(0.1 * cap, _ROUNDING),
    )  # fmt: skip


BASELINES: tuple[BaselineTask, ...] = (
    _ksg_gaussian(0.6),
    _ksg_discrete(),
    _ksg_lattice(),
    _dead("ksg-dead", "I(X;T)", lambda rows, inputs: ksg_information(rows, inputs=inputs).value),
    *_entropies(),
    *_of_two_rows(),
    _sliced_gaussian(0.9),
    _sliced_classes(),
    _dead("sliced-dead", "SI(X;T)", lambda rows, inputs: sliced_ksg_information(rows, inputs=inputs, slices=4).value),
    _infonce_gaussian(0.9),
    _infonce_cap(),
)
