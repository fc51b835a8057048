"""True values of sliced information in two dimensions, by quadrature over the line and over the angle of the frame."""

import numpy as np

from tests.support.answers import information_on_line

# The information of a slice is a smooth function of the angle with period pi, so that the mean over even angles has an
# error that falls exponentially in their number.
ANGLES = 48


def line_truths(centers, sigma, labels):
    """Return I(X;T), I(T;Y) and I(X;T|Y) of T = S + Z for centers (n,) and labels (n,)."""
    total = information_on_line(centers, sigma)
    within = sum((labels == y).mean() * information_on_line(centers[labels == y], sigma) for y in np.unique(labels))
    return {"I(X;T)": total, "I(T;Y)": total - within, "I(X;T|Y)": within}


def sliced_truths(centers, sigma, labels, n_angles=ANGLES):
    """Return SI_1 of centers (n, 2): the mean of `line_truths` over the angle of the frame."""
    angles = np.arange(n_angles) * np.pi / n_angles
    truths = [line_truths(centers @ [np.cos(angle), np.sin(angle)], sigma, labels) for angle in angles]
    return {f"SI_1{name[1:]}": np.mean([of_angle[name] for of_angle in truths]) for name in truths[0]}
