"""Reed-Muller codes against what is proved of them (MacWilliams and Sloane, chapter 13)."""

import math

import numpy as np
import pytest

from layerbits.data import dimension, encode, generator_matrix

SMALL = [(r, m) for m in (1, 2, 3, 4) for r in range(m + 1) if dimension(r, m) <= 15]


def codewords(order, variables):
    bits = dimension(order, variables)
    messages = np.arange(2**bits)[:, None] >> np.arange(bits) & 1
    return encode(messages.astype(np.uint8), generator_matrix(order, variables))


def test_rows_are_the_monomials_by_degree_and_columns_the_points():
    # Of RM(2, 3): 1, x0, x1, x2, x0 x1, x0 x2, x1 x2 at the points (x0, x1, x2) = 000, 100, 010, 110, 001, ...
    assert generator_matrix(2, 3).tolist() == [
        [1, 1, 1, 1, 1, 1, 1, 1],
        [0, 1, 0, 1, 0, 1, 0, 1],
        [0, 0, 1, 1, 0, 0, 1, 1],
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0, 0, 0, 1, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 1, 0, 1],
        [0, 0, 0, 0, 0, 0, 1, 1],
    ]


@pytest.mark.parametrize(("r", "m"), SMALL)
def test_least_distance_is_the_known_one(r, m):
    words = codewords(r, m)
    # The code is linear: distances are weights, numbers of letters -1.
    assert np.sort((words < 0).sum(1))[1] == 2 ** (m - r)


@pytest.mark.parametrize(("r", "m"), SMALL)
def test_messages_have_codewords_of_their_own(r, m):
    words = codewords(r, m)
    assert len(np.unique(words, axis=0)) == len(words) == 2 ** sum(math.comb(m, i) for i in range(r + 1))


@pytest.mark.parametrize(("r", "m"), [(0, 3), (1, 4), (2, 4), (2, 5), (3, 7)])
def test_dual_code_is_the_known_one(r, m):
    code, dual = generator_matrix(r, m), generator_matrix(m - r - 1, m)
    assert len(code) + len(dual) == 2**m
    assert not (code.astype(int) @ dual.T.astype(int) % 2).any()


def test_letters_are_one_for_zeros_and_minus_one_for_ones():
    assert encode(np.array([[0], [1]], np.uint8), generator_matrix(0, 2)).tolist() == [[1] * 4, [-1] * 4]


@pytest.mark.parametrize(("order", "variables", "name"), [(3, 2, "order"), (-1, 2, "order"), (0, 0, "variables")])
def test_number_out_of_range_is_refused(order, variables, name):
    with pytest.raises(ValueError, match=name):
        generator_matrix(order, variables)
