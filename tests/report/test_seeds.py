"""The table over the seeds of a sweep."""

import math
from types import SimpleNamespace

from layerbits.report.seeds import over_seeds_table


def test_numbers_that_are_not_finite_are_left_out():
    summaries = [{"fall": 1.0, "rank": math.nan}, {"fall": 3.0, "rank": math.nan}, {"fall": math.inf, "rank": 1.0}]
    records = [SimpleNamespace(content={"summary": summary}) for summary in summaries]
    (row,) = over_seeds_table([("all", [0, 1, 2])], records)
    assert row[:4] == ("all", "fall", 2, 2.0)


def test_deviation_of_rounding_is_zero():
    # Values that differ by 1e-11 have rounded differently; one part in 1e8 is a difference.
    summaries = [{"limit": 7.0, "fall": 7.0}, {"limit": 7.0 + 1e-11, "fall": 7.0 + 7e-8}]
    records = [SimpleNamespace(content={"summary": summary}) for summary in summaries]
    limit, fall = over_seeds_table([("all", [0, 1])], records)
    assert limit[4] == 0.0
    assert fall[4] > 0.0
