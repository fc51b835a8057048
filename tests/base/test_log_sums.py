"""Log-sum-exp of arrays on the host."""

import numpy as np
import pytest
from scipy.special import logsumexp

from layerbits._base import log_add_exp, log_sum_exp

VALUES = np.array(
    [[-1e300, -1000.0, -np.inf, -np.inf, 0.0, 700.0, np.nan], [-1e300, -999.0, -np.inf, 3.0, 1e-9, 710.0, 0.0]]
)


def test_sums_are_those_of_scipy():
    """torch and scipy may each err by some ulps of the result and of log 2."""
    expected = logsumexp(VALUES, axis=0)
    for sums in (log_sum_exp(VALUES), log_add_exp(*VALUES)):
        assert sums == pytest.approx(expected, rel=2e-15, abs=1e-15, nan_ok=True)


def test_a_number_is_added_to_every_element():
    assert np.array_equal(log_add_exp(VALUES, -2.0), log_add_exp(VALUES, np.full_like(VALUES, -2.0)), equal_nan=True)
