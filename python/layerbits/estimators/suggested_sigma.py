"""`suggest_sigma`: the noise at which a layer keeps a given share of log N."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from layerbits._base import Doubles, check_count, check_fraction
from layerbits.estimators.known_activations import known_activations
from layerbits.estimators.query_counts import number_of_queries
from layerbits.estimators.sigma_profiles import sigma_profile
from layerbits.mixtures import affine_coordinates, with_equal_distances
from layerbits.networks import (
    MAX_MEMORY,
    Inputs,
    Layers,
    check_max_memory,
    global_states_restored,
    is_noisy,
    measured_layers,
    noisy_network,
    read_inputs,
)

_LEAST_SHARE = 1e-300  # smaller shares of log N underflow

# Number of sigmas of a profile. The search halves sigma until a bracket is found, then divides log sigma in the bracket
# evenly.
_SIGMAS = 8

# Default numbers of queries: the smallest number for an input, and the total of all inputs.
_MIN_QUERIES, _TOTAL_QUERIES = 4, 2**12

# Least sigma beside the largest distance from the mean; float64 does not resolve the noise if it is smaller.
_RESOLUTION = 8 * sys.float_info.epsilon


@global_states_restored(after_success=False)
def suggest_sigma(
    model: nn.Module,
    inputs: Inputs,
    *,
    share: float = 0.5,
    layers: Layers = None,
    queries: int | None = None,
    seed: int = 0,
    max_memory: int = MAX_MEMORY,
) -> dict[str, float]:
    """Find, for each layer, the sigma at which I(X; S + sigma Z) is a share of log N.

    With less noise I(X;T) nears log N whatever the layer has learnt, and with more noise it nears 0. At a share of one
    half, I(X;T) can rise and fall.

    Parameters
    ----------
    model : torch.nn.Module
        A network that uses no random numbers in evaluation; the noise of a noisy network is off.
    inputs : tensor, array, tuple, mapping, data frame, Dataset, DataLoader or iterable of batches
        The N values of X, as in `layer_information`.
    share : float
        Share of log N, between 0 and 1.
    layers : None, str, type, callable or a sequence of them
        As in `layer_activations`.
    queries : int, optional
        Queries of each input, at least 2. By default 4096 queries in all and at least 4 of an input.
    seed : int
        Seed of the noise.
    max_memory : int
        Budget in bytes, as in `layer_information`: layers that do not fit together are measured in turn.

    Returns
    -------
    dict of str to float
        Sigma by layer, for `noisify`, or for the argument `sigma` of `layer_information`. In a noisy network later
        layers usually keep less than the share, because the noise of earlier layers also destroys information.

    Raises
    ------
    TypeError, ValueError
        An argument has another type or value than wanted; there is a single input; the activations of a layer are equal
        for so many inputs that no noise leaves the share, or differ in two passes of the same inputs.
    LayerSelectionError
        As in `layer_activations`.

    Notes
    -----
    I(X; S + sigma Z) falls with sigma. It is at most V / (2 sigma^2), an upper bound on the capacity of a Gaussian
    channel whose power V is the mean squared distance of S from its mean. The search begins at the sigma at which this
    bound equals the share. Sigma has the error of the Monte Carlo estimate of I, some hundredths of a nat with the
    default queries, and that of linear interpolation between neighbouring sigmas.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> inputs = torch.randn(200, 4)
    >>> sigma = lb.suggest_sigma(model, inputs, share=0.5)
    >>> row = lb.layer_information(model, inputs, sigma=sigma)["1", "I(X;T)"]
    >>> abs(row.value / 5.2983 - 0.5) < 0.02  # log 200
    True
    """
    share = check_fraction("share", share, example=", such as 0.5")
    if share < _LEAST_SHARE:
        raise ValueError(f"share: got {share}, wanted at least {_LEAST_SHARE:g}")
    if queries is not None:
        check_count("queries", queries, minimum=2)
    max_memory = check_max_memory(max_memory)
    data = read_inputs(inputs, model, max_memory=max_memory)
    if layers is None and is_noisy(model):
        layers = measured_layers(noisy_network(model, data, may_be_off=True, max_memory=max_memory), data.tensors, None)
    wanted = queries or max(_MIN_QUERIES, math.ceil(_TOTAL_QUERIES / len(data)))
    n_queries = number_of_queries(len(data), None, wanted)
    return {
        layer: _sigma_of(layer, with_equal_distances(activations), float(share), n_queries, seed)
        for layer, activations in known_activations(model, data, layers, max_memory=max_memory)
    }


def _sigma_of(layer: str, activations: Tensor, share: float, queries: int, seed: int) -> float:
    wanted_information = share * math.log(len(activations))
    if not wanted_information:
        raise ValueError("inputs: got a single input, wanted at least 2")
    squares = (activations - activations.mean(0)).square().sum(1)
    largest_sigma = math.sqrt(float(squares.mean()) / (2 * wanted_information))
    least_sigma = max(math.sqrt(float(squares.max())) * _RESOLUTION, sys.float_info.min)
    for halvings in itertools.count(step=_SIGMAS - 1):
        sigmas = largest_sigma * 0.5 ** np.arange(halvings, halvings + _SIGMAS)
        sigmas = sigmas[sigmas >= least_sigma]
        if not len(sigmas):
            break
        coordinates, _ = affine_coordinates(activations, float(sigmas[-1]))
        information = _information(coordinates, sigmas, queries, seed)
        if information[-1] >= wanted_information:
            position = int(np.argmax(information >= wanted_information))
            if position == 0:
                return float(sigmas[0])
            finer_sigmas = np.geomspace(sigmas[position - 1], sigmas[position], _SIGMAS)
            between = _information(coordinates, finer_sigmas[1:-1], queries, seed)  # with the same noise
            ends = information[[position - 1, position]]
            information = np.maximum.accumulate(np.insert(ends, 1, between))
            return math.exp(np.interp(wanted_information, information, np.log(finer_sigmas)))
    raise ValueError(
        f"share: got {share}, but the activations of {layer!r} are equal, or too close for float64, for so many "
        f"inputs that no sigma leaves {wanted_information:.3g} nats; lower share, or choose other layers"
    )


def _information(coordinates: Tensor, sigmas: npt.NDArray[np.floating], queries: int, seed: int) -> Doubles:
    """Return I(X; S + sigma Z) for each sigma, in nats."""
    return np.array([row.value for row in sigma_profile(coordinates, sigmas, queries=queries, seed=seed)])
