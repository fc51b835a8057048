"""The layers of a network in the order of the data, and their selection by name, glob, type or callable.

A layer is one call of a module in one pass. These functions neither change the network nor run it on data.
"""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import inspect
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.fx
from torch import nn
from torch.nn.modules import activation

from layerbits._base import LayerSelectionError

LayerSelector = str | type[nn.Module] | Callable[[str, nn.Module], bool]
Layers = LayerSelector | Sequence[LayerSelector] | None

_ACTIVATIONS = tuple(getattr(activation, name) for name in activation.__all__ if name != "MultiheadAttention")

# Modules and functions that only reshape: a layer followed by these alone is still the output.
_RESHAPES = {
    "contiguous", "flatten", "getitem", "identity", "permute", "reshape", "squeeze", "transpose", "unflatten",
    "unsqueeze", "view",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One call of a module in a pass.

    Attributes
    ----------
    name : str
        Name of the layer: `module_name`, followed by ``@2``, ``@3``, ... from the second call on.
    module_name : str
        Name of the module in the network.
    module : torch.nn.Module
        The module that is called.
    is_output : bool
        Whether the call returns the output of the network, apart from reshapes.
    """

    name: str
    module_name: str
    module: nn.Module
    is_output: bool


def layer_calls(model: nn.Module) -> list[LayerCall]:
    """List the calls of modules inside `model` in one pass, in the order in which they return.

    `torch.fx` traces a copy of `model`. If that fails, for instance because forward branches on the data, a UserWarning
    is issued and the calls are assumed: each module once, in the order of registration, the last one as the output.
    """
    try:
        names_and_outputs = _traced_calls(model)
    except Exception as error:  # tracing runs the user's forward on proxies, which may raise any exception
        warnings.warn(
            f"torch.fx cannot trace {type(model).__name__} ({type(error).__name__}: {error}); assuming that each "
            "module is called once, in the order of registration, the last one as the output",
            stacklevel=3,
        )
        names_and_outputs = _registered_calls(model)
    modules = dict(model.named_modules())
    calls, counts = [], dict.fromkeys(modules, 0)
    for module_name, is_output in names_and_outputs:
        counts[module_name] += 1
        name = module_name if counts[module_name] == 1 else f"{module_name}@{counts[module_name]}"
        calls.append(LayerCall(name, module_name, modules[module_name], is_output))
    return calls


def choose_layers(calls: Sequence[LayerCall], layers: Layers) -> list[LayerCall]:
    """Select the calls that match `layers`, in the order of `calls`.

    Parameters
    ----------
    calls : sequence of LayerCall
        The result of `layer_calls`.
    layers : None, str, type, callable or a sequence of them
        None selects every hidden activation function. A str is the name of a layer, the name of a module (all its
        calls) or a glob for either; a type selects all modules of the type; a callable has the signature
        ``(module_name, module) -> bool``.

    Raises
    ------
    LayerSelectionError
        A selector matches no layer; the message lists the layers.
    TypeError
        A selector has another type.
    """
    available = f"available: {', '.join(call.name for call in calls) or 'none'}"
    if layers is None:
        hidden = [call for call in calls if isinstance(call.module, _ACTIVATIONS) and not call.is_output]
        if not hidden:
            raise LayerSelectionError(
                "layers: got None, which selects hidden activation functions, but no module is one (torch.tanh is not "
                f"a module); name the layers, {available}"
            )
        return hidden
    selectors = list(layers) if isinstance(layers, Iterable) and not isinstance(layers, str | type) else [layers]
    chosen: set[str] = set()
    for selector in selectors:
        matches = {call.name for call in calls if _matches(selector, call)}
        if not matches:
            raise LayerSelectionError(f"layers: {selector!r} matches no layer of the network; {available}")
        chosen |= matches
    if not chosen:
        raise LayerSelectionError(f"layers: got an empty sequence, wanted at least one layer; {available}")
    return [call for call in calls if call.name in chosen]


def is_named(call: LayerCall, selector: str) -> bool:
    """Return whether a name or a glob matches the layer or its module."""
    # Equality comes first because the name of a module may contain the brackets of a glob.
    return any(name == selector or fnmatch.fnmatchcase(name, selector) for name in (call.name, call.module_name))


def _matches(selector: object, call: LayerCall) -> bool:
    if isinstance(selector, str):
        return is_named(call, selector)
    if isinstance(selector, type):
        return isinstance(call.module, selector)
    if callable(selector):
        return bool(selector(call.module_name, call.module))
    raise TypeError(
        f"layers: got {type(selector).__name__}, wanted a name, a glob, a module type, a callable "
        "(name, module) -> bool, or a sequence of them"
    )


class _CallTracer(torch.fx.Tracer):
    """A tracer that records every call of a module, including modules with submodules, and its result."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[nn.Module, object]] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # A module without submodules contains no layer, so it need not be traceable.
        return next(m.children(), None) is None or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result = super().call_module(m, forward, args, kwargs)
        if self.is_leaf_module(m, self.path_of_module(m)):
            # torch.fx does not trace inside modules of torch.nn such as TransformerEncoder.
            self.calls.extend((inner, None) for inner in _registered_parts(m))
        self.calls.append((m, result))
        return result


def _traced_calls(model: nn.Module) -> list[tuple[str, bool]]:
    # The copy shares the parameters, but forward may set attributes, which must not change the network.
    copied = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
    parameters = inspect.signature(copied.forward).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    tracer = _CallTracer()
    tracer.trace(copied, concrete_args=defaults)
    names = {module: name for name, module in copied.named_modules()}
    return [
        (names[module], isinstance(result, torch.fx.Proxy) and _is_output(result.node, copied))
        for module, result in tracer.calls
    ]


def _is_output(node: torch.fx.Node, root: nn.Module) -> bool:
    """Return whether only the output of the network uses the value of `node`, directly or reshaped."""
    return all(user.op == "output" or (_reshapes(user, root) and _is_output(user, root)) for user in node.users)


def _reshapes(node: torch.fx.Node, root: nn.Module) -> bool:
    if node.op == "call_module":
        return type(root.get_submodule(str(node.target))).__name__.lower() in _RESHAPES
    return getattr(node.target, "__name__", node.target) in _RESHAPES


def _registered_calls(model: nn.Module) -> list[tuple[str, bool]]:
    names = {module: name for name, module in model.named_modules()}
    parts = _registered_parts(model)
    last = next((part for part in reversed(parts) if next(part.children(), None) is None), None)
    return [(names[part], part is last) for part in parts]


def _registered_parts(module: nn.Module) -> list[nn.Module]:
    # Containers such as ModuleList have no forward, so they are never called.
    return [part for part in _inner_first(module)[:-1] if type(part).forward is not nn.Module.forward]


def _inner_first(module: nn.Module) -> list[nn.Module]:
    """List the modules of `module`, each once, in the order in which their calls return; `module` itself is last."""
    inner = [part for child in module.children() for part in _inner_first(child)]
    return list(dict.fromkeys([*inner, module]))
