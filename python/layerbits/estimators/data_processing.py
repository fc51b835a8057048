"""Ends of intervals that layers of a chain take over from one another, by the data processing inequality.

If the input acts on a layer through an earlier layer alone (`DependenceGraph.cuts`), then I(X;T), I(T;Y) and I(X;T|Y)
of the layer are at most those of the earlier one. The upper end of a layer is the least of its own and those of the
earlier layers, and the lower end of a layer is the largest of its own and those of the later layers and of its readouts
A^T T, which are functions of T. The risk is divided before the measurement, so that all ends that may enter hold
together. Simultaneous intervals hold together in any case: layers take over one another's own ends, without a division
(docs/theory.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from layerbits._base import MASKED
from layerbits.estimators.layer_measurement import LayerMeasurement
from layerbits.estimators.problem import Problem
from layerbits.estimators.risk_shares import UNDIVIDED, RiskShares
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate
from layerbits.networks import RandomSlices
from layerbits.statistics import Interval

# Share of the risk of an end that goes to the ends of other layers.
_LENT_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Chains:
    """The chains among the measured layers.

    Attributes
    ----------
    earlier, later : mapping of str to tuple of str
        For each measured layer, the measured layers through which alone the input acts on it; and the measured layers
        on which the input acts through it alone, with its readouts of a fixed matrix A. Layers of a network without
        noise are in no chain.
    simultaneous : bool
        Whether the own intervals of all layers hold together.
    """

    earlier: Mapping[str, tuple[str, ...]]
    later: Mapping[str, tuple[str, ...]]
    simultaneous: bool = False

    @classmethod
    def of(cls, problem: Problem, *, simultaneous: bool = False) -> Chains:
        """Return the chains among the layers that a problem measures as a whole."""
        network = problem.network
        layers = [name for name, part in problem.parts.items() if part.view is None and network.adds_noise]
        earlier = {
            layer: tuple(other for other in network.dependence.cuts(layer) if other in layers) for layer in layers
        }
        readouts: dict[str, list[str]] = {layer: [] for layer in layers}
        for name, part in problem.parts.items():
            # Under a mask A depends on the input, and A^T T may carry more information than T. A readout hardly exceeds
            # the lower end of a known channel, and a mean over random slices hardly exceeds the lower end of its layer.
            lends = MASKED not in part.flags(network) and part.layer not in network.behind_no_noise
            lends = lends and not isinstance(part.slices, RandomSlices)
            if part.view is not None and part.layer in readouts and lends:
                readouts[part.layer].append(name)
        later = {layer: (*(other for other in layers if layer in earlier[other]), *readouts[layer]) for layer in layers}
        return cls(earlier, later, simultaneous)

    def shares(self, name: str) -> RiskShares:
        """Return how the risk of the ends of a layer is divided; a part in no chain keeps all of the risk."""
        earlier, later = self.earlier.get(name, ()), self.later.get(name, ())
        if not earlier and not later and not any(name in others for others in self.later.values()):
            return UNDIVIDED
        if self.simultaneous:
            return RiskShares(lent=1.0)
        most_ends = max(map(len, (*self.earlier.values(), *self.later.values())))
        return RiskShares(
            lower=1 - _LENT_SHARE if later else 1.0,
            upper=1 - _LENT_SHARE if earlier else 1.0,
            lent=_LENT_SHARE / most_ends,
        )

    def combined(self, name: str, measurements: Mapping[str, LayerMeasurement]) -> LayerMeasurement:
        """Return the measurement of a layer, or another part, with the best ends of its chains.

        `measurements` are those of all parts with one label set, without ends of other layers. The note on a missed
        tolerance is dropped if the new interval is narrow enough; its cause and remedy come from the own bounds.
        """
        measurement, estimates = measurements[name], {}
        for quantity, estimate in measurement.estimates.items():
            estimates[quantity] = estimate
            if estimate.lent is not None:
                lower_ends = {other: _lent(measurements[other], quantity).lower for other in self.later.get(name, ())}
                upper_ends = {other: _lent(measurements[other], quantity).upper for other in self.earlier.get(name, ())}
                estimates[quantity] = _with_ends(estimate, lower_ends, upper_ends)
        information, shortfall = estimates["I(X;T)"], measurement.shortfall
        if shortfall is not None:
            is_narrow = information.interval.half_width <= shortfall.tolerance
            shortfall = None if is_narrow else dataclasses.replace(shortfall, is_combined=bool(information.taken))
        return dataclasses.replace(measurement, estimates=estimates, shortfall=shortfall)


def _lent(measurement: LayerMeasurement, quantity: str) -> Interval:
    lent = measurement.estimates[quantity].lent
    assert lent is not None, "a layer of a chain lends its ends"
    return lent


def _with_ends(
    estimate: TwoSidedEstimate, lower_ends: Mapping[str, float], upper_ends: Mapping[str, float]
) -> TwoSidedEstimate:
    """Return an estimate with the largest of its own lower end and others, by layer, and the least upper end."""
    lower, upper, taken = estimate.interval.lower, estimate.interval.upper, []
    if max(lower_ends.values(), default=lower) > lower:
        layer = max(lower_ends, key=lower_ends.__getitem__)
        lower = lower_ends[layer]
        taken.append(f"lower end from {layer!r}")
    if min(upper_ends.values(), default=upper) < upper:
        layer = min(upper_ends, key=upper_ends.__getitem__)
        upper = upper_ends[layer]
        taken.append(f"upper end from {layer!r}")
    if not taken:
        return estimate
    return dataclasses.replace(estimate.with_interval(Interval(lower, upper)), taken=" and ".join(taken))
