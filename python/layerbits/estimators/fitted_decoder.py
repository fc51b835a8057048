"""A decoder of the caller, fitted to the draws without queries and checked while it scores queries.

The lower end of an information holds for every decoder whose fit does not depend on the queries, and whose scores of a
query depend on that query alone. `fit` gets no draw with a query. The second condition is probed: some queries are
scored again, alone. A decoder that fails is refused with its position in `decoders`.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.input_decoders import InputDecoder
from layerbits.estimators.log_densities import LogDensities, Queries
from layerbits.estimators.score_sums import score_log_sums
from layerbits.estimators.seeded_generators import seeded_generators
from layerbits.kernels import ALONE, Processes, RandomStream, derived_seed
from layerbits.statistics import ByCondition

_Result = TypeVar("_Result")

# Scores of a block of queries: 16 MiB in float32.
_BLOCK_VALUES = 2**22

# Number of queries that are scored again, alone.
_PROBES = 32

# Largest difference, in nats, of a log posterior at a query alone and in a batch. Products in float32 that are summed
# in another order differ by some 2^-24 of the largest term: by .001 nats for scores of ten thousand.
_TOLERANCE = 0.01

# Share of the prior in posteriors that are compared, because differences of tiny probabilities do not matter.
_PRIOR_SHARE = 1e-3

# Least log posterior: e^-700 is positive in float64.
_LEAST_LOG_POSTERIOR = -700.0


@dataclasses.dataclass(frozen=True)
class CallerDecoder:
    """A decoder of the caller before its fit.

    Attributes
    ----------
    label : str
        Name in messages, such as ``"decoders[0]"``.
    decoder : InputDecoder
        The decoder; each fit takes a copy.
    seed : int
        Seed of the global generators in `fit` and `scores`.
    """

    label: str
    decoder: InputDecoder
    seed: int

    def fitted(self, draws: Tensor, sigma: float, classes: Classes, processes: Processes = ALONE) -> FittedDecoder:
        """Return a copy that is fitted to draws (N, r, k), which carry no queries; the first process fits for all.

        Raises
        ------
        ValueError
            The decoder cannot be copied or, for several processes, pickled; or `fit` raises an exception.
        """
        if processes.size == 1:
            return FittedDecoder(self._fit(draws, sigma), sigma, classes)
        pickled = processes.gather(
            f"the fit of {self.label}", lambda: self._fit(draws, sigma)._pickled() if processes.rank == 0 else b""
        )
        return FittedDecoder(dataclasses.replace(self, decoder=pickle.loads(pickled[0])), sigma, classes)

    def _fit(self, draws: Tensor, sigma: float) -> CallerDecoder:
        try:
            decoder = copy.deepcopy(self.decoder)
        except Exception as error:
            raise ValueError(
                f"{self.label}: copy.deepcopy raised {_shown(error)}, wanted a decoder that can be copied, because "
                "each fit takes a copy"
            ) from error
        n, r, _ = draws.shape
        signals = draws.flatten(0, 1) / sigma
        inputs = torch.arange(n, device=draws.device).repeat_interleave(r)
        self.run("fit", lambda: decoder.fit(signals, inputs), draws.device)
        return dataclasses.replace(self, decoder=decoder)

    def _pickled(self) -> bytes:
        try:
            return pickle.dumps(self.decoder)
        except Exception as error:
            raise ValueError(
                f"{self.label}: pickle raised {_shown(error)}, wanted a decoder that can be pickled, because one "
                "process fits it for all; define its class in a module"
            ) from error

    def run(self, method: str, call: Callable[[], _Result], device: torch.device) -> _Result:
        """Return the result of a call of the decoder, with seeded generators and with gradients enabled.

        Raises
        ------
        ValueError, MemoryError
            The call raises an exception; a MemoryError is raised as it is.
        """
        try:
            with seeded_generators(self.seed, device), torch.enable_grad():
                return call()
        except MemoryError:
            raise
        except Exception as error:
            raise ValueError(f"{self.label}: {method} raised {_shown(error)}") from error


def caller_decoders(decoders: Sequence[InputDecoder], seed: int, layer: int) -> tuple[CallerDecoder, ...]:
    """Return the decoders of the caller for the layer with the index `layer`, with their labels and seeds."""
    return tuple(
        CallerDecoder(f"decoders[{index}]", decoder, derived_seed(seed, RandomStream.DECODER_SEED, layer, index))
        for index, decoder in enumerate(decoders)
    )


@dataclasses.dataclass(frozen=True)
class FittedDecoder:
    """A fitted decoder of the caller.

    Attributes
    ----------
    caller : CallerDecoder
        The label, the fitted copy and the seed.
    sigma : float
        Standard deviation of the noise of the queries.
    classes : Classes
        The classes of the N inputs.
    """

    caller: CallerDecoder
    sigma: float
    classes: Classes

    @property
    def name(self) -> str:
        """Name in the tables."""
        return f"{self.caller.label}: {type(self.caller.decoder).__name__}"

    def log_densities(self, queries: Queries) -> LogDensities:
        """Return terms of q(x|t) in place of log densities at queries; only their differences have a meaning.

        With q(y|t) the sum of q(x|t) over the class y, log N q(x|t) stands for log q(t|x), log q(y|t)/p(y) for
        log q(t|y), and 0 for log q(t), so differences are terms of I(X;T), I(T;Y) and I(X;T|Y).

        Raises
        ------
        ValueError, TypeError
            `scores` raises an exception or returns no valid scores; or the scores of a query differ in another call.
        """
        size = max(1, _BLOCK_VALUES // self.classes.n_inputs)
        posteriors = score_log_sums(queries, self.classes, size, self._log_posteriors)
        self._probe(queries, posteriors.given_input)
        sizes = self.classes.sizes(queries.inputs)
        n_inputs = self.classes.n_inputs
        return ByCondition(
            given_input=posteriors.given_input + math.log(n_inputs),
            given_class=posteriors.given_class + math.log(n_inputs) - np.log(sizes),
            marginal=np.zeros(queries.shape),
        )

    def _log_posteriors(self, points: Tensor) -> Tensor:
        """Return log q(x|t), (m, N) in float64, at points (m, k)."""
        queries = points / self.sigma
        scores = self.caller.run("scores", lambda: self.caller.decoder.scores(queries), points.device)
        return self._checked(scores, points).double().log_softmax(1).clamp_(min=_LEAST_LOG_POSTERIOR)

    def _probe(self, queries: Queries, log_posteriors: Doubles) -> None:
        """Raise a ValueError if log posteriors (n, q) of the queries' inputs differ when a query is scored alone."""
        points, in_batch = queries.points.flatten(0, 1), log_posteriors.ravel()
        inputs = queries.inputs.repeat(queries.shape[1])
        for index in np.random.default_rng(self.caller.seed).permutation(len(points))[:_PROBES]:
            alone = float(self._log_posteriors(points[index : index + 1])[0, int(inputs[index])])
            difference = abs(self._with_prior(alone) - self._with_prior(float(in_batch[index])))
            if difference > _TOLERANCE:
                raise ValueError(
                    f"{self.caller.label}: a query scored alone, in a later call, has a log posterior that differs by "
                    f"{difference:.3g} nats from that in a batch, wanted equal scores: `scores` must take each query "
                    "by itself (softmax over axis 1, normalization in evaluation mode), use no random numbers and "
                    "leave the decoder as it is"
                )

    def _with_prior(self, log_posterior: float) -> float:
        return float(np.logaddexp(log_posterior, math.log(_PRIOR_SHARE / self.classes.n_inputs)))

    def _checked(self, scores: object, points: Tensor) -> Tensor:
        """Return scores; raise a TypeError or ValueError if they are no scores of the points (m, k)."""
        label, shape = self.caller.label, (len(points), self.classes.n_inputs)
        if not isinstance(scores, Tensor):
            raise TypeError(f"{label}: scores returned {type(scores).__name__}, wanted a tensor of shape {shape}")
        if scores.requires_grad:
            raise ValueError(f"{label}: scores require gradients, wanted none; decorate `scores` with torch.no_grad()")
        if tuple(scores.shape) != shape:
            raise ValueError(f"{label}: scores have shape {tuple(scores.shape)}, wanted {shape}: (queries, inputs)")
        if scores.dtype != points.dtype or scores.device != points.device:
            raise ValueError(
                f"{label}: scores are {scores.dtype} on {scores.device}, wanted those of the queries, {points.dtype} "
                f"on {points.device}"
            )
        largest = scores.amax(1)
        if not largest.isfinite().all():
            raise ValueError(
                f"{label}: scores of a query among {len(points)} have NaN or infinity, or exclude every input, wanted "
                "finite scores, also of a query alone; -infinity excludes an input"
            )
        return scores


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
