"""The work of a measurement with the known network.

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
from layerbits.estimators.known_network.signal_model import SignalModel

# Work in nanoseconds.
_NETWORK_FLOP_WORK = 0.015  # per floating-point operation of the network, float32
_FLOP_WORK = 0.035  # per floating-point operation of linear algebra, float64
_DERIVATIVE_WORK = 8.0  # per value of a vector-Jacobian product
_SCORE_WORK = 5.0  # per value of a score
_SAMPLE_WORK = 35.0  # per value of a sample
_INPUT_WORK = 1.5e5  # per input
_PAIR_WORK = 1e3  # per pair of a query and an input

# Further samples per query: of the input that made the query, and those of the bounded estimates.
_FURTHER_SAMPLES = 32


@dataclasses.dataclass(frozen=True)
class Work:
    """The work of the parts of a measurement of N inputs, d units and k noises; `rank` is None for dense models."""

    n_inputs: int
    n_units: int
    noise_size: int
    network_flops: int
    rank: int | None

    @classmethod
    def of(cls, model: SignalModel, rank: int | None = None) -> Work:
        """Return the work for a model; compute one signal to count its operations."""
        return cls(model.n_inputs, model.n_units, model.noise_size, flops_of_signal(model), rank)

    def models(self, jacobians: int) -> float:
        """Return the work of all linear models, in nanoseconds; `jacobians` is the number of Jacobians per input."""
        d, k, r = self.n_units, self.noise_size, self.rank
        n_products, flops = (jacobians * d, 2 * d * d * k + d**3) if r is None else (7 * r, 6 * (d + k) * r * r)
        product = _DERIVATIVE_WORK * (d + k) + _NETWORK_FLOP_WORK * self.network_flops
        return self.n_inputs * (_INPUT_WORK + (n_products + SIGNALS) * product + _FLOP_WORK * flops)

    def query(self, samples: float) -> float:
        """Return the work of a query, in nanoseconds, with `samples` samples that are divided among the inputs."""
        d, k = self.n_units, self.noise_size
        r = d if self.rank is None else self.rank
        score = _PAIR_WORK + _SCORE_WORK * d + _FLOP_WORK * 2 * d * r
        sample = _SAMPLE_WORK * (d + k) + _FLOP_WORK * (4 * k + 2 * d) * r + _NETWORK_FLOP_WORK * self.network_flops
        return self.n_inputs * score + (samples + _FURTHER_SAMPLES) * sample


def flops_of_signal(model: SignalModel) -> int:
    """Return the number of floating-point operations of products of matrices and convolutions of one signal."""
    with _FlopCounter() as counter:
        model.signals(torch.zeros(1, dtype=torch.int64), torch.zeros(1, model.noise_size, dtype=torch.float64))
    flops: int = counter.flops
    return flops


class _FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations by torch's registry of formulas.

    torch's `FlopCounterMode` would also decompose operators and add global hooks to modules, which may change a pass.
    """

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
