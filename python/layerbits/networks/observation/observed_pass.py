"""An observed pass: run a shadow of a network, and record the calls of modules and activation functions in it."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from layerbits.networks.execution.originals import originals_protected
from layerbits.networks.execution.output_tensor import all_tensors, why_no_signal
from layerbits.networks.execution.own_hooks import delete_own_hooks
from layerbits.networks.execution.shadow import modules_by_name, shadow
from layerbits.networks.observation.call_recorders import FunctionRecorder, ModuleRecorder, RecordedCalls, Result
from layerbits.networks.observation.input_dependence import InputDependence, other_values

# Positional and keyword arguments of a network.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class ObservedPass:
    """A pass through a shadow.

    Attributes
    ----------
    arguments : tuple
        Positional and keyword arguments of the pass.
    returned : object
        The value that the shadow returned.
    results : list of Result
        The results of the calls inside the shadow, in the order in which the calls return.
    names : dict of torch.nn.Module to str
        Name of each module of the shadow.
    n_calls : int
        Number of calls of the shadow itself; more than 1 if its forward method calls it.
    """

    arguments: Arguments
    returned: object
    results: list[Result]
    names: dict[nn.Module, str]
    n_calls: int


def run_observed(model: nn.Module, arguments: Arguments, *, relative: bool) -> ObservedPass:
    """Run a shadow of a network, in evaluation mode and without noise, and record the calls inside it.

    The network may write into `arguments`. If `relative`, the results have root mean squares.

    Raises
    ------
    LayerSelectionError
        Forward, or a hook, runs a module of the network itself, writes on the network, or runs a module in another
        thread.
    """
    copied = shadow(model, keeps_weights=False)
    delete_own_hooks(copied)
    names = {module: name for name, module in modules_by_name(copied).items()}
    recorded_calls = RecordedCalls(InputDependence(arguments), relative)
    recorder = ModuleRecorder(recorded_calls)
    root_calls: list[nn.Module] = []
    copied.register_forward_pre_hook(lambda module, args: root_calls.append(module))
    for module in names:
        if module is not copied:
            recorder.add_hooks(module)
    args, kwargs = arguments
    with originals_protected(model), FunctionRecorder(model, copied, recorded_calls), recorded_calls.dependence:
        returned = copied(*args, **kwargs)
    recorder.check_thread(names)
    # A copy, because the hooks also record the later calls of a module that calls itself.
    return ObservedPass(arguments, returned, list(recorded_calls.results), names, len(root_calls))


def independent_results(model: nn.Module, observed: ObservedPass, arguments: Arguments) -> set[int]:
    """Return the indices of the results that do not depend on the input.

    The operations of torch show no path from the input to such a result, and a second pass with other inputs gives the
    same values. If no input can change, or the second pass fails or has other calls, all results count as dependent.
    """
    candidates = {
        index
        for index, result in enumerate(observed.results)
        if not result.depends_on_input and not why_no_signal(result.output)
    }
    if not candidates:
        return set()
    other_arguments, have_changed = other_values(arguments)
    try:
        second = run_observed(model, other_arguments, relative=False)
    except Exception:  # the network may refuse other values in any way
        return set()
    if not have_changed or [_identity(observed, result) for result in observed.results] != [
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
