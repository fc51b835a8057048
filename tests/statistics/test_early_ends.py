"""Early ends of the tests over seeds hardly lower the probability of detecting intervals that miss too often."""

import numpy as np
import pytest
from scipy import stats

from tests.support.early_ends import allowed_misses, excess_misses


def detection(allowed, probability):
    """Return the probability that independent misses of this probability exceed the allowed misses at every end."""
    law, previous = np.ones(1), 0  # law of the number of misses, of tests that have not ended
    for seeds, limit in allowed.items():
        law = np.convolve(law, stats.binom.pmf(np.arange(seeds - previous + 1), seeds - previous, probability))
        law[: limit + 1] = 0
        previous = seeds
    return law.sum()


@pytest.mark.parametrize(
    ("seeds", "probability", "false_alarm"),
    [(12, 0.05, 1e-4), (12, 0.05, 1e-6), (12, 0.1, 1e-6), (30, 0.05, 1e-4), (30, 0.05, 1e-6), (30, 0.1, 1e-6),
     (60, 0.1, 1e-6), (100, 0.05, 1e-4), (100, 0.05, 1e-6), (150, 0.025, 1e-6)],
)  # fmt: skip
def test_early_ends_lower_the_probability_of_detection_by_less_than_a_hundredth(seeds, probability, false_alarm):
    allowed = allowed_misses(seeds, probability, false_alarm)
    assert detection(allowed, probability) <= false_alarm
    at_the_end = {seeds: allowed[seeds]}
    assert all(detection(allowed, p) > detection(at_the_end, p) - 0.01 for p in np.linspace(0, 1, 201))


@pytest.mark.parametrize(
    ("missing", "seeds", "excess"),
    [
        (set(), 10, {}),
        ({3}, 20, {}),
        ({3, 12}, 30, {}),
        (set(range(20, 30)), 10, {}),
        (set(range(10)), 30, {"lower": 10}),
        ({*range(7), 29}, 30, {"lower": 8}),
    ],
)
def test_test_ends_at_the_first_number_of_seeds_with_few_misses(missing, seeds, excess):
    tested = []

    def misses_of(batch):
        tested.extend(batch)
        return ["lower" for seed in batch if seed in missing]

    assert excess_misses(misses_of, allowed_misses(30, 0.05, 1e-4)) == excess
    assert tested == list(range(seeds))
