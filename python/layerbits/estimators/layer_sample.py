"""Signals of a layer: whitened, so that the noise is isotropic, in few dimensions, with a bound of the loss.

No layer but the first is taken to lie behind no noise: two equal passes do not show that it does, because a step or a
dead unit may differ in another pass.

A layer of many values is never held in full: from 2^27 values on, its passes are projected as they are recorded, on
the principal axes of two probing passes. Behind noise such a layer may lose its upper bound (log N), not its lower one.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import torch
from torch import Tensor

from layerbits.estimators.log_densities import Queries
from layerbits.estimators.problem import Problem
from layerbits.kernels import NormalStream, as_floats
from layerbits.mixtures import Subspace, affine_coordinates, fit_subspace, noise_entropy
from layerbits.networks import GaussianNoise, Passes, View, record

# Default number of queries: of an input at least, and of all inputs.
_MIN_QUERIES, _TOTAL_QUERIES = 4, 2**14

# Above this many dimensions, some are left out where all together cost less than `_DIMENSION_LOSS` nats.
_MANY_DIMENSIONS = 64
_DIMENSION_LOSS = 1e-3

# Above this many values, signals are recorded in a subspace of at most this many dimensions.
_MAX_VALUES = 2**27
_MAX_DIMENSIONS = 256

# Size of a Gram matrix whose eigenvectors take some seconds.
_LARGEST_GRAM = 4096

# Passes that show which layers lie behind no noise, and where the signals of wide layers lie.
_PROBING_PASSES = 2


@dataclasses.dataclass(frozen=True)
class LayerSample:
    """Signals of a layer.

    Attributes
    ----------
    signals : Tensor of shape (n, r, k)
        A layer behind no noise has one signal for each input, r = 1.
    sigma : float
        Standard deviation of their noise.
    queries : int
        Queries of each input. Behind noise the last draws carry them, and are fresh for decoders made of the others;
        without noise the one signal serves any number of queries.
    dimension_loss : float
        Upper bound in nats of the information, and of the entropy, that the omitted dimensions would add.
    noise_entropy : float
        Entropy of the noise in all dimensions of the layer, in nats.
    devices : tuple of torch.device
        Devices that share the work on the queries; empty for that of the signals.
    """

    signals: Tensor
    sigma: float
    queries: int
    dimension_loss: float
    noise_entropy: float
    devices: tuple[torch.device, ...] = ()

    @property
    def draws(self) -> int:
        """Noisy passes per input, r."""
        return self.signals.shape[1]

    @property
    def is_exact(self) -> bool:
        """Whether p(t|x) is known: a Gaussian about the one signal."""
        return self.draws == 1

    def split(self, stream: NormalStream) -> tuple[Queries, Tensor]:
        """Return queries at the last draws, with noise of a stream, and the other draws (n, r, k)."""
        fresh = self.draws - self.queries
        bases, draws = self.signals[:, fresh:].contiguous(), self.signals[:, :fresh].contiguous()
        return Queries.around(bases, self.sigma, stream.like(bases), self.devices), draws


def sample_layers(
    problem: Problem, layers: tuple[str, ...], draws: int, queries: int | None, seed: int
) -> dict[str, LayerSample]:
    """Return a sample of each layer, in the order of the network.

    Parameters
    ----------
    draws, queries : int
        Noisy passes and queries per input, as in `layer_information`.

    Raises
    ------
    LayerSelectionError, TypeError, ValueError
        As `layer_information`; and with a single draw for a layer behind noise.
    """
    probes = _record(problem, Passes(layers, range(_PROBING_PASSES), seed))
    behind_noise = tuple(layer for layer in layers if not _is_exact(problem, layer, probes[layer]))
    if behind_noise and draws < 2:
        raise ValueError(f"draws: got {draws}, wanted at least 2, for {behind_noise[0]!r} lies behind noise")
    # At most half of the draws, the last ones, carry queries; they do not choose the axes of a view.
    fresh = draws - draws // 2
    views = {
        layer: _principal_view(problem.noisy.noise[layer], probes[layer][:, :fresh])
        for layer in behind_noise
        if probes[layer][:, 0].numel() * draws > _MAX_VALUES
    }
    later_passes = Passes(behind_noise, range(_PROBING_PASSES, draws), seed, views=views)
    signals = _with_later_passes(problem, probes, later_passes)
    samples = {}
    for layer in layers:
        noise = problem.noisy.noise[layer]
        n_queries = _number_of_queries(problem.n_inputs, draws if layer in behind_noise else None, queries)
        if layer not in behind_noise:
            coordinates, loss = _exact_coordinates(noise, probes[layer][:, :1])
        elif layer in views:
            coordinates, loss = signals[layer][..., :-1], _loss(signals[layer][..., -1], noise.sigma)
        else:
            coordinates, loss = _coordinates(noise, signals[layer], fresh=draws - n_queries)
        samples[layer] = LayerSample(
            signals=coordinates.contiguous(),
            sigma=noise.sigma,
            queries=n_queries,
            dimension_loss=loss,
            noise_entropy=noise_entropy(probes[layer].shape[2], noise.sigma) + noise.log_volume,
            devices=problem.devices,
        )
    return samples


def _record(problem: Problem, passes: Passes) -> dict[str, Tensor]:
    signals = record(problem.noisy, problem.inputs, passes)
    return {layer: as_floats(f"signals of layer {layer!r}", signal) for layer, signal in signals.items()}


def _with_later_passes(problem: Problem, probes: dict[str, Tensor], passes: Passes) -> dict[str, Tensor]:
    """Return the signals of the layers of `passes` in the probing passes and in `passes`, reduced by its views."""
    views = passes.views
    signals = {layer: views[layer](probes[layer]) if layer in views else probes[layer] for layer in passes.layers}
    if not passes.layers or not passes.draws:
        return signals
    later = _record(problem, passes)
    return {layer: torch.cat([signals[layer], later[layer]], dim=1) for layer in passes.layers}


def _is_exact(problem: Problem, layer: str, probe: Tensor) -> bool:
    """Return whether a layer is the first one and its signals are equal in two passes."""
    return layer == problem.noisy.layer_names[0] and torch.equal(probe[:, 0], probe[:, 1])


def _number_of_queries(n_inputs: int, draws: int | None, wanted: int | None) -> int:
    """Return the queries per input; `draws` limits them behind noise and is None elsewhere."""
    queries = wanted or max(_MIN_QUERIES, math.ceil(_TOTAL_QUERIES / n_inputs))
    if draws is None:
        return queries
    largest = draws // 2 if wanted else max(draws // 4, min(_MIN_QUERIES, draws // 2))
    return max(1, min(queries, largest))


def _exact_coordinates(noise: GaussianNoise, signals: Tensor) -> tuple[Tensor, float]:
    """Return coordinates (n, 1, k) of signals (n, 1, d), and the loss in nats."""
    whitened = noise.whiten(signals[:, 0])
    coordinates, loss = affine_coordinates(
        whitened, noise.sigma, max_dimensions=_MANY_DIMENSIONS, max_cost=_DIMENSION_LOSS
    )
    return coordinates[:, None], loss


def _coordinates(noise: GaussianNoise, signals: Tensor, *, fresh: int) -> tuple[Tensor, float]:
    """Return coordinates (n, r, k) of signals (n, r, d), and the loss in nats.

    The directions come from the first draws alone, `fresh` of them: the other draws carry queries, and must be fresh
    for decoders.
    """
    whitened = noise.whiten(signals)
    coordinates, across = _fit(whitened[:, :fresh].flatten(0, 1), noise.sigma).coordinates(whitened)
    return coordinates, _loss(across, noise.sigma)


def _loss(across: Tensor, sigma: float) -> float:
    """Return the loss in nats from squared distances to the subspace."""
    return float(across.double().mean()) / (2 * sigma**2)


def _fit(centers: Tensor, sigma: float) -> Subspace:
    if min(centers.shape) > _LARGEST_GRAM:
        return Subspace(centers.double().mean(0), None)
    return fit_subspace(centers, sigma, max_dimensions=_MANY_DIMENSIONS, max_cost=_DIMENSION_LOSS)


def _principal_view(noise: GaussianNoise, probe: Tensor) -> View:
    """Return a view on the principal axes of the signals (n, passes, d) of a probe."""
    centers = noise.whiten(probe).flatten(0, 1)
    rows = centers[:: math.ceil(2 * len(centers) / _LARGEST_GRAM)]
    subspace = fit_subspace(rows, noise.sigma, max_dimensions=_MAX_DIMENSIONS, max_cost=math.inf)
    return partial(_view, noise, subspace)


def _view(noise: GaussianNoise, subspace: Subspace, signals: Tensor) -> Tensor:
    """Return coordinates of signals (..., d), with the squared distance to the subspace as a last coordinate."""
    whitened = noise.whiten(signals)
    # A device may round float32 products to ten bits (TF32), which would be an error of nats in the distance.
    dtype = torch.float64 if whitened.is_cuda else whitened.dtype
    coordinates, across = subspace.to(dtype).coordinates(whitened)
    return torch.cat([coordinates, across[..., None].to(coordinates.dtype)], -1)
