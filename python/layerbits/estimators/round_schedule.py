"""`run_rounds`: the order of further rounds, if several layers have not reached the tolerance, and their end.

The time that is left goes first to layers that are expected to reach the tolerance within it, all together. The order
changes no result of a round: a measurement whose layers end by the tolerance, by `max_draws` or by another limit on
numbers has the same numbers on every machine. Only where `max_seconds` ends the rounds of a layer does its number of
rounds depend on time.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping

from layerbits.estimators.layer_rounds import LayerRounds
from layerbits.estimators.round_outlook import Outlook


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
        `show` is called with a line about each round, `count` for each layer that is finished.
    """
    unfinished = dict(layers)
    while unfinished:
        processes = next(iter(unfinished.values())).processes
        seconds_left = processes.agreed("seconds left", deadline - time.monotonic())
        outlooks: dict[str, Outlook] = {}
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

    Layers that are expected to reach the tolerance in the time that is left come first: as many as can do so together,
    the fastest ones. Layers that may do so follow: those that would be late, because the expected time is rough, and
    those of unknown rate, whose next round shows their rate. Layers that cannot reach the tolerance come last. In each
    group, the layer comes first whose half width falls most a second.
    """
    known = {name: outlook.seconds_to_tolerance for name, outlook in outlooks.items() if outlook.has_known_rate}
    by_time = sorted(known, key=known.__getitem__)
    totals = itertools.accumulate(known[name] for name in by_time)
    can_succeed = [name for name, total in zip(by_time, totals, strict=True) if total <= seconds_left]
    may_succeed = [name for name in outlooks if math.isfinite(known.get(name, 0.0))]
    candidates = can_succeed or may_succeed or list(outlooks)
    return max(candidates, key=lambda name: _reduction_per_second(outlooks[name]))


def _reduction_per_second(outlook: Outlook) -> float:
    return outlook.reduction / max(outlook.seconds, 1e-9)  # a coarse clock may measure no time
