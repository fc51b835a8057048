"""`observe`: list the calls of modules and activation functions in a real pass of a network."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.arguments import naming_inputs
from layerbits.networks.execution.generators import generators_restored
from layerbits.networks.execution.output_tensor import all_tensors, find_tensor, why_no_signal
from layerbits.networks.execution.shadow import check_can_run, copy_arguments, modules_by_name
from layerbits.networks.observation.call_recorders import ACTIVATIONS, Result, memory_version
from layerbits.networks.observation.observed_pass import independent_results, run_observed
from layerbits.networks.observation.value_by_value import acts_value_by_value


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One call of a module, or of an activation function, in a pass.

    Attributes
    ----------
    name : str
        Name of the layer: `called`, followed by ``@2``, ``@3``, ... from the second call on.
    module_name : str
        Name of the module in the network.
    module : torch.nn.Module
        The module that is called, or whose forward method calls the function; a module of the network, not of a shadow.
    number : int
        Number of the call among those of the module or function, from 1.
    shape : tuple of int
        Shape of the first floating-point tensor that the call returns, or else of a quantized one; empty if there is
        none, or a nested one.
    no_signal : str
        The reason why the output has no signal, as `why_no_signal` returns it; empty if it has one.
    is_output : bool
        Whether the network returns the tensor of `shape`, or a view of all its values.
    output_index : int
        Position of that tensor or view among the tensors that the network returns; -1 if `is_output` is False.
    is_activation : bool
        Whether the call is one of an activation function: of a function, of an activation module of `torch.nn`, or of a
        module without parameters that acts value by value.
    root_mean_square : float
        Root mean square of the tensor of `shape`; NaN if there is none, or if it was not computed.
    rounding_step : float
        `rounding_step` of the tensor of `shape`; 0 if there is none, or a nested one.
    dtype : torch.dtype
        Dtype of the tensor of `shape`; float32 if there is none.
    function : str
        Name of the activation function that `module` calls; empty for a call of the module.
    spelling : str
        As `spelling_of_call` returns it for the call of the function; empty for a call of the module.
    acts_value_by_value : bool
        Whether the call is one of a module for which `acts_value_by_value` is true, with or without parameters.
    acts_in_place : bool
        Whether the module returns its argument, and writes into it or has a true attribute `inplace`; False for a
        function.
    writes_inputs : bool
        Whether the call acts in place on an argument of the network.
    depends_on_input : bool
        Whether the tensor of `shape` depends on the input of the network; True if this is not known.
    network_calls_itself : bool
        Whether the forward method of the network calls the network itself.
    """

    name: str
    module_name: str
    module: nn.Module
    number: int = 1
    shape: tuple[int, ...] = ()
    no_signal: str = ""
    is_output: bool = False
    output_index: int = -1
    is_activation: bool = False
    acts_value_by_value: bool = False
    acts_in_place: bool = False
    writes_inputs: bool = False
    depends_on_input: bool = True
    network_calls_itself: bool = False
    root_mean_square: float = math.nan
    rounding_step: float = 0.0
    dtype: torch.dtype = torch.float32
    function: str = ""
    spelling: str = ""

    @property
    def called(self) -> str:
        """Name of the module, or of the function in the module that calls it."""
        return name_called(self.module_name, self.module, self.function)


def call_name(called: str, number: int) -> str:
    """Return the name of the layer that is call `number` of a module or function."""
    return called if number == 1 else f"{called}@{number}"


def name_called(module_name: str, module: nn.Module, function: str = "") -> str:
    """Return the name of a module, or of a function that it calls: ``relu()`` if it contains a module ``relu``."""
    if not function:
        return module_name
    name = function if module._modules.get(function) is None else f"{function}()"
    return f"{module_name}.{name}" if module_name else name


