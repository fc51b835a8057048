"""Prints the coefficients of the exp2 polynomials in csrc/cpu/exp2.h, and their error.

2^f = 1 + f q(f) on [-1/2, 1/2], q interpolating (2^f - 1)/f at Chebyshev nodes: exact at f = 0, and within a factor of
two of the minimax error, which is far below the rounding of the type at these degrees.

    python tools/exp2_polynomial.py
"""

import mpmath

mpmath.mp.dps = 50


def quotient(f: mpmath.mpf) -> mpmath.mpf:
    """(2^f - 1) / f, continued to log 2 at 0."""
    return mpmath.expm1(f * mpmath.log(2)) / f if f else mpmath.log(2)


def coefficients(degree: int) -> list[mpmath.mpf]:
    """Coefficients c_1..c_degree of 1 + c_1 f + ... + c_degree f^degree."""
    nodes = [mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * degree)) / 2 for k in range(degree)]
    vandermonde = mpmath.matrix([[node**power for power in range(degree)] for node in nodes])
    return list(mpmath.lu_solve(vandermonde, mpmath.matrix([quotient(node) for node in nodes])))


def relative_error(coefs: list[mpmath.mpf], points: int = 2001) -> mpmath.mpf:
    """Largest |polynomial / 2^f - 1| on an even grid over [-1/2, 1/2], coefficients as given."""
    grid = [mpmath.mpf(k) / (points - 1) - mpmath.mpf(1) / 2 for k in range(points)]
    return max(abs(mpmath.polyval([*reversed(coefs), 1], f) / mpmath.mpf(2) ** f - 1) for f in grid)


for name, degree, bits in (("float", 6, 24), ("double", 11, 53)):
    coefs = coefficients(degree)
    with mpmath.workprec(bits):
        rounded = [+c for c in coefs]
    print(f"{name}, degree {degree}: relative error {mpmath.nstr(relative_error(rounded), 3)} after rounding")
    for coef in rounded:
        print(f"    {float(coef).hex()},  // {mpmath.nstr(coef, 9)}")
