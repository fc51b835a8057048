"""Reed-Muller codes RM(r, m): the values of all polynomials of degree at most r in m variables over F_2."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from layerbits._base import Doubles, check_count, check_type, shown

Bits = npt.NDArray[np.uint8]

_LARGEST_VARIABLES = 2**10
_LARGEST_MATRIX = 2**31  # bytes


def reed_muller_dimension(order: int, variables: int) -> int:
    """Compute the dimension k of RM(r, m); the code has 2^k codewords.

    k is the sum of binomial(m, i) over i <= r.

    Parameters
    ----------
    order : int
        r, from 0 to m.
    variables : int
        m, from 1 to 1024.

    Raises
    ------
    TypeError, ValueError
        An argument is not an integer or is out of range.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.data.reed_muller_dimension(1, 3)
    4
    """
    check_count("variables", variables, minimum=1, maximum=_LARGEST_VARIABLES)
    if check_count("order", order, minimum=0) > variables:
        raise ValueError(f"order: got {shown(order)}, wanted at most {variables}, the number of variables")
    return sum(math.comb(variables, degree) for degree in range(order + 1))


def reed_muller_matrix(order: int, variables: int) -> Bits:
    """Return the generator matrix of RM(r, m), with one row for each monomial and one column for each point.

    Parameters
    ----------
    order : int
        r, the largest degree of the polynomials, from 0 to m.
    variables : int
        m, at least 1.

    Returns
    -------
    array of shape (k, 2^m), uint8
        Zeros and ones. The monomials are ordered by degree, then by their variables: 1, x0, x1, ..., x0 x1, x0 x2, and
        so on. Bit i of a message is the coefficient of the monomial of row i. Column p is the point whose coordinates
        are the bits of p, least significant first.

    Raises
    ------
    TypeError, ValueError
        An argument is not an integer or is out of range, or the matrix would take more than 2 GiB.

    References
    ----------
    Muller (1954) and Reed (1954); MacWilliams and Sloane, The Theory of Error-Correcting Codes (1977), chapter 13.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.data.reed_muller_matrix(1, 2).tolist()
    [[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1]]
    """
    dimension = reed_muller_dimension(order, variables)
    if dimension * 2**variables > _LARGEST_MATRIX:
        raise ValueError(
            f"variables: got {variables}, whose matrix of order {order} takes {dimension} x 2^{variables} "
            f"bytes, wanted at most {_LARGEST_MATRIX}"
        )
    points: Bits = (np.arange(2**variables)[:, None] >> np.arange(variables) & 1).astype(np.uint8)
    monomials = [factors for degree in range(order + 1) for factors in itertools.combinations(range(variables), degree)]
    return np.array([points[:, factors].prod(axis=1) for factors in monomials], dtype=np.uint8)


def reed_muller_signals(messages: Bits, generator: Bits) -> Doubles:
    """Encode messages as signals, 1 for a zero of the codeword and -1 for a one.

    Parameters
    ----------
    messages : uint8 array of shape (n, k)
        Zeros and ones.
    generator : uint8 array of shape (k, 2^m)
        Generator matrix, for example from `reed_muller_matrix`.

    Returns
    -------
    array of shape (n, 2^m), float64

    Raises
    ------
    TypeError, ValueError
        An argument is not an array with two axes, of zeros and ones, or the arrays differ in k.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> messages = np.array([[0, 1, 0], [1, 0, 0]], np.uint8)
    >>> lb.data.reed_muller_signals(messages, lb.data.reed_muller_matrix(1, 2)).tolist()
    [[1.0, -1.0, 1.0, -1.0], [-1.0, -1.0, -1.0, -1.0]]
    """
    for name, bits in (("messages", messages), ("generator", generator)):
        check_type(name, bits, np.ndarray, wanted="a uint8 array of zeros and ones")
        if bits.ndim != 2 or bits.dtype.kind not in "biu" or (bits > 1).any() or (bits < 0).any():
            raise ValueError(f"{name}: got shape {bits.shape} of {bits.dtype}, wanted two axes of zeros and ones")
    if messages.shape[1] != len(generator):
        raise ValueError(f"messages: got {messages.shape[1]} columns, wanted {len(generator)}, the rows of `generator`")
    # A matrix product in float64 is fast, and its sums of ones are exact.
    sums = messages.astype(np.float64) @ generator.astype(np.float64)
    signals: Doubles = 1 - 2 * (sums % 2)
    return signals
