"""Passes for two layers: signals of the second layer, noisy values of the first, and signals given these values."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import torch
from torch import Tensor

from layerbits._base import stacklevel_of_user
from layerbits.estimators.between_layers.chain import LayerPair, rows_of
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.omitted_dimensions import OmittedDimensions
from layerbits.estimators.signal_ranges import largest_distance
from layerbits.kernels import NormalStream, RandomStream, derived_seed
from layerbits.mixtures import fit_subspace
from layerbits.networks import DropoutNoise, Passes

_BYTES_OF_VALUE = 4  # in float32

# Largest number of rows in a pass that is given values of the first layer, unless there are more inputs.
_ROWS = 4096


@dataclasses.dataclass(frozen=True)
class PairSample:
    """Signals of the second layer, and queries at some of them.

    Attributes
    ----------
    queries : Queries
        Queries T_l of every input, (n, q), each with its own value of T_k.
    pool : Tensor of shape (n, r, d)
        Signals of T_l in other passes.
    conditional : Tensor of shape (n, q, m, d)
        Further signals given the T_k of each query; m = 0 between neighbours, where the signal is a function of T_k.
    diameter : float
        Upper bound of the distance of any two signals of T_l; infinite if none is known.
    omitted : OmittedDimensions or None
        The dimensions orthogonal to the subspace of the pool, at the queries; None if there are none.
    """

    queries: Queries
    pool: Tensor
    conditional: Tensor
    diameter: float
    omitted: OmittedDimensions | None = None


def sample_pair(pair: LayerPair, draws: int, values: int, seed: int) -> PairSample:
    """Run `draws` passes for the pool, or `values` if that is more, and `values` passes for values of T_k.

    Given each value of T_k, `draws` further passes record T_l, or one pass between neighbours. The first of these
    passes makes the query.

    Warns
    -----
    UserWarning
        The signals, which are held in full, exceed the budget.
    """
    _warn_if_large(pair, draws, values)
    pool_passes = range(pool_draws(draws, values))
    pool = pair.signals(pair.inputs, Passes((pair.second,), pool_passes, derived_seed(seed, RandomStream.POOL_SEED)))
    call = next(call for call in pair.network.calls if call.name == pair.second)
    diameter = largest_distance(call, pair.noise, pool.shape[2])
    emitted = first_values(pair, values, seed)
    passes_given = 1 if pair.are_neighbours else draws
    blocks: list[Tensor] = []
    for block in torch.split(emitted, max(1, _ROWS // pair.n_inputs), dim=1):
        repeated = rows_of(pair.inputs, np.arange(pair.n_inputs).repeat(block.shape[1]))
        block_seed = derived_seed(seed, RandomStream.CONDITIONAL_SEED, len(blocks))
        emission = {pair.first: block.flatten(0, 1)}
        signals = pair.signals(repeated, Passes((pair.second,), range(passes_given), block_seed, emitted=emission))
        blocks.append(signals.view(pair.n_inputs, block.shape[1], passes_given, -1))
    conditional = torch.cat(blocks, 1)
    noise, omitted = pair.noise, None
    if isinstance(noise, DropoutNoise):
        sigma, alpha = noise.sigma, noise.alpha  # all units are kept
    else:
        sigma, alpha = noise.whitened_sigma, 0.0
        # The subspace must not depend on the queries, which may show signals that the pool lacks.
        dim, subspace = pool.shape[2], fit_subspace(pool.flatten(0, 1), sigma)
        pool = subspace.coordinates(pool)[0]
        conditional, squared_distances = subspace.coordinates(conditional)
        omitted = OmittedDimensions.of(dim, pool, squared_distances[:, :, 0], sigma)
        omitted = omitted and dataclasses.replace(omitted, largest_square=(diameter / sigma) ** 2)
    bases = conditional[:, :, 0].contiguous()
    normal = NormalStream(seed, RandomStream.PAIR_QUERIES).like(bases)
    queries = Queries.around(bases, sigma, normal, pair.workers, alpha)
    return PairSample(queries, pool, conditional[:, :, 1:], diameter, omitted)


def _warn_if_large(pair: LayerPair, draws: int, values: int) -> None:
    units, max_memory = pair.network.units, pair.network.max_memory
    passes_given = 1 if pair.are_neighbours else draws
    n_values = values * units[pair.first] + (pool_draws(draws, values) + values * passes_given) * units[pair.second]
    n_bytes = pair.n_inputs * n_values * _BYTES_OF_VALUE
    if n_bytes > max_memory:
        warnings.warn(
            f"max_memory: got {max_memory}, but the signals of {pair.first!r} and {pair.second!r}, which are held in "
            f"full, take {n_bytes} bytes, and copies in float64 several times as much; if that is too much, take fewer "
            "inputs, draws or queries",
            stacklevel=stacklevel_of_user(),
        )


def pool_draws(draws: int, values: int) -> int:
    """Return the number of draws of the pool, at least as many as queries: few inputs need more draws."""
    return max(draws, values)


def first_values(pair: LayerPair, values: int, seed: int) -> Tensor:
    """Return noisy values (n, values, d) of the first layer."""
    passes = Passes((pair.first,), range(values), derived_seed(seed, RandomStream.FIRST_LAYER_SEED))
    signals = pair.recorded(pair.inputs, passes)
    noise = pair.network.noise[pair.first]
    normals = [NormalStream(seed, RandomStream.FIRST_LAYER_NOISE).like(signals).flatten(0, 1)]
    if isinstance(noise, DropoutNoise):
        normals.insert(0, NormalStream(seed, RandomStream.FIRST_LAYER_FACTORS).like(signals).flatten(0, 1))
    return noise.add(signals.flatten(0, 1), *normals).view_as(signals)
