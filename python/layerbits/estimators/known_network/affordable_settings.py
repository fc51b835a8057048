"""Settings of the known network whose work is in proportion to that of draws.

Work is counted, never timed, so that measurements repeat. The unit is a nanosecond of one core of the machine for which
the constants were measured (`python -m benchmarks.topics.wide_layers`); other machines differ by a common factor.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from layerbits.estimators.known_network.linear_models import SIGNALS
from layerbits.estimators.known_network.settings import KnownNetworkSettings
from layerbits.estimators.known_network.signal_model import SignalModel

# Work of the draws: of a pair of a query and a draw, of each of its first dimensions, and of the rest of a layer.
_OF_PAIR, _OF_PAIR_AND_UNIT, _MOST_UNITS, _OF_LAYER = 0.3, 0.05, 256, 1e8

# The known network may take this many times the work of the draws.
_ALLOWANCE = 2.0

# Work of the known network: of a floating-point operation of the network (float32) and of linear algebra (float64); of
# each value of a vector-Jacobian product, of a score and of a sample; of an input, and of an input at a query.
_OF_NETWORK_FLOP, _OF_FLOP = 0.015, 0.035
_OF_DERIVATIVE, _OF_SCORE, _OF_SAMPLE = 8.0, 5.0, 35.0
_OF_INPUT, _OF_QUERY_AND_INPUT = 1.5e5, 1e3

# Numbers of Jacobians, the best first, and the share of the work that the models may then take.
_JACOBIANS = ((16, 0.5), (8, 0.75), (4, 0.75))

# Samples that are divided among the inputs of a query; more where the largest number of queries is affordable.
_SAMPLES, _MORE_SAMPLES = 64, (256, 1024)
_LEAST_QUERIES, _MOST_QUERIES = 64, 1024

# Pilot queries, as a share of the final ones.
_SHARE_OF_PILOT = 1 / 8

# Inputs whose posterior probabilities, times N, are below this get no sample: upper ends rise by some hundredths of a
# nat.
_LEAST_SHARE = 0.03

# Samples of a query beside those that are divided: of the input that made it, and bounded ones.
_OTHER_SAMPLES = 32


def work_of_draws(n_inputs: int, n_units: int, draws: int, queries: int) -> float:
    """Return the work of a layer behind noise with draws and queries of each input."""
    pairs = n_inputs**2 * draws * queries
    return _OF_LAYER + pairs * (_OF_PAIR + _OF_PAIR_AND_UNIT * min(n_units, _MOST_UNITS))


def affordable_settings(model: SignalModel, work: float, max_memory: int) -> KnownNetworkSettings | None:
    """Return settings whose work is in proportion to the `work` of draws; None if no useful ones are."""
    costs, budget = _Costs.of(model), _ALLOWANCE * work
    jacobians = next((count for count, share in _JACOBIANS if costs.models(count) <= share * budget), None)
    if jacobians is None:
        return None
    budget -= costs.models(jacobians)
    queries = int(budget / (costs.query(_SAMPLES) * (1 + _SHARE_OF_PILOT)))
    if queries < _LEAST_QUERIES:
        return None
    samples = _SAMPLES
    for more in _MORE_SAMPLES:
        if budget >= _MOST_QUERIES * costs.query(more) * (1 + _SHARE_OF_PILOT):
            samples = more
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


@dataclasses.dataclass(frozen=True)
class _Costs:
    """The work of the parts of a measurement of N inputs, d units and k noises."""

    n_inputs: int
    n_units: int
    noise_size: int
    network_flops: int

    @classmethod
    def of(cls, model: SignalModel) -> _Costs:
        return cls(model.n_inputs, model.n_units, model.noise_size, flops_of_signal(model))

    def models(self, jacobians: int) -> float:
        """Return the work of all linear models."""
        d, k = self.n_units, self.noise_size
        product = _OF_DERIVATIVE * (d + k) + _OF_NETWORK_FLOP * self.network_flops
        return self.n_inputs * (_OF_INPUT + (jacobians * d + SIGNALS) * product + _OF_FLOP * (2 * d * d * k + d**3))

    def query(self, samples: int) -> float:
        """Return the work of a query. An eighth of the inputs are assumed to get a sample."""
        d, k = self.n_units, self.noise_size
        score = _OF_QUERY_AND_INPUT + _OF_SCORE * d + _OF_FLOP * 2 * d * d
        sample = _OF_SAMPLE * (d + k) + _OF_FLOP * (4 * d * k + 2 * d * d) + _OF_NETWORK_FLOP * self.network_flops
        return self.n_inputs * score + (samples + self.n_inputs / 8 + _OTHER_SAMPLES) * sample


def flops_of_signal(model: SignalModel) -> int:
    """Return the number of floating-point operations of products of matrices and convolutions of one signal."""
    with _FlopCounter() as counter:
        model.signals(torch.zeros(1, dtype=torch.int64), torch.zeros(1, model.noise_size, dtype=torch.float64))
    flops: int = counter.flops
    return flops


class _FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations by torch's registry of formulas."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        return result
