"""`NetworkSignalModel`: the signals of a layer or readout of a network as a `SignalModel`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from layerbits.estimators.problem import Problem
from layerbits.estimators.signal_ranges import largest_distance
from layerbits.networks import DropoutNoise, GaussianNoise, GivenNoises, RandomSlices


@dataclasses.dataclass(frozen=True)
class NetworkSignalModel:
    """A `SignalModel` of a layer or readout of a network, made by `of`.

    Attributes
    ----------
    n_inputs : int
        N, the number of inputs.
    log_volume : float
        h(T) in the units of the layer less h(T) of the whitened layer, in nats.
    signals_range : float
        R with |S - c| <= R for some c, in whitened units; infinite where no bound is known.
    given : GivenNoises
        The passes, with whitened signals.
    """

    n_inputs: int
    log_volume: float
    signals_range: float
    given: GivenNoises

    @classmethod
    def of(cls, problem: Problem, name: str) -> NetworkSignalModel:
        """Return the model of the part `name` of a problem.

        Raises
        ------
        LayerSelectionError, ValueError, MemoryError
            The part is a mean over random slices; its noise is not Gaussian; or `GivenNoises` refuses the network.
        """
        part, network = problem.parts[name], problem.network
        if isinstance(part.slices, RandomSlices):
            raise ValueError(
                f"estimator: got 'known' for {name!r}, the mean over many slices, wanted 'draws', 'paper' or 'auto'"
            )
        noise = part.noise(network)
        if isinstance(noise, DropoutNoise):
            raise ValueError(
                f"estimator: got 'known' for {name!r}, which has {noise}, wanted Gaussian noise of one covariance; "
                "choose other layers, or measure with draws"
            )
        given = GivenNoises(network, problem.inputs.tensors, part.layer, whitened(noise, part.view))
        return cls.of_passes(given, noise, is_whole=part.view is None)

    @classmethod
    def of_passes(cls, given: GivenNoises, noise: GaussianNoise, *, is_whole: bool) -> NetworkSignalModel:
        """Return the model of passes with `whitened` signals of a whole layer, or of a view of it."""
        signals_range = math.inf
        if is_whole:
            call = next(call for call in given.network.calls if call.name == given.layer)
            # The values of a unit lie in an interval: no signal is further from the middle than half the diameter.
            signals_range = largest_distance(call, noise, given.n_units) / 2 / noise.whitened_sigma
        log_volume = noise.log_volume + given.n_units * math.log(noise.whitened_sigma)
        return cls(len(given.inputs[0]), log_volume, signals_range, given)

    @property
    def n_units(self) -> int:
        """Number d of units of the whitened signal."""
        return self.given.n_units

    @property
    def noise_size(self) -> int:
        """Number k of standard normal values of all earlier noises of one row."""
        return self.given.size

    def signals(self, rows: Tensor, noises: Tensor, *, are_typical: bool = True) -> Tensor:
        """Return the signals (m, d) of inputs (m,) with noises (m, k)."""
        return self.given.signals(rows, noises, are_typical=are_typical)

    def jacobians(self, rows: Tensor, noises: Tensor) -> Tensor:
        """Return the derivatives (m, d, k) of the signals by the noises."""
        return self.given.jacobians(rows, noises)

    def pushforward(self, rows: Tensor, noises: Tensor, tangents: Tensor) -> Tensor:
        """Return J V, (m, d, p), for tangents V (m, k, p)."""
        return self.given.pushforward(rows, noises, tangents)

    def pullback(self, rows: Tensor, noises: Tensor, cotangents: Tensor) -> Tensor:
        """Return J^T U, (m, k, p), for cotangents U (m, d, p)."""
        return self.given.pullback(rows, noises, cotangents)

    def residual_products(self, rows: Tensor, noises: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the signals (m, d), and J^T (t - S), (m, k), for points t (m, d)."""
        return self.given.residual_products(rows, noises, points)


def whitened(
    noise: GaussianNoise, view: Callable[[Tensor, Tensor], Tensor] | None = None
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the map from signals (m, units) of inputs (m,) to whitened values (m, d) of a view, in units of sigma."""

    def of_signals(signals: Tensor, rows: Tensor) -> Tensor:
        values = signals.to(torch.promote_types(signals.dtype, torch.float32))
        if view is not None:
            values = view(values[None], rows)[0]
        whitened_values: Tensor = noise.whiten(values).double() / noise.whitened_sigma
        return whitened_values

    return of_signals
