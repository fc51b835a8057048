"""`observe_batches`: the layers in a pass of the first batch, and their root mean squares over all batches."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from layerbits.networks.execution.arguments import naming_inputs
from layerbits.networks.execution.generators import generators_restored
from layerbits.networks.execution.output_tensor import find_tensor
from layerbits.networks.execution.shadow import copy_arguments
from layerbits.networks.observation.layer_calls import LayerCall, call_name, name_called, observe_inputs
from layerbits.networks.observation.observed_pass import Arguments, run_observed


def observe_batches(model: nn.Module, batches: Iterable[Arguments], *, relative: bool) -> list[LayerCall]:
    """List the calls of a pass of the first batch; if `relative`, compute root mean squares over all batches.

    Further batches are read only if `relative`. A layer that does not run in a batch has no values there.

    Raises
    ------
    LayerSelectionError, TypeError, ValueError, MemoryError
        As `observe_inputs`.
    """
    iterator = iter(batches)
    args, kwargs = next(iterator)
    calls = observe_inputs(model, args, kwargs, relative=relative)
    return _over_batches(model, calls, iterator) if relative else calls


def _over_batches(model: nn.Module, calls: Sequence[LayerCall], batches: Iterable[Arguments]) -> list[LayerCall]:
    totals = {call.name: math.prod(call.shape) * call.root_mean_square**2 for call in calls}
    counts = {call.name: math.prod(call.shape) for call in calls}
    for batch in batches:
        for name, (n_values, mean_square) in _mean_squares(model, batch).items():
            if name in totals and n_values:
                totals[name] += n_values * mean_square
                counts[name] += n_values
    return [
        dataclasses.replace(
            call, root_mean_square=math.sqrt(totals[call.name] / counts[call.name]) if counts[call.name] else math.nan
        )
        for call in calls
    ]


def _mean_squares(model: nn.Module, arguments: Arguments) -> dict[str, tuple[int, float]]:
    """Return the number of values and their mean square for each call in a pass, by name."""
    with (
        naming_inputs(model, arguments),
        torch.inference_mode(False),
        torch.no_grad(),
        generators_restored(model),
    ):
        observed = run_observed(model, copy_arguments(arguments), relative=True)
    counts = collections.Counter[str]()
    mean_squares = {}
    for result in observed.results:
        name, tensor = observed.names[result.module], find_tensor(result.output)
        called = name_called(name, result.module, result.function)
        n_values = 0 if tensor is None or tensor.is_nested else tensor.numel()
        counts[called] += 1
        mean_squares[call_name(called, counts[called])] = n_values, result.root_mean_square**2
    return mean_squares
