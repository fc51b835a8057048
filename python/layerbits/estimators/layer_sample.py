"""Signals of a layer: whitened to noise of covariance sigma^2 I, in few dimensions, with a bound of the loss.

A layer lies behind no noise if its signal is a function of the input by the operations of the network. Two equal
passes alone prove nothing: a step or a dead unit may differ in a third pass.

Where the values of a layer behind noise exceed the budget, they are never held in full: each pass is projected, as it
is recorded, on the principal axes of the probing passes. The upper bound of such a layer may rise to log N; its lower
bound stays valid. Layers whose values exceed the budget together are sampled in groups, each with passes of its own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits.estimators.layer_groups import PROBING_PASSES, is_wide, parts_behind_no_noise, wide_noise
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.omitted_dimensions import OmittedDimensions
from layerbits.estimators.principal_view import LARGEST_GRAM, means_suffice, principal_view
from layerbits.estimators.problem import Problem
from layerbits.estimators.query_counts import number_of_queries
from layerbits.estimators.recorded_draws import probing_draws, record_later_draws
from layerbits.estimators.signal_ranges import largest_distance
from layerbits.kernels import NO_WORKERS, NormalStream, Workers, as_floats
from layerbits.mixtures import (
    DropoutChannel,
    Subspace,
    affine_coordinates,
    as_points,
    coordinates_in_blocks,
    fit_subspace,
    mean_subspace,
    means_of,
    noise_entropy,
    project,
)
from layerbits.networks import DropoutNoise, GaussianNoise, Noise, Passes, RandomFramesView

# If more dimensions than this remain, dimensions are left out that together cost at most `_DIMENSION_LOSS` nats.
_MANY_DIMENSIONS = 64
_DIMENSION_LOSS = 1e-3

# With more values than this, signals are reduced in blocks.
_WHOLE_VALUES = 2**20


@dataclasses.dataclass(frozen=True)
class LayerSample:
    """Signals of a layer.

    Attributes
    ----------
    signals : Tensor of shape (n, r, k)
        Coordinates of the whitened signals; with `alpha`, the signals in all dimensions, complex for a mean over tokens
        (`layerbits.mixtures.scales_of`). A layer behind no noise has one signal for each input, r = 1.
    sigma : float
        Standard deviation of the noise of each coordinate; with `alpha`, that of a signal of 0.
    queries : int
        Queries of each input. Behind noise, the last draws carry one query each, and decoders are made of the other
        draws. Behind no noise, the single signal serves any number of queries.
    dimension_loss : float
        Upper bound in nats of the information, and of the entropy, that the omitted dimensions would add; behind noise
        an estimate of it from draws that did not choose the dimensions, whose errors `omitted` gives.
    noise_entropy : float
        Entropy of the noise in all dimensions of the layer, in nats; with `alpha`, its mean over inputs and draws.
    workers : Workers
        Devices and processes that share the work on the queries.
    alpha : float
        Standard deviation of the noise relative to the scale of a signal (`layerbits.mixtures.scales_of`). 0 if all
        signals have the same noise.
    diameter : float
        Upper bound of the distance of any two signals of the layer, in the units of `sigma`; infinite if none is known.
    omitted : OmittedDimensions or None
        Behind noise, the omitted dimensions at the queries; None if there are none.
    frames : RandomFramesView or None
        The frames whose slices the coordinates are; None if the coordinates belong together.
    is_slice : bool
        Whether this is one of the random slices of a layer, as in `NoisySample`.
    """

    signals: Tensor
    sigma: float
    queries: int
    dimension_loss: float
    noise_entropy: float
    workers: Workers = NO_WORKERS
    alpha: float = 0.0
    diameter: float = math.inf
    omitted: OmittedDimensions | None = None
    frames: RandomFramesView | None = None
    is_slice: bool = False

    @property
    def draws(self) -> int:
        """Noisy passes per input, r."""
        return self.signals.shape[1]

    @property
    def is_exact(self) -> bool:
        """Whether p(t|x) is known: a Gaussian around the single signal."""
        return self.draws == 1

    def with_diameter(self, diameter: float) -> LayerSample:
        """Return the sample with an upper bound of the distance of any two signals."""
        largest_square = (diameter / self.sigma) ** 2
        omitted = self.omitted and dataclasses.replace(self.omitted, largest_square=largest_square)
        return dataclasses.replace(self, diameter=diameter, omitted=omitted)

    def split(self, stream: NormalStream) -> tuple[Queries, Tensor]:
        """Return queries at the last draws, with noise of a stream, and the draws without queries (n, r, k)."""
        n_draws = self.draws - self.queries
        draws, bases = (part.contiguous() for part in self.signals.tensor_split([n_draws], dim=1))
        return Queries.around(bases, self.sigma, stream.like(means_of(bases)), self.workers, self.alpha), draws


def sample_layers(
    problem: Problem, names: tuple[str, ...], draws: int, queries: int | None, seed: int
) -> dict[str, LayerSample]:
    """Return a sample of each part of a problem with one of these names, in the order of the names.

    Parameters
    ----------
    draws, queries : int
        Noisy passes and queries per input, as in `layer_information`.

    Raises
    ------
    LayerSelectionError, TypeError, ValueError
        As in `layer_information`; a layer behind noise has a single draw.
    """
    exact = parts_behind_no_noise(problem, names)
    if draws < 2:
        _refuse_single_draw([name for name in names if name not in exact])
    recorded, differing = probing_draws(problem, names, exact, draws, seed)
    probes = {name: _floats_if_few(name, signals) for name, signals in recorded.items()}
    recorded.clear()
    _refuse_single_draw([name for name in differing if draws < 2])
    behind_noise = tuple(name for name in names if name not in exact or name in differing)
    wide = {name: wide_noise(problem, name, draws) for name in behind_noise if is_wide(problem, name, draws)}
    # The last draws, at most half of all, carry queries, so they must not choose the axes of a view.
    without_queries = draws - draws // 2
    views = {name: principal_view(noise, probes[name][:, :without_queries]) for name, noise in wide.items()}
    dimensions = {name: probes[name].shape[2] for name in names}
    later_draws = range(PROBING_PASSES, draws)
    passes = Passes(behind_noise, later_draws, seed, views=views, processes=problem.workers.processes)
    record_later_draws(problem, probes, passes)
    samples = {}
    for name in names:
        noise = problem.parts[name].noise(problem.network)
        signals = probes.pop(name)  # freed once the coordinates are known
        part_view = problem.parts[name].view
        if isinstance(part_view, RandomFramesView):
            n_queries = number_of_queries(len(signals), signals.shape[1] if signals.shape[1] > 1 else None, queries)
            sigma, workers = part_view.sigma, problem.workers
            samples[name] = LayerSample(signals, sigma, n_queries, 0.0, math.nan, workers, frames=part_view)
        elif name in views:
            sigma = wide[name].whitened_sigma
            n_queries = number_of_queries(problem.n_inputs, draws, queries)
            coordinates, squared_distances = signals[..., :-1].contiguous(), signals[..., -1]
            # Without the draws to which the axes were fitted.
            loss = _loss(squared_distances[:, min(without_queries, PROBING_PASSES) :], sigma)
            entropy = _noise_entropy(wide[name], dimensions[name])
            of_queries = squared_distances[:, draws - n_queries :]
            omitted = OmittedDimensions.of(dimensions[name], coordinates, of_queries, sigma)
            samples[name] = LayerSample(coordinates, sigma, n_queries, loss, entropy, problem.workers, omitted=omitted)
        else:
            samples[name] = sample_of_signals(noise, signals, queries, problem.workers)
        if name in behind_noise and problem.parts[name].view is None:
            call = next(call for call in problem.network.calls if call.name == name)
            diameter = largest_distance(call, noise, dimensions[name])
            samples[name] = samples[name].with_diameter(diameter)
    return samples


def sample_of_signals(noise: Noise, signals: Tensor, queries: int | None, workers: Workers = NO_WORKERS) -> LayerSample:
    """Return the sample of signals (n, r, d); r = 1: the signal is a function of the input.

    `queries` is the number of queries per input, as in `layer_information`.

    Raises
    ------
    ValueError
        `queries` exceeds the largest total, 2^28, divided by the number of inputs.
    """
    n_inputs, draws, dim = signals.shape
    is_exact = draws == 1
    n_queries = number_of_queries(n_inputs, None if is_exact else draws, queries)
    if isinstance(noise, DropoutNoise):
        return _dropout_sample(noise, signals, n_queries, workers)
    omitted = None
    if is_exact:
        coordinates, loss = _exact_coordinates(noise, signals)
    else:
        coordinates, loss, omitted = _coordinates(noise, signals, fitted_draws=draws - n_queries)
    coordinates, entropy = coordinates.contiguous(), _noise_entropy(noise, dim)
    return LayerSample(coordinates, noise.whitened_sigma, n_queries, loss, entropy, workers, omitted=omitted)


def _noise_entropy(noise: GaussianNoise, dim: int) -> float:
    """Return the entropy of the noise of `dim` units, in nats."""
    return noise_entropy(dim, noise.whitened_sigma) + noise.log_volume


def _refuse_single_draw(behind_noise: Sequence[str]) -> None:
    if behind_noise:
        raise ValueError(f"draws: got 1, wanted at least 2, because {behind_noise[0]!r} lies behind noise")


def _floats_if_few(name: str, signals: Tensor) -> Tensor:
    """Return signals, in float32 if they are in half precision and few enough not to be reduced in blocks."""
    if signals.dtype in (torch.float16, torch.bfloat16):
        return signals if signals.numel() > _WHOLE_VALUES else signals.float()
    if signals.is_complex():
        return signals
    return as_floats(f"signals of layer {name!r}", signals)


def _dropout_sample(noise: DropoutNoise, signals: Tensor, queries: int, workers: Workers) -> LayerSample:
    """Return the sample of signals (n, r, d), which have no common covariance of the noise: all units are kept."""
    signals = as_points(signals).contiguous()
    channels = [DropoutChannel(draw, noise.alpha, noise.sigma) for draw in signals.unbind(1)]
    entropy = math.fsum(channel.conditional_entropy for channel in channels) / len(channels)
    return LayerSample(signals, noise.sigma, queries, 0.0, entropy, workers, noise.alpha)


def _exact_coordinates(noise: GaussianNoise, signals: Tensor) -> tuple[Tensor, float]:
    """Return coordinates (n, 1, k) of signals (n, 1, d), and the loss in nats."""
    whitened = noise.whiten(signals)
    if whitened.numel() > _WHOLE_VALUES:
        coordinates, squared_distances = coordinates_in_blocks(
            whitened,
            noise.whitened_sigma,
            fitted=1,
            max_gram=LARGEST_GRAM,
            max_dimensions=_MANY_DIMENSIONS,
            max_cost=_DIMENSION_LOSS,
        )
        return coordinates, _loss(squared_distances, noise.whitened_sigma)
    whitened = whitened[:, 0]
    coordinates, loss = affine_coordinates(
        whitened, noise.whitened_sigma, max_dimensions=_MANY_DIMENSIONS, max_cost=_DIMENSION_LOSS
    )
    return coordinates[:, None], loss


def _coordinates(
    noise: GaussianNoise, signals: Tensor, *, fitted_draws: int
) -> tuple[Tensor, float, OmittedDimensions | None]:
    """Return coordinates (n, r, k) of signals (n, r, d), the loss in nats, and the omitted dimensions.

    The subspace is fitted to the first `fitted_draws` draws: decoders must not depend on the draws with queries.
    """
    whitened, sigma = noise.whiten(signals), noise.whitened_sigma
    if whitened.numel() > _WHOLE_VALUES:
        if means_suffice(whitened, sigma, fitted_draws, _DIMENSION_LOSS):
            subspace = mean_subspace(whitened, fitted=fitted_draws, max_dimensions=_MANY_DIMENSIONS)
            projection = project(whitened, subspace, sigma, fitted=fitted_draws)
            terms = projection.gaussian_terms.numpy(force=True)
            squares = projection.squares.numpy(force=True)
            all_units = OmittedDimensions(squares, whitened.shape[2], gaussian_terms=terms)
            return projection.coordinates, float(terms.mean()), all_units
        coordinates, squared_distances = coordinates_in_blocks(
            whitened,
            sigma,
            fitted=fitted_draws,
            max_gram=LARGEST_GRAM,
            max_dimensions=_MANY_DIMENSIONS,
            max_cost=_DIMENSION_LOSS,
        )
    else:
        subspace = _fit(whitened[:, :fitted_draws].flatten(0, 1), sigma)
        coordinates, squared_distances = subspace.coordinates(whitened)
    of_queries = squared_distances[:, fitted_draws:]
    omitted = OmittedDimensions.of(whitened.shape[2], coordinates, of_queries, sigma)
    return coordinates, _loss(of_queries, sigma), omitted


def _loss(squared_distances: Tensor, sigma: float) -> float:
    """Return the loss, in nats, from squared distances of signals to the subspace."""
    return float(squared_distances.double().mean()) / 2 / sigma / sigma  # the square of a tiny sigma would be 0


def _fit(centers: Tensor, sigma: float) -> Subspace:
    """Return a subspace for centers (m, d); all dimensions if the Gram matrix would be too large."""
    if min(centers.shape) > LARGEST_GRAM:
        return Subspace(centers.double().mean(0), None)
    return fit_subspace(centers, sigma, max_dimensions=_MANY_DIMENSIONS, max_cost=_DIMENSION_LOSS)
