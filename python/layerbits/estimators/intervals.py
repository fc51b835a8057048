"""The information of a layer between two bounds: plug-in on one side, decoders on the other (docs/theory.md)."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.estimators.decoder_bound import decoders
from layerbits.estimators.log_densities import QUANTITIES, Queries, Surprisals, wide_surprisals
from layerbits.estimators.plug_in_bound import Entropies, exact_surprisals, plug_in
from layerbits.kernels import as_sigma
from layerbits.mixtures import pairwise_information_bounds
from layerbits.statistics import (
    JackknifeMean,
    ceilings,
    channel_interval,
    in_passes,
    largest_terms,
    lower_mean_bound,
    rare_share,
    secured,
    upper_mean_bound,
)

# Weight of the mixture in the decoder that has some of it: it helps where the Gaussian is far off, and costs little.
_SHARE = 0.1

# A decoder this near to the plug-in, in nats, is not compared with dearer ones.
_CLOSE = 0.01

# Ends of an interval that are further apart the wrong way, in nats, are no rounding.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class TwoSidedEstimate:
    """A quantity of a layer, in nats; entropies are those above the entropy of the noise.

    Attributes
    ----------
    value, standard_error : float
        The best point estimate.
    lower, upper : float
        Confidence interval for the true value.
    plug_in, plug_in_error, decoded, decoded_error : float
        The two bounds and their standard errors; one and the same where the channel is known exactly. Of an
        information, the plug-in is the upper bound, of an entropy the lower one.
    decoder : str
        Whose bound `decoded` is.
    limited_by : str
        What the width of the interval comes from most: "queries", "draws", "decoder" or "dimensions".
    """

    value: float
    standard_error: float
    lower: float
    upper: float
    plug_in: float
    plug_in_error: float
    decoded: float
    decoded_error: float
    decoder: str
    limited_by: str

    def plus(self, constant: float) -> TwoSidedEstimate:
        """Return the bracket shifted by a constant."""
        places = {name: getattr(self, name) + constant for name in ("value", "lower", "upper", "plug_in", "decoded")}
        return dataclasses.replace(self, **places)


def exact_estimates(
    queries: Queries, centers: Tensor, classes: Integers | None, sigma: float, risk: float, lost: float
) -> dict[str, TwoSidedEstimate]:
    """Bound the quantities of a layer behind no noise, from at least two queries of every input.

    The channel is known, so that both bounds are the value, and the interval is one for a mean of independent terms.
    `risk` is that of either end; `lost` is what the dimensions that were left out may add.
    """
    surprisals = exact_surprisals(queries, centers, classes, sigma)
    known, most = ceilings(len(centers), classes), largest_terms(len(centers), classes)
    nothing = JackknifeMean.of_terms(np.zeros((len(centers), 2)))
    brackets = {"h(T|X)": _between(nothing, nothing, 0.0, 0.0, math.inf, 0.0, "exact")}
    for quantity, ceiling in known.items():
        terms = surprisals.terms(quantity)
        low, high = channel_interval(terms, ceiling=ceiling, most=most[quantity], risk=risk)
        if quantity == "I(X;T)":
            pairwise = pairwise_information_bounds(centers[:, 0], as_sigma(sigma))
            below, above = map(float, pairwise)
            low, high = max(low, below), min(high, above)
        mean = JackknifeMean.of_terms(terms)
        brackets[quantity] = _between(mean, mean, low, high, ceiling, lost, "exact")
    # What T has more entropy than its noise is I(X;T), an interval for which knows of rare events.
    brackets["h(T)"] = brackets["I(X;T)"]
    return {quantity: brackets[quantity] for quantity in _quantities(known)}


def sampled_estimates(
    queries: Queries,
    draws: Tensor,
    classes: Integers | None,
    sigma: float,
    risk: float,
    lost: float,
    *,
    some: Integers,
    other: Entropies | None = None,
) -> dict[str, TwoSidedEstimate]:
    """Bound the quantities of a layer behind noise; `risk` and `lost` as of `exact_estimates`.

    The bases of the queries (N, q, d) are draws like `draws` (N, r, d), q <= r. Decoders are made of `draws`, chosen on
    the first half of the queries (those of `some` inputs) and evaluated on the second. With the entropies of an `other`
    sample, those given X and Y are taken from there, and the value is the plug-in.
    """
    entropies, by_mixture = plug_in(queries, draws, classes, sigma)
    half = queries.shape[1] // 2
    trial, final = queries.of_passes(slice(half)).of_inputs(some), queries.of_passes(slice(half, None))
    mixture = by_mixture.at(some, slice(half)), by_mixture.at(slice(None), slice(half, None))
    share = rare_share(math.prod(final.shape), risk)
    candidates: list[_Candidate] = []
    for one in _candidates(trial, final, mixture, draws, classes, sigma):
        candidates.append(one)
        if (
            len(candidates) > 1
            and entropies.marginal.value - entropies.by_input.value - one.merit("I(X;T)", share) < _CLOSE
        ):
            break
    far = [wide_surprisals(one, draws, sigma) for one in (trial, final)]
    # What a term of an entropy cannot exceed, unless values come that lie further out than any here.
    furthest = max(float(one.max(initial=0.0)) for one in far)
    known, most = ceilings(len(draws), classes), largest_terms(len(draws), classes)
    brackets = {}
    for quantity in _quantities(known):
        plugged, ceiling = _plugged(entropies, other or entropies, quantity), known.get(quantity, math.inf)
        chosen = max(candidates, key=lambda one: one.merit(quantity, share))
        margin = plugged.margin(risk)
        if quantity in known:
            tried, terms = (secured(one.terms(quantity), share) for one in (chosen.trial, chosen.final()))
            floor = math.log(share)
            pilot = _pilot(tried, floor, ceiling)
            low = lower_mean_bound(pilot, in_passes(terms), floor=floor, ceiling=ceiling, risk=risk)
            # Student's bound knows nothing of what no query has met: a share of `unseen`, which tells `most` at most.
            unseen = rare_share(math.prod(queries.shape), risk)
            high = plugged.value + margin
            high += unseen * max(0.0, most[quantity] - high)
        else:
            both = zip((chosen.trial, chosen.final()), far, strict=True)
            tried, terms = (one.cautious(wide, share).terms(quantity) for one, wide in both)
            highest = furthest - 2 * math.log(share)
            low = plugged.value - margin
            high = upper_mean_bound(
                _pilot(tried, 0.0, highest), in_passes(terms), floor=0.0, ceiling=highest, risk=risk
            )
        decoded = JackknifeMean.of_terms(terms)
        bracket = _between(plugged, decoded, low, high, ceiling, lost, chosen.name, caution=-math.log1p(-share))
        brackets[quantity] = dataclasses.replace(bracket, value=plugged.value) if other else bracket
    return brackets


def _pilot(tried: Doubles, floor: float, ceiling: float) -> list[Doubles]:
    """Return terms to set stakes by: two made up, where there are none."""
    return [tried.ravel() if tried.size > 1 else np.array([floor, ceiling])]


def _quantities(known: Iterable[str]) -> list[str]:
    """Return those with a ceiling, and the entropies, in the order of `QUANTITIES`."""
    return [quantity for quantity, (_, subtracted) in QUANTITIES.items() if quantity in known or subtracted is None]


def _plugged(entropies: Entropies, other: Entropies, quantity: str) -> JackknifeMean:
    """Return the plug-in of `quantity`, with entropies given X and Y from the other sample."""
    first, second = QUANTITIES[quantity]
    one: JackknifeMean = getattr(entropies if first == "marginal" else other, first)
    return one.minus(getattr(other, second), same_sample=other is entropies or first != "marginal") if second else one


@dataclasses.dataclass(frozen=True)
class _Candidate:
    name: str
    trial: Surprisals
    final: Callable[[], Surprisals]

    def merit(self, quantity: str, share: float) -> float:
        """Return how tight the bound of `quantity` was on trial; larger is better."""
        terms = self.trial.terms(quantity)
        if not terms.size:
            return 0.0
        return float(secured(terms, share).mean() if QUANTITIES[quantity][1] else -terms.mean())


def _candidates(
    trial: Queries,
    final: Queries,
    by_mixture: tuple[Surprisals, Surprisals],
    draws: Tensor,
    classes: Integers | None,
    sigma: float,
) -> Iterator[_Candidate]:
    mixture = _Candidate("mixture", by_mixture[0], lambda: by_mixture[1])
    yield mixture
    for decoder in decoders(draws, classes, sigma):
        one = _Candidate(decoder.name, decoder.surprisals(trial), _once(decoder.surprisals, final))
        yield one
        if decoder.name == "Gaussian":
            yield _Candidate("Gaussian and mixture", one.trial.mixed_with(mixture.trial, _SHARE), _mixed(one, mixture))


def _once(surprisals: Callable[[Queries], Surprisals], queries: Queries) -> Callable[[], Surprisals]:
    return functools.cache(lambda: surprisals(queries))


def _mixed(one: _Candidate, other: _Candidate) -> Callable[[], Surprisals]:
    return functools.cache(lambda: one.final().mixed_with(other.final(), _SHARE))


def _between(
    plugged: JackknifeMean,
    decoded: JackknifeMean,
    low: float,
    high: float,
    ceiling: float,
    lost: float,
    decoder: str,
    *,
    caution: float = 0.0,
) -> TwoSidedEstimate:
    """Put a bracket together: `lost` is added above; what `caution` costs the decoder is no part of the value."""
    is_entropy = ceiling == math.inf
    upper, lower = (decoded, plugged) if is_entropy else (plugged, decoded)
    high = min(high + lost, ceiling)
    low = min(max(low, 0.0), ceiling) if not is_entropy else low
    low = high if 0 < low - high < _ROUNDING else low
    gap = max(0.0, upper.value - lower.value)
    bias = 0.0 if plugged is decoded else plugged.bias
    by_draws = min(abs(bias), gap)
    fresh = decoded.value + (-caution if is_entropy else caution)
    causes = {"queries": high - low - gap - lost, "draws": by_draws, "decoder": gap - by_draws, "dimensions": lost}
    return TwoSidedEstimate(
        value=min(max((plugged.value - bias / 2 + fresh) / 2, low), high) + 0.0,  # why half: docs/theory.md
        standard_error=(plugged.standard_error + decoded.standard_error) / 2,
        lower=low + 0.0,  # -0.0 becomes 0.0
        upper=high + 0.0,
        plug_in=plugged.value if is_entropy else max(plugged.value, min(plugged.value + lost, ceiling)),
        plug_in_error=plugged.standard_error,
        decoded=decoded.value + (lost if is_entropy else 0),
        decoded_error=decoded.standard_error,
        decoder=decoder,
        limited_by=max(causes, key=causes.__getitem__),
    )
