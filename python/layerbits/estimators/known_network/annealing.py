"""Annealed weights of noises: chains through bridges from a proposal to the posterior, and back from a query's noises.

In coordinates v in which the proposal q(w|t) is standard normal, bridge b has the density N(v; 0, I) e^(b h(v)) up to a
factor, with h = log(phi(t - g(x, w)) p(w) / q(w|t)), 0 <= b <= 1. Between two bridges a chain moves by a step of
Hamiltonian dynamics with partly kept momentum (Horowitz, A Generalized Guided Monte Carlo Algorithm, 1991;
Sohl-Dickstein and Culpepper, Hamiltonian Annealed Importance Sampling, 2012). Proof: docs/theory.md.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from layerbits.estimators.known_network.signal_model import SignalModel
from layerbits.estimators.known_network.weights import noise_log_densities
from layerbits.estimators.known_network.whitened_posteriors import WhitenedPosteriors
from layerbits.kernels import standard_normal

# Step and kept part of the momentum. With 32 bridges, the log weights of forward and backward chains are apart, on the
# third layer of tanh64 x 3 (k = 128 noises), by 3.7, 3.0 and 3.3 nats for steps .3, .45 and .7, and by 5.0 and 3.2 nats
# for kept parts 0 and .9 in place of .7; on that of mlp512, sigma = 3 (k = 1024), by 10.1, 5.5 and 5.1 nats for steps
# .3, .5 and .8.
_STEP, _KEPT = 0.5, 0.75


@dataclasses.dataclass(frozen=True)
class Bridges:
    """The settings of a chain, fixed before the final queries.

    Attributes
    ----------
    number : int
        Number of increments of b from 0 to 1, and of evaluations of the network with gradient.
    step : float
        Angle of a step of the dynamics, by which v and its momentum turn where h is constant.
    kept : float
        Correlation of the momentum before and after it is refreshed.
    """

    number: int = 1
    step: float = _STEP
    kept: float = _KEPT


@dataclasses.dataclass(frozen=True)
class Targets:
    """The pairs of a query and an input for which chains run: at most n for each of b inputs.

    Attributes
    ----------
    model : SignalModel
        The network.
    posteriors : WhitenedPosteriors
        The proposals of the b inputs.
    rows : Tensor of shape (b,)
        The inputs.
    points : Tensor of shape (b, n, d)
        The queries.
    filled : Tensor of shape (b, n)
        Whether each of the n places has a chain.
    """

    model: SignalModel
    posteriors: WhitenedPosteriors
    rows: Tensor
    points: Tensor
    filled: Tensor

    @functools.cached_property
    def centers(self) -> Tensor:
        """The noises at v = 0, (b, n, k)."""
        return self.posteriors.centers(self.points)

    def at(self, values: Tensor, log_noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return h, (b, n), and its gradient, (b, n, k), at v; `log_noise` replaces log phi(t - g) of the chains."""
        noises = self.centers + self.posteriors.unwhiten(values)
        rows = self.rows[:, None].expand_as(self.filled)[self.filled]
        signals, products = self.model.residual_products(rows, noises[self.filled], self.points[self.filled])
        h = (values.square() - noises.square()).sum(-1) / 2 + self.posteriors.log_volumes[:, None]
        h[self.filled] += noise_log_densities(signals, self.points[self.filled]) if log_noise is None else log_noise
        gradients = -noises
        # Any direction is valid, also in place of a derivative that is NaN or infinite.
        gradients[self.filled] += torch.where(products.isfinite(), products, 0.0)
        return h, self.posteriors.transposed_unwhiten(gradients) + values


@dataclasses.dataclass
class Chains:
    """Chains at targets, with one stream of random numbers for the chains of an input.

    Attributes
    ----------
    targets : Targets
        The pairs of a query and an input.
    bridges : Bridges
        The settings.
    generators : sequence of Generator
        The b streams.
    """

    targets: Targets
    bridges: Bridges
    generators: Sequence[np.random.Generator]

    def forward_log_weights(self) -> Tensor:
        """Run chains from samples of the proposal, and return their log weights, (b, n).

        The mean of a weight is p(t|x), without the factor (2 pi)^(-d/2).
        """
        state = self._state(self._normal())
        log_weights = state.h / self.bridges.number
        for bridge in range(1, self.bridges.number):
            self._refresh(state)
            self._move(state, bridge / self.bridges.number)
            state.momenta = -state.momenta
            log_weights += state.h / self.bridges.number
        return log_weights

    def backward_log_weights(self, noises: Tensor, squares: Tensor) -> Tensor:
        """Run chains in reverse from exact samples of the posterior, (b, n, k), and return their log weights, (b, n).

        `squares` are |t - g|^2 of the chains in the passes that made the queries, because a network rounds differently
        in another batch. The law of such a chain is that of a forward chain, tilted by its weight over p(t|x).
        """
        state = self._state(self.targets.posteriors.whiten(noises - self.targets.centers), -0.5 * squares)
        log_weights = state.h / self.bridges.number
        for bridge in range(self.bridges.number - 1, 0, -1):
            state.momenta = -state.momenta
            self._move(state, bridge / self.bridges.number)
            self._refresh(state)
            log_weights += state.h / self.bridges.number
        return log_weights

    def _state(self, values: Tensor, log_noise: Tensor | None = None) -> _State:
        return _State(values, self._normal(), *self.targets.at(values, log_noise))

    def _refresh(self, state: _State) -> None:
        kept = self.bridges.kept
        state.momenta = kept * state.momenta + math.sqrt(1 - kept**2) * self._normal()

    def _move(self, state: _State, exponent: float) -> None:
        """Make a Metropolis step, whose proposal flips the momenta and is so its own inverse."""
        step, values, momenta = self.bridges.step, state.values, state.momenta
        kicked = momenta + 0.5 * step * exponent * state.gradients
        moved = math.cos(step) * values + math.sin(step) * kicked
        turned = math.cos(step) * kicked - math.sin(step) * values
        h, gradients = self.targets.at(moved)
        flipped = -(turned + 0.5 * step * exponent * gradients)
        squares = values.square() + momenta.square() - moved.square() - flipped.square()
        log_ratios = squares.sum(-1) / 2 + exponent * (h - state.h)
        is_accepted = self._uniforms() < log_ratios.exp()
        state.h = torch.where(is_accepted, h, state.h)
        for name, changed in (("values", moved), ("momenta", flipped), ("gradients", gradients)):
            setattr(state, name, torch.where(is_accepted[..., None], changed, getattr(state, name)))

    def _uniforms(self) -> Tensor:
        uniforms = torch.zeros(self.targets.filled.shape, dtype=torch.float64)
        for of_input, count, generator in zip(
            uniforms, self.targets.filled.sum(1).tolist(), self.generators, strict=True
        ):
            of_input[:count] = torch.from_numpy(generator.random(count))
        return uniforms

    def _normal(self) -> Tensor:
        """Return standard normal values (b, n, k); the random numbers of an input do not depend on other inputs."""
        filled, k = self.targets.filled, self.targets.model.noise_size
        values = torch.zeros(*filled.shape, k, dtype=torch.float64)
        for of_input, count, generator in zip(values, filled.sum(1).tolist(), self.generators, strict=True):
            of_input[:count] = standard_normal((count, k), generator, torch.float64)
        return values


@dataclasses.dataclass
class _State:
    """The values v and momenta (b, n, k) of chains, with h (b, n) and its gradients (b, n, k) at v."""

    values: Tensor
    momenta: Tensor
    h: Tensor
    gradients: Tensor
