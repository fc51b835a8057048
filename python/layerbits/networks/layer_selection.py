"""Which layers a network has, in the order data meets them, and which of them are asked for.

A layer is one call of a module in one pass. Nothing here changes the network or runs it on data.
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

# What may stand between the last activation and the output without making that activation a hidden one.
_RESHAPES = {
    "contiguous", "flatten", "getitem", "identity", "permute", "reshape", "squeeze", "transpose", "unflatten",
    "unsqueeze", "view",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One call of a module in a pass; `name` is the module's, with ``@2``, ``@3``, ... from its second call on."""

    name: str
    module_name: str
    module: nn.Module
    is_output: bool


def layer_calls(model: nn.Module) -> list[LayerCall]:
    """List the calls of the modules inside `model` in one pass, in the order in which they end.

    They are learnt by `torch.fx` on a twin of `model`. Where that fails (say, forward branches on the data) a
    UserWarning says so and they are guessed: each module once, in the order of registration, the last as the output.
    """
    try:
        found = _traced_calls(model)
    except Exception as error:  # tracing runs the user's forward on proxies: anything can be raised there
        warnings.warn(
            f"torch.fx cannot trace {type(model).__name__} ({type(error).__name__}: {error}); its layers are taken in "
            "the order of registration, each called once, the last one as the output",
            stacklevel=3,
        )
        found = _registered_calls(model)
    modules = dict(model.named_modules())
    calls, times = [], dict.fromkeys(modules, 0)
    for module_name, is_output in found:
        times[module_name] += 1
        name = module_name if times[module_name] == 1 else f"{module_name}@{times[module_name]}"
        calls.append(LayerCall(name, module_name, modules[module_name], is_output))
    return calls


def choose_layers(calls: Sequence[LayerCall], layers: Layers) -> list[LayerCall]:
    """Choose the calls that `layers` asks for, in the order of `calls`.

    Parameters
    ----------
    calls : sequence of LayerCall
        What `layer_calls` found.
    layers : None, str, type, callable or a sequence of them
        None stands for every hidden activation. A str is the name of a layer or of a module, which stands for all its
        calls, or a glob for either; a type stands for all modules of it; a callable ``(module_name, module) -> bool``
        decides itself.

    Raises
    ------
    LayerSelectionError
        A selector matches no layer; the message lists those that there are.
    TypeError
        A selector is of another type.
    """
    available = f"available: {', '.join(call.name for call in calls) or 'none'}"
    if layers is None:
        hidden = [call for call in calls if isinstance(call.module, _ACTIVATIONS) and not call.is_output]
        if not hidden:
            raise LayerSelectionError(
                "layers: None stands for the hidden activations, and no module is one (a function such as torch.tanh "
                f"is no module); name the layers that shall carry noise, {available}"
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
    """Tell whether a name or a glob stands for the layer or for its module."""
    # Equality first: a module's own name may hold the brackets of a glob.
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
    """Notes every call of a module, also of those that have modules inside, with what it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[nn.Module, object]] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # What a module without submodules does inside holds no layer, so it need not be traceable.
        return next(m.children(), None) is None or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        returned = super().call_module(m, forward, args, kwargs)
        if self.is_leaf_module(m, self.path_of_module(m)):
            # Modules of torch.nn such as TransformerEncoder are not traced inside; their parts are taken as registered.
            self.calls.extend((inner, None) for inner in _registered_parts(m))
        self.calls.append((m, returned))
        return returned


def _traced_calls(model: nn.Module) -> list[tuple[str, bool]]:
    # Modules are copied and parameters shared: whatever forward stores on self stays in the twin.
    twin = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
    parameters = inspect.signature(twin.forward).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    tracer = _CallTracer()
    tracer.trace(twin, concrete_args=defaults)
    names = {module: name for name, module in twin.named_modules()}
    return [
        (names[module], isinstance(returned, torch.fx.Proxy) and _only_leads_out(returned.node, twin))
        for module, returned in tracer.calls
    ]


def _only_leads_out(node: torch.fx.Node, root: nn.Module) -> bool:
    """Tell whether nothing but the network's output uses the value of `node`, at most reshaped on the way."""
    return all(user.op == "output" or (_reshapes(user, root) and _only_leads_out(user, root)) for user in node.users)


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
    # Containers such as ModuleList have no forward and are never called.
    return [part for part in _inner_first(module)[:-1] if type(part).forward is not nn.Module.forward]


def _inner_first(module: nn.Module) -> list[nn.Module]:
    """List the modules of `module`, each once, in the order in which their calls end: itself comes last."""
    inner = [part for child in module.children() for part in _inner_first(child)]
    return list(dict.fromkeys([*inner, module]))
