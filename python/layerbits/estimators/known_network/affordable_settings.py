"""Settings of the known network whose work is at most twice that of draws."""

from __future__ import annotations

from layerbits.estimators.known_network.settings import KnownNetworkSettings
from layerbits.estimators.known_network.signal_model import SignalModel
from layerbits.estimators.known_network.work import Work

# Work of draws, in nanoseconds as in `work`.
_PAIR_WORK = 0.3  # per pair of a query and a draw
_UNIT_WORK, _MOST_UNITS = 0.05, 256  # per pair and unit; further units add nothing
_LAYER_WORK = 1e8  # per layer

# The known network may take this many times the work of the draws.
_ALLOWANCE = 2.0

# Numbers of Jacobians, the best first, and the largest share of the work that the models may take with each number.
_JACOBIANS = ((16, 0.5), (8, 0.75), (4, 0.75))

# Samples that are divided among the inputs of a query; more where the largest number of queries is affordable.
_SAMPLES, _MORE_SAMPLES = 64, (256, 1024)
_LEAST_QUERIES, _MOST_QUERIES = 64, 1024

# Pilot queries, as a share of the final ones.
_SHARE_OF_PILOT = 1 / 8

# Inputs whose posterior probabilities, times N, are below this get no sample: upper ends rise by some hundredths of a
# nat.
_LEAST_SHARE = 0.03


def work_of_draws(n_inputs: int, n_units: int, draws: int, queries: int) -> float:
    """Return the work, in nanoseconds, of a layer behind noise with draws and queries of each input."""
    pairs = n_inputs**2 * draws * queries
    return _LAYER_WORK + pairs * (_PAIR_WORK + _UNIT_WORK * min(n_units, _MOST_UNITS))


def affordable_settings(model: SignalModel, work: float, max_memory: int) -> KnownNetworkSettings | None:
    """Return settings whose work is at most twice the `work` of draws; None if this allows no useful numbers."""
    costs, budget = Work.of(model), _ALLOWANCE * work
    jacobians = next((count for count, share in _JACOBIANS if costs.models(count) <= share * budget), None)
    if jacobians is None:
        return None
    budget -= costs.models(jacobians)
    queries = int(budget / (_work_of_query(costs, _SAMPLES) * (1 + _SHARE_OF_PILOT)))
    if queries < _LEAST_QUERIES:
        return None
    samples = _SAMPLES
    for count in _MORE_SAMPLES:
        if budget >= _MOST_QUERIES * _work_of_query(costs, count) * (1 + _SHARE_OF_PILOT):
            samples = count
    queries = min(queries, _MOST_QUERIES)
    return KnownNetworkSettings(
        queries=queries if queries < model.n_inputs else queries // model.n_inputs * model.n_inputs,
        pilot_queries=max(16, int(queries * _SHARE_OF_PILOT)),
        samples=samples,
        max_memory=max_memory,
        least_share=_LEAST_SHARE,
        jacobians=jacobians,
        chains=False,
    )


def _work_of_query(costs: Work, samples: int) -> float:
    """Return the work of a query, if an eighth of the inputs get one more sample."""
    return costs.query(samples + costs.n_inputs / 8)
