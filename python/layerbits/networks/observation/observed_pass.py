"""An observed pass: run a shadow of a network, and record all calls of modules and activation functions."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from layerbits.networks.execution.output_tensor import all_tensors, find_tensor
from layerbits.networks.execution.own_hooks import delete_own_hooks
from layerbits.networks.execution.shadow import shadow
from layerbits.networks.observation.call_recorders import FunctionRecorder, ModuleRecorder, Recording, Result
from layerbits.networks.observation.input_dependence import InputDependence, other_values

# Positional and keyword arguments of a network.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class ObservedPass:
    """A pass through a shadow: its arguments, the returned value, the recorded results and the number of root calls.

    `names` has the names of the modules of the shadow.
    """

    arguments: Any
    returned: object
    results: list[Result]
    names: dict[nn.Module, str]
    n_calls: int


def run_observed(model: nn.Module, arguments: Arguments, *, relative: bool) -> ObservedPass:
    """Run a pass through a shadow of a network, in evaluation mode and without noise, that records all calls."""
    copied = shadow(model)
    delete_own_hooks(copied)
    names = {module: name for name, module in copied.named_modules()}
    recording = Recording(InputDependence(arguments), relative)
    recorder = ModuleRecorder(recording)
    root_calls: list[nn.Module] = []
    copied.register_forward_pre_hook(lambda module, args: root_calls.append(module))
    for module in names:
        if module is not copied:
            recorder.add_hooks(module)
    args, kwargs = arguments
    with FunctionRecorder(model, copied, recording), recording.dependence:
        returned = copied(*args, **kwargs)
    return ObservedPass(arguments, returned, recording.results, names, len(root_calls))


def independent_results(model: nn.Module, observed: ObservedPass, arguments: Arguments) -> set[int]:
    """Return the indices of the results that do not depend on the input: other inputs give the same values."""
    candidates = {
        index
        for index, result in enumerate(observed.results)
        if not result.depends_on_input and find_tensor(result.output) is not None
    }
    if not candidates:
        return set()
    changed, differs = other_values(arguments)
    try:
        second = run_observed(model, changed, relative=False)
    except Exception:  # the network may refuse other values in any way; then the layers count as dependent
        return set()
    if not differs or [_identity(observed, result) for result in observed.results] != [
        _identity(second, result) for result in second.results
    ]:
        return set()
    return {
        index
        for index in candidates
        if all(map(torch.equal, all_tensors(observed.results[index].output), all_tensors(second.results[index].output)))
    }


def _identity(observed: ObservedPass, result: Result) -> tuple[str, str]:
    return observed.names[result.module], result.function
