"""Estimators that layerbits is compared with, under the names of what they compute.

All are called as ``name(activations, *, labels=None, ...)`` and return a `BaselineEstimate`: an entropy or information
of the rows, and with labels what the same estimator takes for I(T;Y). None of them knows the noise of the network,
which is what makes I(X;T) finite; so none estimates the I(X;T) of `layer_information`. `binned_information` is of the
same shape. They run on the host, to which tensors on a device are copied.
"""

from layerbits.baselines.kde import kde_entropy
from layerbits.baselines.neighbours import kozachenko_leonenko_entropy, ksg_information
from layerbits.baselines.pairwise import pairwise_bounds
from layerbits.baselines.renyi import matrix_renyi_entropy

__all__ = [
    "kde_entropy",
    "kozachenko_leonenko_entropy",
    "ksg_information",
    "matrix_renyi_entropy",
    "pairwise_bounds",
]
