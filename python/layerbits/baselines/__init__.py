"""Rival estimators, each with the name of the quantity that it computes.

Each estimator is called as ``name(activations, *, labels=None, ...)`` and returns a `BaselineEstimate`
(`pairwise_bounds` returns two): an entropy or information of the rows and, with labels, the method's estimate of
I(T;Y). `binned_information` of `layerbits.geometry` has the same interface, so `BaselineEstimate` is defined there, in
geometry/baseline_estimate.py. `estimate_from_entropy` in label_information.py makes a `BaselineEstimate` from any
entropy of rows.

No baseline uses the noise of the network, without which I(X;T) is log N for N inputs with different activations. So no
baseline estimates the I(X;T) of `layer_information`. The `note` of an entropy says if rows have no density. Baselines
run on the host; tensors on a device are copied there.
"""

from layerbits.baselines.infonce import infonce_information
from layerbits.baselines.kde import kde_entropy
from layerbits.baselines.neighbours import kozachenko_leonenko_entropy, ksg_information
from layerbits.baselines.pairwise import pairwise_bounds
from layerbits.baselines.renyi import matrix_renyi_entropy
from layerbits.baselines.sliced import sliced_ksg_information

__all__ = [
    "infonce_information",
    "kde_entropy",
    "kozachenko_leonenko_entropy",
    "ksg_information",
    "matrix_renyi_entropy",
    "pairwise_bounds",
    "sliced_ksg_information",
]
