"""Shadows: copies of a network, on which layerbits runs its own passes.

A shadow has modules and buffers of its own, and hooks can be added to it alone. So a pass through the shadow, in
evaluation mode and with hooks, changes no module and no buffer of the network, which another thread may run. The pass
runs the layers of a compiled network uncompiled. A shadow shares the parameters of the network, unless another thread
may train it.
"""

from __future__ import annotations

import collections
import copy
import functools
import types
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from layerbits.networks.execution.module_state import CONTAINERS
from layerbits.networks.execution.other_threads import may_be_trained
from layerbits.networks.execution.weights import weights_of_one_moment

# Attributes of a module that `_copy` does not copy as they are: a shadow may share the parameters, and has no
# `dynamo_ctx`, which compiles a network.
_NOT_COPIED = {"_parameters", "dynamo_ctx"}

# Attribute of a shadow: the `id` of the modules that were copied for it, submodules or not.
_COPIED_MODULES = "_layerbits_copied_modules"

# Classes of networks whose parameters are divided among processes.
_SHARDED = {"FSDPModule", "FullyShardedDataParallel"}


def shadow(model: nn.Module, *, keeps_weights: bool = True) -> nn.Module:
    """Return a shadow of `model` in evaluation mode.

    If `keeps_weights` and another thread may train the network, the shadow has copies of the parameters of one moment.

    Modules, their bound methods, standard containers and partial functions are copied, buffers, other tensors and
    generators of torch are cloned, and compiled functions are replaced by the functions from which they were compiled.
    Everything else is shared: settings, and modules that are reachable only through closures or other objects. Such a
    module belongs to the network itself, and `RefuseOriginals` refuses its calls of functions.

    Raises
    ------
    TypeError
        The network is a TorchScript module, is exported by torch.export, or is sharded.
    ValueError
        A parameter or a buffer has no shape before the first pass, or no values; or another thread changes the
        parameters during each attempt to copy them.
    """
    check_can_run(model)
    copies: dict[int, Any] = dict(weights_of_one_moment(model)) if keeps_weights and may_be_trained() else {}
    copied: nn.Module = _copy(model, copies)
    vars(copied)[_COPIED_MODULES] = frozenset(id(value) for value in copies.values() if isinstance(value, nn.Module))
    return copied.eval()


def copied_modules(module: nn.Module) -> frozenset[int] | None:
    """Return the `id` of the modules that were copied for a shadow; None for a module that is no shadow."""
    modules: frozenset[int] | None = vars(module).get(_COPIED_MODULES)
    return modules


def copy_network(model: nn.Module) -> nn.Module:
    """Return a copy with the same parameters and modes; the network may be one that cannot run."""
    copied: nn.Module = _copy(model, {})
    return copied


def copy_with_weights(model: nn.Module, source: nn.Module) -> nn.Module:
    """Return a copy of a network with the parameters and copies of the buffers of its shadow `source`."""
    copies: dict[int, Tensor] = {
        id(parameter): parameter_of_source
        for parameter, parameter_of_source in zip(model.parameters(), source.parameters(), strict=True)
    }
    copies |= {
        id(buffer): buffer_of_source.clone()
        for buffer, buffer_of_source in zip(model.buffers(), source.buffers(), strict=True)
    }
    copied: nn.Module = _copy(model, copies)
    return copied


def copy_arguments(arguments: Any) -> Any:
    """Return a copy of the arguments of a pass, without gradients: a network may write into its arguments.

    Objects such as a cache of keys and values are copied too, unless their class refuses copies.
    """
    return _copy(arguments, {}, objects=True)


def check_can_run(model: nn.Module) -> None:
    """Raise a TypeError or a ValueError if layerbits cannot run passes of its own through the network."""
    for name, module in model.named_modules():
        place = f"model: got {type(module).__name__} at {name!r}" if name else f"model: got {type(module).__name__}"
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(f"{place}, a TorchScript module, wanted the Python network from which it was made")
        if isinstance(module, torch.fx.GraphModule) and "eval" in vars(module):
            raise TypeError(
                f"{place} from torch.export, which has no evaluation mode, wanted the network that was exported"
            )
        if any(base.__name__ in _SHARDED for base in type(module).__mro__):
            raise TypeError(
                f"{place}, which is sharded, wanted the whole network: call noisify(model, inputs=batch, ...) before "
                "the network is sharded, and measure a network of fully_shard with group= on all ranks"
            )
    if type(model).forward is nn.Module.forward and "forward" not in vars(model):
        raise TypeError(
            f"model: got {type(model).__name__}, which has no forward, wanted a network that can be called, such as "
            "torch.nn.Sequential"
        )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            raise ValueError(f"model: got {name!r} without a shape, wanted a known shape; run the network once before")
        if tensor.is_meta:
            raise ValueError(f"model: got {name!r} on the meta device, wanted values; load the weights before")


