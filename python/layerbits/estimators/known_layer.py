"""Layers behind noise that are measured with the network that makes their signals, alone or beside draws.

With `estimator="auto"` the ends from draws have a part of the risk, and the ends from the network have the rest. So the
better of two ends is valid, whatever the choice to use the network depends on.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import NO_OTHER, KnownNetworkSettings, OtherEstimate, estimates_of_label_sets
from layerbits.estimators.known_network.affordable_settings import affordable_settings, work_of_draws
from layerbits.estimators.known_network.network_signal_model import NetworkSignalModel
from layerbits.estimators.layer_groups import parts_behind_no_noise
from layerbits.estimators.layer_sample import LayerSample
from layerbits.estimators.problem import Problem
from layerbits.estimators.query_counts import number_of_queries
from layerbits.estimators.risk_shares import RiskShares
from layerbits.estimators.settings import AUTO, KNOWN, MeasurementSettings
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate
from layerbits.kernels import single_threaded_torch
from layerbits.mixtures import noise_entropy

# Beside the network, draws have this share of the risk. Where draws suffice, their intervals are some 3 % wider than
# with the whole risk (9 % with half of it); those of the network are some 20 % wider (9 %).
SHARE_OF_DRAWS = 0.8

# Default number of queries of all inputs together, as fewer give wide intervals, and the largest number that the pilot
# may choose.
_TOTAL_QUERIES, _MOST_QUERIES = 1024, 2**14

# An interval of n queries is hardly narrower than this number divided by n, in nats.
_LEAST_WIDTH = 10.0

# Beside draws: the largest numbers of inputs N, of units d, and of values of all matrices, N d (d + k) with k noises.
_MAX_INPUTS, _MAX_UNITS, _MAX_VALUES = 2**13, 1500, 2**32

# The gap between the bounds from draws falls like the power `_BY_DRAWS` of the number of draws if draws limit the
# width, and otherwise, in wide layers, about like the power `_BY_OTHERS`.
_BY_DRAWS, _BY_OTHERS = -1.0, -0.25

# Draws and network together take up to this many times the work of the draws.
_MORE_DRAWS = 3


@dataclasses.dataclass(frozen=True)
class KnownLayer:
    """A layer or readout behind noise that is measured with the network.

    Attributes
    ----------
    model : NetworkSignalModel
        The signals as a function of the input and of the earlier noises.
    settings : KnownNetworkSettings
        Queries, samples and memory.
    label_sets : sequence of Classes
        The label sets of the measurement, which share queries and samples.
    beside_draws : bool
        Whether the layer is measured by draws too.
    """

    model: NetworkSignalModel
    settings: KnownNetworkSettings
    label_sets: Sequence[Classes]
    beside_draws: bool
    _measured: dict[object, list[dict[str, TwoSidedEstimate]]] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def draws(self) -> int:
        """Number of draws of each input: 1, as behind no noise; more queries need no more draws."""
        return 1

    @property
    def queries(self) -> int:
        """Number of queries of each input, at least 1."""
        return max(1, self.settings.queries // self.model.n_inputs)

    def estimates(
        self, classes: Classes, risk: float, seed: int, shares: RiskShares, other: OtherEstimate = NO_OTHER
    ) -> dict[str, TwoSidedEstimate]:
        """Estimate every quantity; each end of an interval is wrong with at most this risk.

        The result is empty if the pilot expects ends of I(X;T) that do not improve `other`. All label sets are measured
        at the first call.
        """
        index = next((index for index, label_set in enumerate(self.label_sets) if label_set is classes), None)
        label_sets = [classes] if index is None else self.label_sets
        key = None if index is None else (risk, seed, shares)
        if key is None or key not in self._measured:
            settings = dataclasses.replace(self.settings, shares=shares, other=other)
            with single_threaded_torch():
                self._measured[key] = estimates_of_label_sets(self.model, label_sets, risk, seed, settings)
        of_label_sets = self._measured[key]
        if not of_label_sets:
            return {}
        estimates = of_label_sets[index or 0]
        entropy = noise_entropy(self.model.n_units, 1.0) + self.model.log_volume
        return estimates | {name: estimates[name].shifted(entropy) for name in ("h(T)", "h(T|X)")}

    def width_of_more_draws(self, information: TwoSidedEstimate, growth: int) -> float:
        """Return the expected width of I(X;T) by `growth` times as many draws as those of an estimate."""
        gap = max(0.0, information.plug_in - information.decoded)
        share = math.pow(growth, _BY_DRAWS if information.limited_by == "draws" else _BY_OTHERS)
        return max(0.0, information.interval.upper - information.interval.lower - gap * (1 - share))

    def may_narrow(self, information: TwoSidedEstimate, queries: int) -> bool:
        """Return whether the network may give a narrower interval than more draws with `queries` queries of each input.

        The expected width with the network is the part of the width that is due to queries, for the number of queries
        of the network, because the network is expected to leave no gap between the bounds.
        """
        width = information.interval.upper - information.interval.lower
        width_of_queries = width - max(0.0, information.plug_in - information.decoded)
        expected = width_of_queries * math.sqrt(queries * self.model.n_inputs / self.settings.queries)
        expected += _LEAST_WIDTH / self.settings.queries
        return self.width_of_more_draws(information, _MORE_DRAWS) > expected


def known_layers(
    problem: Problem, names: Iterable[str], settings: MeasurementSettings, growth: int = 1
) -> dict[str, KnownLayer]:
    """Return the parts behind noise that are measured with the network.

    With "known" these are all parts behind noise; with "auto" those that the network can measure with useful numbers of
    queries and samples in at most twice the work of the draws; with other estimators none. "auto" takes none of a
    network on a CUDA device, where draws are much faster, but the linear models are still computed on the CPU.

    Parameters
    ----------
    growth : int
        The effort of the round as a multiple of that of the first.

    Raises
    ------
    LayerSelectionError, ValueError, MemoryError
        As `NetworkSignalModel.of`, or torch cannot differentiate the signal. "auto" leaves out parts with a ValueError.
    """
    if settings.estimator not in (KNOWN, AUTO):
        return {}
    # Inputs are moved to the device of the network, if it has one.
    tensors = (*problem.model.parameters(), *problem.model.buffers()) or problem.inputs.tensors
    is_on_cpu = all(tensor.device.type == "cpu" for tensor in tensors)
    if settings.estimator == AUTO and (problem.n_inputs > _MAX_INPUTS or not is_on_cpu):
        return {}
    exact = parts_behind_no_noise(problem, tuple(problem.parts))
    behind_noise = [name for name in names if name not in exact]
    layers = {}
    for name in behind_noise:
        try:
            model = NetworkSignalModel.of(problem, name)
            chosen = _settings(model, settings)
            if chosen is None:
                continue
            _differentiate(model)
        except ValueError:
            if settings.estimator == KNOWN:
                raise
            continue
        chosen = dataclasses.replace(
            chosen,
            queries=growth * chosen.queries,
            most_queries=growth * chosen.most_queries,
            samples=growth * chosen.samples,
        )
        layers[name] = KnownLayer(model, chosen, tuple(problem.label_sets.values()), settings.estimator == AUTO)
    return layers


def _settings(model: NetworkSignalModel, settings: MeasurementSettings) -> KnownNetworkSettings | None:
    """Return the settings of the known network; None if the layer is left to draws."""
    n_inputs = model.n_inputs
    if settings.estimator == KNOWN:
        queries = settings.queries or max(1, round(_TOTAL_QUERIES / n_inputs))
        return KnownNetworkSettings(
            queries=queries * n_inputs,
            most_queries=0 if settings.queries else _MOST_QUERIES,
            max_memory=settings.max_memory,
        )
    values = n_inputs * model.n_units * (model.n_units + model.noise_size)
    if model.n_units > _MAX_UNITS or values > _MAX_VALUES:
        return None
    draws = settings.draws_for(n_inputs)
    work = work_of_draws(n_inputs, model.n_units, draws, number_of_queries(n_inputs, draws, settings.queries))
    return affordable_settings(model, work, settings.max_memory)


def refuse_draws(settings: MeasurementSettings, samples: Sequence[Mapping[str, LayerSample]]) -> None:
    """Raise a ValueError if the settings want the known network, but the signals of a sample differ by draw."""
    random = [name for of_seed in samples for name, sample in of_seed.items() if not sample.is_exact]
    if settings.estimator == KNOWN and random:
        raise ValueError(
            f"estimator: got {KNOWN!r} for {random[0]!r}, on which unknown randomness acts, wanted a layer on which "
            "only the noise of known layers acts; choose another estimator"
        )


def _differentiate(model: NetworkSignalModel) -> None:
    """Raise a ValueError if torch cannot differentiate the signals."""
    noises = torch.zeros(1, model.noise_size, dtype=torch.float64)
    cotangents = torch.ones(1, model.n_units, 1, dtype=torch.float64)
    model.pullback(torch.zeros(1, dtype=torch.int64), noises, cotangents)
