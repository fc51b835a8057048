"""Which layer has the next round where several have not reached the tolerance, and when the rounds end.

The time that is left goes first to layers that can reach the tolerance within it, all together. Among these, and then
among the others, the next round goes to the layer whose half width falls most a second, by expectation. The order
changes no result of a round: a measurement whose layers end by the tolerance, by `max_draws` or by another limit on
numbers has the same numbers on every machine. Only where `max_seconds` ends the rounds of a layer does its number of
rounds depend on time.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping

from layerbits.estimators.layer_rounds import LayerRounds, Outlook


def run_rounds(
    layers: Mapping[str, LayerRounds],
    deadline: float,
    show: Callable[[str], object],
    count: Callable[[], object],
) -> None:
    """Run further rounds of layers until every interval of I(X;T) is narrow enough or a limit is reached.

    Parameters
    ----------
    layers : mapping of str to LayerRounds
        Layers after their first round. Those that end at a limit get a note.
    deadline : float
        No round begins that is likely to end after this time (`time.monotonic`).
    show, count : callable
        `show` gets a line on each round; `count` is called for each layer that is finished.
    """
    unfinished = dict(layers)
    while unfinished:
        seconds_left, outlooks = deadline - time.monotonic(), dict[str, Outlook]()
        for name, rounds in list(unfinished.items()):
            limit = "" if rounds.is_narrow else rounds.limit(seconds_left)
            if limit:
                rounds.end_at(limit)
            if limit or rounds.is_narrow:
                del unfinished[name]
                count()
            else:
                outlooks[name] = rounds.outlook()
        if outlooks:
            layers[next_layer(outlooks, seconds_left)].measure_again(show)


def next_layer(outlooks: Mapping[str, Outlook], seconds_left: float) -> str:
    """Return the layer that has the next round.

    Layers of known rate that can reach the tolerance in the time that is left come first: as many as can do so
    together, the fastest ones. Layers of unknown rate follow, whose next round shows their rate, and then all others.
    In each group, the layer comes first whose half width falls most a second.
    """
    by_time = sorted(
        (name for name, outlook in outlooks.items() if outlook.has_known_rate),
        key=lambda name: outlooks[name].seconds_to_tolerance,
    )
    totals = itertools.accumulate(outlooks[name].seconds_to_tolerance for name in by_time)
    can_succeed = [name for name, total in zip(by_time, totals, strict=True) if total <= seconds_left]
    unknown = [name for name, outlook in outlooks.items() if not outlook.has_known_rate]
    return max(can_succeed or unknown or by_time, key=lambda name: _reduction_per_second(outlooks[name]))


def _reduction_per_second(outlook: Outlook) -> float:
    return outlook.reduction / max(outlook.seconds, 1e-9)  # a coarse clock may measure no time
