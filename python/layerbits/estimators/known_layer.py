"""Layers behind noise that are measured with the network that makes their signals: `estimator="known"`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings, known_network_estimates
from layerbits.estimators.known_network.network_signal_model import NetworkSignalModel
from layerbits.estimators.layer_groups import parts_behind_no_noise
from layerbits.estimators.layer_sample import LayerSample
from layerbits.estimators.problem import Problem
from layerbits.estimators.risk_shares import RiskShares
from layerbits.estimators.settings import KNOWN, MeasurementSettings
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate
from layerbits.kernels import single_threaded_torch
from layerbits.mixtures import noise_entropy

# Default number of queries of all inputs together: fewer leave wide bets.
_TOTAL_QUERIES = 1024


@dataclasses.dataclass(frozen=True)
class KnownLayer:
    """A layer or readout behind noise, in place of draws of it.

    Attributes
    ----------
    model : NetworkSignalModel
        The signals as a function of the input and of the earlier noises.
    queries : int
        Queries of each input.
    max_memory : int
        Budget in bytes.
    """

    model: NetworkSignalModel
    queries: int
    max_memory: int

    @property
    def draws(self) -> int:
        """1, as behind no noise: more queries take no draws."""
        return 1

    def estimates(self, classes: Classes, risk: float, seed: int, shares: RiskShares) -> dict[str, TwoSidedEstimate]:
        """Estimate every quantity; each end of an interval is wrong with at most this risk."""
        n_inputs = self.model.n_inputs
        settings = KnownNetworkSettings(
            queries=self.queries * n_inputs,
            # A round with more queries may take more samples of each.
            samples=KnownNetworkSettings.samples * max(1, self.queries // _default_queries(n_inputs)),
            max_memory=self.max_memory,
            shares=shares,
        )
        with single_threaded_torch():
            estimates = known_network_estimates(self.model, classes, risk, seed, settings)
        entropy = noise_entropy(self.model.n_units, 1.0) + self.model.log_volume
        return estimates | {name: estimates[name].shifted(entropy) for name in ("h(T)", "h(T|X)")}


def known_layers(
    problem: Problem, names: Iterable[str], queries: int | None, settings: MeasurementSettings
) -> dict[str, KnownLayer]:
    """Return the parts behind noise with these names, if the settings want the known network; otherwise none.

    Parameters
    ----------
    queries : int, optional
        Queries of each input; by default 1, or so many that all inputs have about 1024.

    Raises
    ------
    LayerSelectionError, ValueError, MemoryError
        As `NetworkSignalModel.of`: the noise or the randomness of the network does not allow the estimator.
    """
    if settings.estimator != KNOWN:
        return {}
    exact = parts_behind_no_noise(problem, tuple(names))
    queries = queries or _default_queries(problem.n_inputs)
    return {
        name: KnownLayer(NetworkSignalModel.of(problem, name), queries, settings.max_memory)
        for name in names
        if name not in exact
    }


def refuse_draws(settings: MeasurementSettings, samples: Sequence[Mapping[str, LayerSample]]) -> None:
    """Raise a ValueError if the settings want the known network, but the signals of a sample differ by draw."""
    random = [name for of_seed in samples for name, sample in of_seed.items() if not sample.is_exact]
    if settings.estimator == KNOWN and random:
        raise ValueError(
            f"estimator: got {KNOWN!r} for {random[0]!r}, on which unknown randomness acts, wanted a layer on which "
            "only the noise of known layers acts; choose another estimator"
        )


def _default_queries(n_inputs: int) -> int:
    return max(1, round(_TOTAL_QUERIES / n_inputs))
