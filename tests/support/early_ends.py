"""Tests over seeds of intervals that may miss the true value with a known probability.

A test ends after a part of its seeds if few intervals miss. tests/statistics/test_early_ends.py computes the effect of
the early ends on the probability of detecting intervals that miss too often: it falls by less than 0.01.
"""

import collections

from scipy import stats

# The largest number of misses with which a test of so many seeds ends early, by number of seeds so far.
EARLY_ENDS = {
    12: {4: 0, 8: 1},
    30: {10: 0, 20: 1},
    60: {12: 0, 24: 1, 36: 2},
    100: {20: 0, 40: 2, 60: 4},
    150: {30: 0, 60: 1, 100: 3},
}


def allowed_misses(seeds, probability, false_alarm):
    """Return the largest numbers of misses that end a test, by number of seeds.

    Independent misses of this probability exceed the last number with a probability of at most `false_alarm`.
    """
    return {**EARLY_ENDS[seeds], seeds: int(stats.binom.isf(false_alarm, seeds, probability))}


def excess_misses(misses_of, allowed):
    """Return the number of misses of each quantity that misses too often; {} if there is none.

    Parameters
    ----------
    misses_of : function
        Maps a range of seeds to an iterable of the quantities that miss, once for each miss.
    allowed : dict of int to int
        The result of `allowed_misses`.
    """
    misses, previous, excess = collections.Counter(), 0, {}
    for seeds, limit in allowed.items():
        misses.update(misses_of(range(previous, seeds)))
        excess = {quantity: count for quantity, count in misses.items() if count > limit}
        if not excess:
            break
        previous = seeds
    return excess


def wrong_ends(estimate, truths, allowed):
    """Return the number of misses of each quantity and end, lower or upper, that misses too often.

    `estimate` maps a seed to the estimates with an `interval` by quantity; true values are known to 1e-9.
    """

    def misses_of(seeds):
        for seed in seeds:
            estimates = estimate(seed)
            for quantity, truth in truths.items():
                interval = estimates[quantity].interval
                if interval.lower > truth + 1e-9:
                    yield quantity, "lower"
                if interval.upper < truth - 1e-9:
                    yield quantity, "upper"

    return excess_misses(misses_of, allowed)
