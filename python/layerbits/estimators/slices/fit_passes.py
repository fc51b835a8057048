"""Signals of separate passes, to which frames are fitted; no query uses these passes."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Integers
from layerbits.estimators.problem import Problem
from layerbits.kernels import RandomStream, derived_seed, stream
from layerbits.networks import Passes, record

# Largest number of inputs; draws per input behind noise.
_MAX_INPUTS, _DRAWS = 1024, 4

# Bytes of the budget for each value: float64, and the same again for working memory.
_BYTES = 16


@dataclasses.dataclass(frozen=True)
class FitSignals:
    """Signals of a layer in separate passes.

    Attributes
    ----------
    signals : float64 Tensor of shape (n, r, d), on the CPU
        Draws of n inputs; r = 1 behind no noise.
    inputs : integer array of shape (n,)
        Indices of the inputs.
    """

    signals: Tensor
    inputs: Integers

    @classmethod
    def of(cls, problem: Problem, layer: str, seed: int) -> FitSignals:
        """Record a layer for at most 1024 inputs; fewer, but at least 2, if the signals exceed the budget."""
        draws = 1 if layer in problem.network.behind_no_noise else _DRAWS
        units = problem.network.units.get(layer) or 1
        largest = max(2, min(_MAX_INPUTS, problem.max_memory // (_BYTES * draws * units)))
        inputs: Integers = np.arange(problem.n_inputs)
        if problem.n_inputs > largest:
            choice = stream(seed, RandomStream.SLICE_FIT_INPUTS)
            inputs = np.sort(choice.choice(problem.n_inputs, largest, replace=False))
        fit_seed = derived_seed(seed, RandomStream.SLICE_FIT_SEED)
        passes = Passes((layer,), range(draws), fit_seed, processes=problem.workers.processes)
        tensors = [tensor[torch.from_numpy(inputs).to(tensor.device)] for tensor in problem.inputs.tensors]
        return cls(record(problem.network, tensors, passes)[layer].double().cpu(), inputs)


def all_signals(problem: Problem, layer: str, seed: int) -> Tensor | None:
    """Return the float64 signals (n, d) of a layer for all inputs.

    None if the layer is behind noise, its size is unknown, or the signals exceed the budget.
    """
    if layer not in problem.network.behind_no_noise:
        return None
    units = problem.network.units.get(layer)
    if not units or problem.n_inputs * units * _BYTES > problem.max_memory:
        return None
    passes = Passes((layer,), range(1), seed, processes=problem.workers.processes)
    signals = record(problem.network, problem.inputs.tensors, passes)[layer]
    return signals[:, 0].double().cpu()