def check_has_float_weights(model: nn.Module) -> None:
    """Raise a TypeError if all weights of a network are quantized, so that its layers return quantized values."""
    names = [f"{type(module).__module__}.{type(module).__name__}" for module in model.modules()]
    quantized = [name for name in names if ".quantized." in name]
    # Modules with dynamic quantization return floating-point values.
    is_dynamic = any(".quantized.dynamic." in name for name in quantized)
    if quantized and not is_dynamic and next(model.parameters(), None) is None:
        raise TypeError(
            f"model: got a network whose weights are all quantized ({quantized[0]}), wanted layers with floating-point "
            "values; pass the network as it was before quantization"
        )


def check_can_have_noise(model: nn.Module) -> None:
    """Raise a TypeError or a ValueError if layerbits cannot run a network, or all of its weights are quantized."""
    root = unwrapped(model)
    check_can_run(root)
    check_has_float_weights(root)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside `torch.compile`, `DataParallel` and `DistributedDataParallel`."""
    while True:
        if _is_compiled(model):
            inner: nn.Module = model._orig_mod  # type: ignore[assignment]
            model = inner
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            return model


def modules_by_name(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of a network by their names; those inside `torch.compile` have the names without it."""
    return {
        ".".join(part for part in name.split(".") if part != "_orig_mod"): module
        for name, module in model.named_modules()
        if not _is_compiled(module)
    }


def _is_compiled(value: object) -> bool:
    # The class belongs to torch._dynamo, whose import takes seconds.
    return type(value).__name__ == "OptimizedModule" and isinstance(value, nn.Module)


def _copy(value: Any, copies: dict[int, Any], *, objects: bool = False) -> Any:
    """Copy a value and its contents.

    `copies` maps the id of an original to its copy, so that a module, tensor or container in several places has one
    copy. If `objects`, objects of other classes are copied with their attributes.
    """
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, nn.Module):
        return _copy_module(value, copies)
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        copies[id(value)] = value.detach().clone()
        return copies[id(value)]
    if isinstance(value, torch.Generator):  # a measurement must not advance the generator of the network
        copies[id(value)] = torch.Generator(value.device).set_state(value.get_state())
        return copies[id(value)]
    if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
        return types.MethodType(value.__func__, _copy(value.__self__, copies))
    if type(value) is functools.partial:
        positional = [_copy(argument, copies) for argument in value.args]
        keywords = {key: _copy(argument, copies) for key, argument in value.keywords.items()}
        return functools.partial(_copy(value.func, copies), *positional, **keywords)
    if type(value) is tuple:
        return tuple(_copy(item, copies, objects=objects) for item in value)
    if type(value) in CONTAINERS:
        return _copy_container(value, copies, objects=objects)
    compiled_from = getattr(value, "_torchdynamo_orig_callable", None)
    if compiled_from is not None:
        return _copy(compiled_from, copies)
    return _copy_object(value, copies) if objects and hasattr(value, "__dict__") else value


def _copy_module(module: nn.Module, copies: dict[int, Any]) -> nn.Module:
    copied = object.__new__(type(module))  # a torch.fx.GraphModule makes a class without `forward` in its own __new__
    copies[id(module)] = copied
    copied.__dict__ = {key: _copy(value, copies) for key, value in vars(module).items() if key not in _NOT_COPIED}
    copied.__dict__["_parameters"] = {
        name: copies.get(id(parameter), parameter) for name, parameter in module._parameters.items()
    }
    if _is_compiled(module):
        copied.__dict__["forward"] = copied.get_submodule("_orig_mod").__call__
    if vars(module).get("_compiled_call_impl") is not None:
        copied.__dict__["_compiled_call_impl"] = None
    return copied


def _copy_container(container: Any, copies: dict[int, Any], *, objects: bool) -> Any:
    copied = copies[id(container)] = type(container)()
    if isinstance(container, Mapping):
        if isinstance(container, collections.defaultdict):
            copied.default_factory = container.default_factory
        copied.update({key: _copy(item, copies, objects=objects) for key, item in container.items()})
    elif isinstance(container, set):
        copied.update(_copy(item, copies, objects=objects) for item in container)
    else:
        copied.extend(_copy(item, copies, objects=objects) for item in container)
    return copied


def _copy_object(value: Any, copies: dict[int, Any]) -> Any:
    try:
        copied = copy.copy(value)
    except Exception:  # a class may refuse copies in any way
        return value
    if copied is not value:  # functions and classes are their own copies
        copies[id(value)] = copied
        for name, item in vars(value).items():
            copied.__dict__[name] = _copy(item, copies, objects=True)
    return copied
