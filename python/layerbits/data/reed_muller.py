"""Reed-Muller codes: what polynomials over the field of two elements are at all points."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from layerbits._base import check_count

_Bits = npt.NDArray[np.uint8]


def dimension(order: int, variables: int) -> int:
    """Return k, the sum of binomial(m, i) over i <= r: RM(r, m) has 2^k codewords."""
    return sum(math.comb(variables, degree) for degree in range(order + 1))


def generator_matrix(order: int, variables: int) -> _Bits:
    """Return the generator matrix of RM(r, m): a row for each monomial, a column for each point.

    Parameters
    ----------
    order : int
        r, the largest degree of a polynomial, from 0 to m.
    variables : int
        m, at least 1.

    Returns
    -------
    array of shape (k, 2^m), uint8
        Zeros and ones. Rows by degree, and of one degree in the order of their variables: 1, x0, x1, ..., x0 x1, x0 x2,
        and so on; bit i of a message is the coefficient of the monomial of row i. Column p is the point whose
        coordinates are the bits of p, least significant first.

    Raises
    ------
    TypeError, ValueError
        An argument is no integer or out of range.

    References
    ----------
    Muller (1954) and Reed (1954); MacWilliams and Sloane, The Theory of Error-Correcting Codes (1977), chapter 13.
    """
    m, r = check_count("variables", variables, minimum=1), check_count("order", order, minimum=0)
    if r > m:
        raise ValueError(f"order: got {r}, wanted at most the {m} variables")
    points: _Bits = (np.arange(2**m)[:, None] >> np.arange(m) & 1).astype(np.uint8)
    monomials = [factors for degree in range(r + 1) for factors in itertools.combinations(range(m), degree)]
    return np.array([points[:, factors].prod(axis=1) for factors in monomials], dtype=np.uint8)


def encode(messages: _Bits, generator: _Bits) -> npt.NDArray[np.float64]:
    """Return the codewords of messages (n, k) as signals, shape (n, 2^m): 1 for a zero and -1 for a one."""
    # Sums of ones are exact in float64, where a product of matrices is fast.
    ones = messages.astype(np.float64) @ generator.astype(np.float64)
    signals: npt.NDArray[np.float64] = 1 - 2 * (ones % 2)
    return signals
