"""Layers behind noise that are measured with the network that makes their signals, alone or beside draws.

With `estimator="auto"` both ends of every quantity have half of the risk from draws and half from the network, so the
better end of either may be taken, whatever decides that the network is used.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings, known_network_estimates
from layerbits.estimators.known_network.network_signal_model import NetworkSignalModel
from layerbits.estimators.layer_groups import parts_behind_no_noise
from layerbits.estimators.layer_sample import LayerSample
from layerbits.estimators.problem import Problem
from layerbits.estimators.risk_shares import RiskShares
from layerbits.estimators.settings import AUTO, KNOWN, MeasurementSettings
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate
from layerbits.kernels import single_threaded_torch
from layerbits.mixtures import noise_entropy

# Default number of queries of all inputs together; fewer queries give wide intervals.
_TOTAL_QUERIES = 1024

# An interval of n queries is hardly narrower than this over n, in nats.
_LEAST_WIDTH = 10.0

# Beside draws: the largest numbers of inputs N, of units d, and of values of all matrices, N d (d + k) with k noises.
# There are at least N^2 scores, and a fit takes a time of order d^2 (d + k) for each input.
_MAX_INPUTS, _MAX_UNITS, _MAX_VALUES = 2**13, 1500, 2**32


@dataclasses.dataclass(frozen=True)
class KnownLayer:
    """A layer or readout behind noise that is measured with the network.

    Attributes
    ----------
    model : NetworkSignalModel
        The signals as a function of the input and of the earlier noises.
    queries : int
        Queries of each input.
    samples : int
        Largest number of samples of a query.
    max_memory : int
        Budget in bytes.
    beside_draws : bool
        Whether the layer is measured by draws too.
    """

    model: NetworkSignalModel
    queries: int
    samples: int
    max_memory: int
    beside_draws: bool

    @property
    def draws(self) -> int:
        """Number of draws of each input: 1, as behind no noise; more queries need no more draws."""
        return 1

    def estimates(self, classes: Classes, risk: float, seed: int, shares: RiskShares) -> dict[str, TwoSidedEstimate]:
        """Estimate every quantity; each end of an interval is wrong with at most this risk."""
        settings = KnownNetworkSettings(
            queries=self.queries * self.model.n_inputs,
            samples=self.samples,
            max_memory=self.max_memory,
            shares=shares,
        )
        with single_threaded_torch():
            estimates = known_network_estimates(self.model, classes, risk, seed, settings)
        entropy = noise_entropy(self.model.n_units, 1.0) + self.model.log_volume
        return estimates | {name: estimates[name].shifted(entropy) for name in ("h(T)", "h(T|X)")}

    def may_narrow(self, information: TwoSidedEstimate, queries: int) -> bool:
        """Return whether the network may give a narrower interval than draws with `queries` queries of each input.

        The network is expected to leave no gap between the bounds, so the expected width is the part that is due to
        queries, for the number of queries that the network takes.
        """
        width = information.interval.upper - information.interval.lower
        width_of_queries = width - max(0.0, information.plug_in - information.decoded)
        expected = width_of_queries * math.sqrt(queries / self.queries)
        return width > expected + _LEAST_WIDTH / (self.queries * self.model.n_inputs)


def known_layers(
    problem: Problem, names: Iterable[str], settings: MeasurementSettings, growth: int = 1
) -> dict[str, KnownLayer]:
    """Return the parts behind noise that are measured with the network.

    With "known" these are all parts behind noise; with "auto" those of moderate size that the network can measure; with
    other estimators none.

    Parameters
    ----------
    growth : int
        The effort of the round as a multiple of that of the first.

    Raises
    ------
    LayerSelectionError, ValueError, MemoryError
        As `NetworkSignalModel.of`, or torch cannot differentiate the signal. "auto" leaves out parts with a ValueError.
    """
    exact = parts_behind_no_noise(problem, tuple(problem.parts))
    behind_noise = [name for name in names if name not in exact]
    if settings.estimator not in (KNOWN, AUTO) or (settings.estimator == AUTO and problem.n_inputs > _MAX_INPUTS):
        return {}
    queries = settings.queries if settings.estimator == KNOWN else None
    layers = {}
    for name in behind_noise:
        try:
            model = NetworkSignalModel.of(problem, name)
            if settings.estimator == AUTO and not _is_moderate(model):
                continue
            _differentiate(model)
        except ValueError:
            if settings.estimator == KNOWN:
                raise
            continue
        layers[name] = KnownLayer(
            model,
            growth * (queries or max(1, round(_TOTAL_QUERIES / problem.n_inputs))),
            growth * KnownNetworkSettings.samples,
            settings.max_memory,
            beside_draws=settings.estimator == AUTO,
        )
    return layers


def refuse_draws(settings: MeasurementSettings, samples: Sequence[Mapping[str, LayerSample]]) -> None:
    """Raise a ValueError if the settings want the known network, but the signals of a sample differ by draw."""
    random = [name for of_seed in samples for name, sample in of_seed.items() if not sample.is_exact]
    if settings.estimator == KNOWN and random:
        raise ValueError(
            f"estimator: got {KNOWN!r} for {random[0]!r}, on which unknown randomness acts, wanted a layer on which "
            "only the noise of known layers acts; choose another estimator"
        )


def _is_moderate(model: NetworkSignalModel) -> bool:
    values = model.n_inputs * model.n_units * (model.n_units + model.noise_size)
    return model.n_units <= _MAX_UNITS and values <= _MAX_VALUES


def _differentiate(model: NetworkSignalModel) -> None:
    """Raise a ValueError if torch cannot differentiate the signals."""
    noises = torch.zeros(1, model.noise_size, dtype=torch.float64)
    cotangents = torch.ones(1, model.n_units, 1, dtype=torch.float64)
    model.pullback(torch.zeros(1, dtype=torch.int64), noises, cotangents)