def observe(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, relative: bool = False
) -> list[LayerCall]:
    """List the calls of the modules inside `model`, and of activation functions, in the order in which they return.

    The pass runs through a shadow of the network on copies of the arguments, in evaluation mode, without gradients and
    without noise. A second pass, with other inputs, runs if a layer seems not to depend on them. Torch's generators
    have the same states afterwards. If `relative`, compute root mean squares.

    Raises
    ------
    LayerSelectionError
        Two calls have one name; forward reaches a module through a closure or another object, or an encoder that may
        make nested tensors and is no submodule; forward or a hook writes on the network, or runs a module in another
        thread.
    """
    # Outside of inference mode torch counts the writes into memory.
    with torch.inference_mode(False), torch.no_grad(), generators_restored(model):
        observed = run_observed(model, copy_arguments((args, dict(kwargs))), relative=relative)
        names, results = observed.names, observed.results
        originals = modules_by_name(model)
        input_memory = {_memory(tensor) for tensor in all_tensors(observed.arguments)}
        independent = independent_results(model, observed, (args, dict(kwargs)))
        returned_tensors = list(all_tensors(observed.returned))
        value_by_value = {
            result.module: acts_value_by_value(result.module, result.argument, result.output)
            for result in results
            if not result.function
        }
        calls, counts = [], collections.Counter[str]()
        for index, result in enumerate(results):
            module, name = result.module, names[result.module]
            # If a module is itself an activation function, omit the functions that it calls.
            if result.function and value_by_value.get(module, False):
                continue
            called = name_called(name, module, result.function)
            counts[called] += 1
            tensor = find_tensor(result.output)
            output_index = _output_index(result, tensor, returned_tensors)
            calls.append(
                LayerCall(
                    name=call_name(called, counts[called]),
                    module_name=name,
                    module=originals[name],
                    number=counts[called],
                    shape=_shape(result.output, tensor),
                    no_signal=why_no_signal(result.output),
                    is_output=output_index >= 0,
                    output_index=output_index,
                    is_activation=bool(result.function)
                    or isinstance(module, ACTIVATIONS)
                    or (value_by_value[module] and next(module.parameters(), None) is None),
                    acts_in_place=result.acts_in_place and not result.function,
                    writes_inputs=result.acts_in_place and _memory(tensor) in input_memory,
                    acts_value_by_value=not result.function and value_by_value[module],
                    root_mean_square=result.root_mean_square,
                    rounding_step=result.rounding_step,
                    dtype=torch.float32 if tensor is None else tensor.dtype,
                    function=result.function,
                    spelling=result.spelling,
                    network_calls_itself=observed.n_calls > 1,
                    depends_on_input=index not in independent,
                )
            )
    _check_names(calls)
    return calls


def observe_inputs(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, relative: bool = False
) -> list[LayerCall]:
    """List the calls of a pass as `observe` does, with errors that name the caller's inputs.

    Raises
    ------
    LayerSelectionError
        As `observe`.
    TypeError, ValueError
        The network cannot have a shadow, or cannot take the inputs.
    MemoryError
        The system has no memory for the pass.
    """
    check_can_run(model)
    with naming_inputs(model, (args, dict(kwargs))):
        return observe(model, args, kwargs, relative=relative)


def _check_names(calls: Sequence[LayerCall]) -> None:
    """Raise a LayerSelectionError if two calls have one name."""
    names: set[str] = set()
    for call in calls:
        names_of_call = {call.name, f"{call.called}@{call.number}"}
        if names_of_call & names:
            raise LayerSelectionError(
                f"model: got a module with the name {min(names_of_call & names)!r}, which is that of a call of another "
                "module, wanted different names; rename the module"
            )
        names |= names_of_call


def _shape(output: object, tensor: Tensor | None) -> tuple[int, ...]:
    """Return the shape of the floating-point tensor of an output, or of a quantized one; empty for nested tensors."""
    if tensor is None:
        tensor = next((value for value in all_tensors(output) if value.is_quantized), None)
    return () if tensor is None or tensor.is_nested else tuple(tensor.shape)


def _output_index(result: Result, tensor: Tensor | None, returned: Sequence[Tensor]) -> int:
    """Return the position of the first returned tensor that is the tensor of a result or a view of it; -1 if none."""
    views = (index for index, other in enumerate(returned) if tensor is not None and _is_view(result, tensor, other))
    return next(views, -1)


def _is_view(result: Result, tensor: Tensor, other: Tensor) -> bool:
    """Return whether `other` has all values of the tensor of a result, unchanged, in the same memory."""
    if result.version != memory_version(tensor):
        return False
    if tensor is other:
        return True
    if any(value.is_nested or value.layout != torch.strided for value in (tensor, other)):
        return False
    if tensor.numel() != other.numel() or tensor.storage_offset() != other.storage_offset():
        return False
    return _memory(tensor) == _memory(other)


def _memory(tensor: Tensor | None) -> int:
    """Return an identifier of the memory of a tensor, which its views share."""
    if tensor is None or tensor.is_nested or tensor.layout != torch.strided:
        return id(tensor)
    memory: int = tensor.untyped_storage()._cdata
    return memory
