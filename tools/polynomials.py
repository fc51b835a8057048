"""Print the coefficients of the polynomials in csrc/cpu/simd/exp2.h and logarithm.h, and their errors.

Each polynomial interpolates at Chebyshev nodes, so that its error is close to the minimax error.

    python tools/polynomials.py
"""

from collections.abc import Callable

import mpmath

mpmath.mp.dps = 50

GRID = [mpmath.mpf(k) / 2000 for k in range(2001)]  # fractions of an interval at which errors are computed


def interpolate(
    function: Callable[[mpmath.mpf], mpmath.mpf], lower: mpmath.mpf, upper: mpmath.mpf, count: int
) -> list[mpmath.mpf]:
    """Return the coefficients, the constant first, of the polynomial that interpolates at `count` Chebyshev nodes."""
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    nodes = [middle + half * mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    vandermonde = mpmath.matrix([[node**power for power in range(count)] for node in nodes])
    return list(mpmath.lu_solve(vandermonde, mpmath.matrix([function(node) for node in nodes])))


def exp2_quotient(f: mpmath.mpf) -> mpmath.mpf:
    """Return (2^f - 1) / f, continued to log 2 at 0, so that 2^f = 1 + f q(f) is exact at 0."""
    return mpmath.expm1(f * mpmath.log(2)) / f if f else mpmath.log(2)


def log_remainder(z: mpmath.mpf) -> mpmath.mpf:
    """Return (2 artanh(s) - 2 s) / (s z) at z = s^2, continued to 2/3 at 0; log(1 + f) = 2 artanh(f / (2 + f))."""
    s = mpmath.sqrt(z)
    return (2 * mpmath.atanh(s) - 2 * s) / (s * z) if z else mpmath.mpf(2) / 3


def print_table(name: str, coefs: list[mpmath.mpf], error: mpmath.mpf) -> None:
    """Print the relative error, and the coefficients as C++ literals and in decimals."""
    print(f"{name}: relative error {mpmath.nstr(error, 3)} after rounding")
    for coef in coefs:
        print(f"    {float(coef).hex()},  // {mpmath.nstr(coef, 9)}")


def round_all(coefs: list[mpmath.mpf], bits: int) -> list[mpmath.mpf]:
    """Round the coefficients to the precision of a type."""
    with mpmath.workprec(bits):
        return [+c for c in coefs]


def print_exp2(name: str, count: int, bits: int) -> None:
    """Print the `count` coefficients of q in 2^f = 1 + f q(f), |f| <= 1/2, and the relative error of 2^f."""
    half = mpmath.mpf(1) / 2
    coefs = round_all(interpolate(exp2_quotient, -half, half, count), bits)
    errors = [abs((1 + f * mpmath.polyval(coefs[::-1], f)) / 2**f - 1) for f in (x - half for x in GRID)]
    print_table(name, coefs, max(errors))


def print_log(name: str, count: int, bits: int) -> None:
    """Print the `count` coefficients of `log_remainder` for z from 0 to its largest value, and the error of the log."""
    largest = ((mpmath.sqrt(2) - 1) / (mpmath.sqrt(2) + 1)) ** 2
    coefs = round_all(interpolate(log_remainder, mpmath.mpf(0), largest, count), bits)
    errors = [
        abs(s * z * (mpmath.polyval(coefs[::-1], z) - log_remainder(z)) / (2 * mpmath.atanh(s)))
        for z in (x * largest for x in GRID[1:])
        for s in [mpmath.sqrt(z)]
    ]
    print_table(name, coefs, max(errors))


if __name__ == "__main__":
    print_exp2("exp2, float", 6, 24)
    print_exp2("exp2, double", 11, 53)
    print_log("log, double", 7, 53)
