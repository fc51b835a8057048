"""Reed-Muller codes: theorems of MacWilliams and Sloane, The Theory of Error-Correcting Codes, chapter 13."""

import math

import numpy as np
import pytest

from layerbits.data import reed_muller_dimension, reed_muller_matrix, reed_muller_signals

SMALL = [(r, m) for m in (1, 2, 3, 4) for r in range(m + 1) if reed_muller_dimension(r, m) <= 15]


def codewords(order, variables):
    bits = reed_muller_dimension(order, variables)
    messages = np.arange(2**bits)[:, None] >> np.arange(bits) & 1
    return reed_muller_signals(messages.astype(np.uint8), reed_muller_matrix(order, variables))


def test_rows_are_monomials_by_degree_and_columns_are_points():
    # RM(2, 3) has the rows 1, x0, x1, x2, x0 x1, x0 x2, x1 x2 at the points (x0, x1, x2) = 000, 100, 010, 110, ...
    assert reed_muller_matrix(2, 3).tolist() == [
        [1, 1, 1, 1, 1, 1, 1, 1],
        [0, 1, 0, 1, 0, 1, 0, 1],
        [0, 0, 1, 1, 0, 0, 1, 1],
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0, 0, 0, 1, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 1, 0, 1],
        [0, 0, 0, 0, 0, 0, 1, 1],
    ]


@pytest.mark.parametrize(("r", "m"), SMALL)
def test_minimum_distance_is_2_to_the_m_minus_r(r, m):
    words = codewords(r, m)
    # The code is linear, so distances are weights, that is, counts of -1.
    assert np.sort((words < 0).sum(1))[1] == 2 ** (m - r)


@pytest.mark.parametrize(("r", "m"), SMALL)
def test_codewords_of_different_messages_differ(r, m):
    words = codewords(r, m)
    assert len(np.unique(words, axis=0)) == len(words) == 2 ** sum(math.comb(m, i) for i in range(r + 1))


@pytest.mark.parametrize(("r", "m"), [(0, 3), (1, 4), (2, 4), (2, 5), (3, 7)])
def test_dual_code_is_a_reed_muller_code(r, m):
    code, dual = reed_muller_matrix(r, m), reed_muller_matrix(m - r - 1, m)
    assert len(code) + len(dual) == 2**m
    assert not (code.astype(int) @ dual.T.astype(int) % 2).any()


def test_signal_is_1_for_a_zero_and_minus_1_for_a_one():
    assert reed_muller_signals(np.array([[0], [1]], np.uint8), reed_muller_matrix(0, 2)).tolist() == [[1] * 4, [-1] * 4]


@pytest.mark.parametrize(("order", "variables", "name"), [(3, 2, "order"), (-1, 2, "order"), (0, 0, "variables")])
def test_order_and_variables_out_of_range_are_refused(order, variables, name):
    with pytest.raises(ValueError, match=name):
        reed_muller_matrix(order, variables)
