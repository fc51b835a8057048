"""What estimators work on: the signals of a layer, whitened, in as few dimensions as hold them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from layerbits.kernels import Devices, as_floats, resolve_devices
from layerbits.mixtures import Subspace, affine_coordinates, fit_subspace, noise_entropy
from layerbits.networks import GaussianNoise, NoisyModule, View, record

Inputs = Tensor | tuple[Tensor, ...] | npt.NDArray[Any] | tuple[npt.NDArray[Any], ...]

# Queries of an input at the least, and of all inputs, if their number is left open.
_FEWEST_QUERIES, _QUERIES = 4, 2**14

# From this many dimensions on, some are left out where all together cost less than `_COST` nats.
_MANY_DIMENSIONS = 64
_COST = 1e-3

# Signals of more values than this are never held: their coordinates are recorded in a subspace of at most so many
# dimensions, which costs a layer behind noise its upper bound, but leaves the lower one.
_MOST_VALUES = 2**27
_MOST_DIMENSIONS = 256

# Rows and columns of a Gram matrix that takes some seconds.
_LARGEST_GRAM = 4096


@dataclasses.dataclass(frozen=True)
class LayerSample:
    """Signals of a layer.

    Attributes
    ----------
    signals : Tensor of shape (n, r, k)
        A layer behind no noise has one for each input, r = 1.
    sigma : float
        Standard deviation of their noise.
    lost : float
        What the information, and every entropy, of the whole layer may have more than that of these signals, in nats.
    entropy : float
        h of the noise of the whole layer, in nats.
    queries : int
        Queries of each input. Behind noise they are the last of its signals, which are then fresh for what is made of
        the others; a signal with exact p(t|x) serves for any number.
    devices : tuple of torch.device
        Those that share the work on the queries; none: that of the signals.
    """

    signals: Tensor
    sigma: float
    lost: float
    entropy: float
    queries: int
    devices: tuple[torch.device, ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether p(t|x) is known: a Gaussian about the one signal."""
        return len(self.signals[0]) == 1


def sample_layers(
    noisy: NoisyModule,
    inputs: Inputs,
    *,
    layers: Sequence[str] | str | None,
    draws: int,
    queries: int | None,
    seed: int,
    devices: Devices = None,
) -> dict[str, LayerSample]:
    """Return the sample of each layer, in the order of the network; arguments as of `layer_information`.

    Raises
    ------
    NoNoiseError, LayerSelectionError, TypeError, ValueError
        As `propagate`; and with a single draw for a layer behind noise.
    """
    probes = _record(noisy, inputs, layers=layers, draws=2, seed=seed)
    # Signals that are equal in a few passes may still differ in others, after a step or a dead unit: no layer but the
    # first is taken to be behind no noise.
    random = [
        layer
        for layer, probe in probes.items()
        if layer != noisy.layer_names[0] or not torch.equal(probe[:, 0], probe[:, 1])
    ]
    if random and draws < 2:
        raise ValueError(f"draws: got {draws}, wanted at least 2, for {random[0]!r} lies behind noise")
    # Of those that are too wide, only a view is recorded.
    subspaces = {
        layer: _widest_directions(noisy.noise[layer].whiten(probes[layer]).flatten(0, 1), noisy.noise[layer].sigma)
        for layer in random
        if probes[layer].numel() // 2 * draws > _MOST_VALUES
    }
    views = {layer: _view(noisy.noise[layer], subspace) for layer, subspace in subspaces.items()}
    signals = _record(noisy, inputs, layers=random, draws=draws, seed=seed, views=views) if random else {}
    samples = {}
    for layer, probe in probes.items():
        noise, asked = noisy.noise[layer], queries or max(_FEWEST_QUERIES, math.ceil(_QUERIES / len(probe)))
        if layer in signals:
            most = draws // 2 if queries else max(draws // 4, min(_FEWEST_QUERIES, draws // 2))
            asked = max(1, min(asked, most))
        if layer in views:
            coordinates, lost = signals[layer][..., :-1], _cost(signals[layer][..., -1], noise.sigma)
        elif layer in signals:
            given = noise.whiten(signals[layer])
            # Directions must not come from draws that shall be fresh for a decoder.
            subspace = _fit(given[:, : draws - asked].flatten(0, 1), noise.sigma)
            coordinates, across = subspace.coordinates(given)
            lost = _cost(across, noise.sigma)
        else:
            given = noise.whiten(probe[:, 0])
            flat, lost = affine_coordinates(given, noise.sigma, most=_MANY_DIMENSIONS, cost=_COST)
            coordinates = flat[:, None]
        samples[layer] = LayerSample(
            signals=coordinates.contiguous(),
            sigma=noise.sigma,
            lost=lost,
            entropy=noise_entropy(probe.shape[2], noise.sigma) + noise.log_volume,
            queries=asked,
            devices=resolve_devices(devices, probe.device),
        )
    return samples


def _cost(across: Tensor, sigma: float) -> float:
    """Return the cost in nats of what lies across a subspace, from squared distances."""
    return float(across.double().mean()) / (2 * sigma**2)


def _record(
    noisy: NoisyModule,
    inputs: Inputs,
    *,
    layers: Sequence[str] | str | None,
    draws: int,
    seed: int,
    views: Mapping[str, View] | None = None,
) -> dict[str, Tensor]:
    signals = record(noisy, inputs, draws=draws, seed=seed, layers=layers, views=views)
    return {layer: as_floats(f"signals of layer {layer!r}", signal) for layer, signal in signals.items()}


def _fit(centers: Tensor, sigma: float) -> Subspace:
    if min(centers.shape) > _LARGEST_GRAM:
        return Subspace(centers.double().mean(0), None)
    return fit_subspace(centers, sigma, most=_MANY_DIMENSIONS, cost=_COST)


def _widest_directions(centers: Tensor, sigma: float) -> Subspace:
    some = centers[:: math.ceil(2 * len(centers) / _LARGEST_GRAM)]
    return fit_subspace(some, sigma, most=_MOST_DIMENSIONS, cost=math.inf)


def _view(noise: GaussianNoise, subspace: Subspace) -> View:
    def view(signals: Tensor) -> Tensor:
        whitened = noise.whiten(signals)
        # A device may be set to round products in float32 to ten bits (TF32): an error of nats in what lies across.
        exact = torch.float64 if whitened.is_cuda else whitened.dtype
        coordinates, across = subspace.to(exact).coordinates(whitened)
        return torch.cat([coordinates, across[..., None].to(coordinates.dtype)], -1)

    return view
