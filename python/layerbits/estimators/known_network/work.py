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

# Work of a floating-point operation of the network (float32) and of linear algebra (float64); of each value of a
# vector-Jacobian product, of a score and of a sample; of an input, and of an input at a query.
_OF_NETWORK_FLOP, _OF_FLOP = 0.015, 0.035
_OF_DERIVATIVE, _OF_SCORE, _OF_SAMPLE = 8.0, 5.0, 35.0
_OF_INPUT, _OF_QUERY_AND_INPUT = 1.5e5, 1e3

# Samples of a query beside those that are divided: of the input that made it, and bounded ones.
_OTHER_SAMPLES = 32


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
        """Return the work for a network, of which a signal is computed to count operations."""
        return cls(model.n_inputs, model.n_units, model.noise_size, flops_of_signal(model), rank)

    def models(self, jacobians: int) -> float:
        """Return the work of all linear models."""
        d, k, r = self.n_units, self.noise_size, self.rank
        n_products, flops = (jacobians * d, 2 * d * d * k + d**3) if r is None else (7 * r, 6 * (d + k) * r * r)
        product = _OF_DERIVATIVE * (d + k) + _OF_NETWORK_FLOP * self.network_flops
        return self.n_inputs * (_OF_INPUT + (n_products + SIGNALS) * product + _OF_FLOP * flops)

    def query(self, samples: float) -> float:
        """Return the work of a query with samples that are divided among the inputs."""
        d, k = self.n_units, self.noise_size
        r = d if self.rank is None else self.rank
        score = _OF_QUERY_AND_INPUT + _OF_SCORE * d + _OF_FLOP * 2 * d * r
        sample = _OF_SAMPLE * (d + k) + _OF_FLOP * (4 * k + 2 * d) * r + _OF_NETWORK_FLOP * self.network_flops
        return self.n_inputs * score + (samples + _OTHER_SAMPLES) * sample


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
