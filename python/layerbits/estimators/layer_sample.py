"""Signals of a layer: whitened, so that the noise is isotropic, in few dimensions, with a bound of the loss.

In a noisy network, only the first noisy layer can lie behind no noise. If the measurement alone adds the noise, every
layer does. Two equal passes of another layer prove nothing: a step or a dead unit may differ in a third pass.

Where the values of a layer behind noise exceed the budget, they are never held in full: each pass is projected, as it
is recorded, on the principal axes of two probing passes. The upper bound of such a layer may rise to log N; its lower
bound stays valid. Layers whose values exceed the budget together are sampled in groups, each with passes of its own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from layerbits.estimators.layer_groups import PROBING_PASSES, is_wide, layers_behind_no_noise
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.problem import Problem
from layerbits.kernels import NormalStream, as_floats
from layerbits.mixtures import (
    Subspace,
    affine_coordinates,
    as_points,
    coordinates_in_blocks,
    fit_subspace,
    noise_entropy,
)
from layerbits.networks import GaussianNoise, Passes, View, record_draws

# Default numbers of queries: the smallest number of an input, and the total of all inputs.
_MIN_QUERIES, _TOTAL_QUERIES = 4, 2**14

# Largest number of queries of all inputs: 10 GB of points in ten dimensions.
_LARGEST_TOTAL = 2**28

# If more dimensions than this remain, dimensions are left out that together cost at most `_DIMENSION_LOSS` nats.
_MANY_DIMENSIONS = 64
_DIMENSION_LOSS = 1e-3

# A layer that is too wide to be held is recorded in a subspace of at most this number of dimensions.
_MAX_DIMENSIONS = 256

# With more values than this, signals are reduced in blocks.
_WHOLE_VALUES = 2**20

# Rows of the largest Gram matrix whose eigenvectors are computed, in some seconds.
_LARGEST_GRAM = 4096


@dataclasses.dataclass(frozen=True)
class LayerSample:
    """Signals of a layer.

    Attributes
    ----------
    signals : Tensor of shape (n, r, k)
        Coordinates of the whitened signals. A layer behind no noise has one signal for each input, r = 1.
    sigma : float
        Standard deviation of the noise of each coordinate.
    queries : int
        Queries of each input. Behind noise, the last draws carry one query each, and decoders are made of the other
        draws. Behind no noise, the single signal serves any number of queries.
    dimension_loss : float
        Upper bound in nats of the information, and of the entropy, that the omitted dimensions would add.
    noise_entropy : float
        Entropy of the noise in all dimensions of the layer, in nats.
    devices : tuple of torch.device
        Devices that share the work on the queries; empty if the device of the signals does it alone.
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
        """Whether p(t|x) is known: a Gaussian around the single signal."""
        return self.draws == 1

    def split(self, stream: NormalStream) -> tuple[Queries, Tensor]:
        """Return queries at the last draws, with noise of a stream, and the draws without queries (n, r, k)."""
        n_draws = self.draws - self.queries
        draws, bases = (part.contiguous() for part in self.signals.tensor_split([n_draws], dim=1))
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
        As in `layer_information`; a layer behind noise has a single draw.
    """
    exact = layers_behind_no_noise(problem, layers)
    if draws < 2:
        _refuse_single_draw([layer for layer in layers if layer not in exact])
    probes, differing = _probes(problem, layers, exact, draws, seed)
    _refuse_single_draw([layer for layer in differing if draws < 2])
    behind_noise = tuple(layer for layer in layers if layer not in exact or layer in differing)
    # The last draws, at most half of all, carry queries, so they must not choose the axes of a view.
    without_queries = draws - draws // 2
    views = {
        layer: _principal_view(problem.network.noise[layer], probes[layer][:, :without_queries])
        for layer in behind_noise
        if is_wide(problem, layer, draws)
    }
    dimensions = {layer: probes[layer].shape[2] for layer in layers}
    _record_later_draws(problem, probes, Passes(behind_noise, range(PROBING_PASSES, draws), seed, views=views))
    samples = {}
    for layer in layers:
        noise, signals = problem.network.noise[layer], probes.pop(layer)  # freed once the coordinates are known
        n_queries = _number_of_queries(problem.n_inputs, draws if layer in behind_noise else None, queries)
        if layer not in behind_noise:
            coordinates, loss = _exact_coordinates(noise, signals)
        elif layer in views:
            coordinates, loss = signals[..., :-1], _loss(signals[..., -1], noise.sigma)
        else:
            coordinates, loss = _coordinates(noise, signals, fitted_draws=draws - n_queries)
        samples[layer] = LayerSample(
            signals=coordinates.contiguous(),
            sigma=noise.sigma,
            queries=n_queries,
            dimension_loss=loss,
            noise_entropy=noise_entropy(dimensions[layer], noise.sigma) + noise.log_volume,
            devices=problem.devices,
        )
    return samples


def _refuse_single_draw(layers: Sequence[str]) -> None:
    if layers:
        raise ValueError(f"draws: got 1, wanted at least 2, because {layers[0]!r} lies behind noise")


def _probes(
    problem: Problem, layers: tuple[str, ...], exact: set[str], draws: int, seed: int
) -> tuple[dict[str, Tensor], frozenset[str]]:
    """Return the signals of the probing passes, and the layers behind no noise whose two draws differ.

    The signals are (n, draws, d), of which the first two are recorded; (n, 2, d) where a layer is wide; or (n, 1, d)
    where two draws are equal.
    """
    columns = {layer: PROBING_PASSES if is_wide(problem, layer, draws) else max(draws, 2) for layer in layers}
    compared = columns | dict.fromkeys(exact, 1)
    passes = Passes(layers, range(PROBING_PASSES), seed, columns=compared, keeps_half=True)
    recording = record_draws(problem.network, problem.inputs.tensors, passes)
    signals, differing = recording.signals, recording.differing
    if differing:
        again = dataclasses.replace(passes, layers=tuple(sorted(differing, key=layers.index)), columns=columns)
        signals |= record_draws(problem.network, problem.inputs.tensors, again).signals
    return {layer: _floats_if_few(layer, signals[layer]) for layer in layers}, differing


def _floats_if_few(layer: str, signals: Tensor) -> Tensor:
    """Return signals in half precision in float32, unless they are so many that they are reduced in blocks."""
    if signals.dtype in (torch.float16, torch.bfloat16):
        return signals if signals.numel() > _WHOLE_VALUES else signals.float()
    return as_floats(f"signals of layer {layer!r}", signals)


def _record_later_draws(problem: Problem, probes: dict[str, Tensor], passes: Passes) -> None:
    """Record the draws of `passes` beside the probing draws; replace signals of layers with a view by its values."""
    viewed = {layer: view(as_points(probes.pop(layer))) for layer, view in passes.views.items()}
    if passes.layers and passes.draws:
        passes = dataclasses.replace(passes, columns=dict.fromkeys(passes.layers, passes.draws.stop))
        probes |= record_draws(problem.network, problem.inputs.tensors, passes, probes).signals
        for layer, values in viewed.items():
            probes[layer][:, :PROBING_PASSES] = values
    else:
        probes |= viewed


def _number_of_queries(n_inputs: int, draws: int | None, wanted: int | None) -> int:
    """Return the number of queries per input; `draws` limits it behind noise and is None elsewhere."""
    queries = wanted or max(_MIN_QUERIES, math.ceil(_TOTAL_QUERIES / n_inputs))
    if draws is None and queries * n_inputs > _LARGEST_TOTAL:
        raise ValueError(f"queries: got {queries}, wanted at most {_LARGEST_TOTAL // n_inputs} for {n_inputs} inputs")
    if draws is None:
        return queries
    largest = draws // 2 if wanted else max(draws // 4, min(_MIN_QUERIES, draws // 2))
    return max(1, min(queries, largest))


def _exact_coordinates(noise: GaussianNoise, signals: Tensor) -> tuple[Tensor, float]:
    """Return coordinates (n, 1, k) of signals (n, 1, d), and the loss in nats."""
    whitened = noise.whiten(signals)
    if whitened.numel() > _WHOLE_VALUES:
        coordinates, squared_distances = coordinates_in_blocks(
            whitened, noise.sigma, fitted=1, max_dimensions=_MANY_DIMENSIONS, max_cost=_DIMENSION_LOSS
        )
        return coordinates, _loss(squared_distances, noise.sigma)
    whitened = whitened[:, 0]
    coordinates, loss = affine_coordinates(
        whitened, noise.sigma, max_dimensions=_MANY_DIMENSIONS, max_cost=_DIMENSION_LOSS
    )
    return coordinates[:, None], loss


def _coordinates(noise: GaussianNoise, signals: Tensor, *, fitted_draws: int) -> tuple[Tensor, float]:
    """Return coordinates (n, r, k) of signals (n, r, d), and the loss in nats.

    The subspace is fitted to the first `fitted_draws` draws. The other draws carry queries, on which decoders must not
    depend.
    """
    whitened = noise.whiten(signals)
    if whitened.numel() > _WHOLE_VALUES:
        coordinates, squared_distances = coordinates_in_blocks(
            whitened,
            noise.sigma,
            fitted=fitted_draws,
            max_gram=_LARGEST_GRAM,
            max_dimensions=_MANY_DIMENSIONS,
            max_cost=_DIMENSION_LOSS,
        )
        return coordinates, _loss(squared_distances, noise.sigma)
    subspace = _fit(whitened[:, :fitted_draws].flatten(0, 1), noise.sigma)
    coordinates, squared_distances = subspace.coordinates(whitened)
    return coordinates, _loss(squared_distances, noise.sigma)


def _loss(squared_distances: Tensor, sigma: float) -> float:
    """Return the loss, in nats, from squared distances of signals to the subspace."""
    return float(squared_distances.double().mean()) / 2 / sigma / sigma  # the square of a tiny sigma would be 0


def _fit(centers: Tensor, sigma: float) -> Subspace:
    """Return a subspace for centers (m, d); all dimensions if the Gram matrix would be too large."""
    if min(centers.shape) > _LARGEST_GRAM:
        return Subspace(centers.double().mean(0), None)
    return fit_subspace(centers, sigma, max_dimensions=_MANY_DIMENSIONS, max_cost=_DIMENSION_LOSS)


def _principal_view(noise: GaussianNoise, probe: Tensor) -> View:
    """Return a view on the principal axes of signals (n, passes, d) of the probing passes."""
    centers = probe.flatten(0, 1)
    rows = noise.whiten(as_points(centers[:: math.ceil(2 * len(centers) / _LARGEST_GRAM)]))
    subspace = fit_subspace(rows, noise.sigma, max_dimensions=_MAX_DIMENSIONS, max_cost=math.inf)
    return partial(_view, noise, subspace)


def _view(noise: GaussianNoise, subspace: Subspace, signals: Tensor) -> Tensor:
    """Return coordinates of signals (..., d), with the squared distance to the subspace as a last coordinate."""
    whitened = noise.whiten(signals)
    # A CUDA device may round float32 products to ten bits (TF32), an error of nats in the distance.
    dtype = torch.float64 if whitened.is_cuda else whitened.dtype
    coordinates, squared_distances = subspace.to(dtype).coordinates(whitened)
    return torch.cat([coordinates, squared_distances[..., None].to(coordinates.dtype)], -1)
