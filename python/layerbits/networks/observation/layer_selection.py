"""`choose_layers`: select observed layers by name, glob, type or callable; by default, hidden activation functions."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from layerbits._base import LayerSelectionError, listed, shown, stacklevel_of_user
from layerbits.networks.execution.shadow import modules_by_name
from layerbits.networks.observation.activation_functions import activation_function
from layerbits.networks.observation.call_recorders import ACTIVATIONS
from layerbits.networks.observation.layer_calls import LayerCall

LayerSelector = str | type[nn.Module] | Callable[[str, nn.Module], bool]
Layers = LayerSelector | Sequence[LayerSelector] | None

# The layers of a network that calls none, such as a single module, which has no name.
_NONE = "none; to measure the output of the network, pass torch.nn.Sequential(model), whose layer '0' it is"

# The reason why no inputs run some layers, and the remedy for a warning that None leaves out such layers.
TRAINING_ALONE = (
    "layers that run in training alone cannot be included, because passes are observed in evaluation mode: name the "
    "other layers by layers= to end this warning"
)


def choose_layers(
    calls: Sequence[LayerCall], layers: Layers, *, named: Iterable[str] = (), network: nn.Module | None = None
) -> list[LayerCall]:
    """Select the calls that match `layers`, in the order of `calls`.

    Parameters
    ----------
    calls : sequence of LayerCall
        The calls of a pass.
    layers : None, str, type, callable or a sequence of them
        None selects every activation function that depends on the input and returns no output of the network, and the
        calls with a name in `named`. A str is the name of a layer or a glob. A type selects all calls of modules of the
        type. An activation function of torch, such as `F.relu`, selects its calls. Another callable has the signature
        ``(name, module) -> bool``.
    named : iterable of str, optional
        Names of further layers for `layers` None.
    network : torch.nn.Module, optional
        The network. With `layers` None, a warning then names the activation modules of `torch.nn` that did not run.

    Raises
    ------
    LayerSelectionError
        A selector matches no layer or is no valid glob, there is no selector, or None selects no layer. The message
        lists the layers, unless it is about a glob.
    TypeError
        A selector has another type, or is a callable with another signature; or `layers` is a mapping.

    Warns
    -----
    UserWarning
        `layers` is None and leaves out an activation function or a module that resembles one; the message has reasons.
    """
    available = f"available: {listed(call.name for call in calls) or _NONE}"
    if layers is None:
        return _default_layers(calls, list(named), available, network)
    if isinstance(layers, Mapping):
        raise TypeError(
            f"layers: got {type(layers).__name__}, wanted names or other selectors without values; pass "
            "layers=list(...), and the noise of each layer as sigma"
        )
    if isinstance(layers, Tensor | np.ndarray):
        raise TypeError(f"layers: got {type(layers).__name__}, wanted names or other selectors")
    selectors = layers if isinstance(layers, Iterable) and not isinstance(layers, str | type) else [layers]
    names: set[str] = set()
    for selector in selectors:
        matches = _names_selected(calls, selector)
        if not matches:
            raise LayerSelectionError(
                f"layers: {_named(selector)} matches no layer{_other_selector(calls, selector)}; {available}"
            )
        names |= matches
    if not names:
        raise LayerSelectionError(f"layers: got an empty sequence, wanted at least one layer; {available}")
    return [call for call in calls if call.name in names]


def is_exact_name(call: LayerCall, name: str) -> bool:
    """Return whether a name is that of a call; the first call has the names ``name`` and ``name@1``."""
    return name in (call.name, f"{call.called}@{call.number}")


def names_matching(calls: Sequence[LayerCall], selector: str, *, argument: str = "layers") -> set[str]:
    """Return the names of the calls whose name is `selector`, or, if there are none, of those that match it as a glob.

    In a glob ``*`` and ``?`` do not match a dot and ``**`` does. `argument` is the name of the selector in errors.

    Raises
    ------
    LayerSelectionError
        No call has the name `selector`, and `selector` is no valid glob.
    """
    # The name of a module may contain the characters of a glob.
    exact_matches = {call.name for call in calls if is_exact_name(call, selector)}
    if exact_matches:
        return exact_matches
    try:
        pattern = re.compile(_expression(selector))
    except re.error as error:
        raise LayerSelectionError(
            f"{argument}: got {shown(repr(selector))}, wanted a name or a glob: {error}"
        ) from error
    return {
        call.name for call in calls if pattern.fullmatch(call.name) or pattern.fullmatch(f"{call.called}@{call.number}")
    }


def _default_layers(
    calls: Sequence[LayerCall], named: Sequence[str], available: str, network: nn.Module | None
) -> list[LayerCall]:
    defaults = [
        call
        for call in calls
        if (call.is_activation and not call.is_output and call.depends_on_input)
        or any(is_exact_name(call, name) for name in named)
    ]
    if not defaults:
        activations = [call for call in calls if call.is_activation]
        reason = "the network calls none (torch.clamp, torch.where, F.prelu, F.softmax and others are not among them)"
        learnt = [call.name for call in calls if call.acts_value_by_value]
        if activations:
            has_constants = not all(call.depends_on_input for call in activations)
            properties = "returns an output of the network" + " or does not depend on its input" * has_constants
            reason = f"each one ({listed(call.name for call in activations)}) {properties}"
        elif learnt:
            reason = f"the network calls none without parameters (with them, {listed(learnt)})"
        raise LayerSelectionError(
            f"layers: got None, which selects hidden activation functions, but {reason}; name the layers, {available}"
        )
    left_out: dict[str, list[str]] = {}
    for call in calls:
        reason = "" if call in defaults else _reason_to_leave_out(call, calls)
        if reason:
            left_out.setdefault(reason, []).append(call.name)
    not_run = _not_run(network, calls)
    if not_run:
        left_out["was not called in the observed pass"] = not_run
    if left_out:
        texts = [
            f"{listed(names)}, {'each of which' if len(names) > 1 else 'which'} {reason}"
            for reason, names in left_out.items()
        ]
        warnings.warn(
            f"layers: None leaves out {'; '.join(texts)}; name the layers to include them"
            + f", with inputs that call them (the modules, not their forward methods); {TRAINING_ALONE}"
            * bool(not_run),
            stacklevel=stacklevel_of_user(),
        )
    return defaults


def _reason_to_leave_out(call: LayerCall, calls: Sequence[LayerCall]) -> str:
    """Return why the default leaves out a layer that a user may expect to have noise; empty for other layers."""
    if call.is_activation and not call.depends_on_input:
        return "does not depend on the input of the network"
    if call.is_activation and call.is_output:
        several_outputs = len({other.output_index for other in calls if other.is_output}) > 1
        return "returns one of several outputs of the network" if several_outputs else ""
    return "acts value by value like an activation function" if call.acts_value_by_value else ""


def _not_run(network: nn.Module | None, calls: Sequence[LayerCall]) -> list[str]:
    """Return the names of the activation modules of torch.nn that were not called in the observed pass."""
    if network is None:
        return []
    called_modules = {call.module for call in calls if not call.function}
    return [
        name
        for name, module in modules_by_name(network).items()
        if isinstance(module, ACTIVATIONS) and module not in called_modules
    ]


def _names_selected(calls: Sequence[LayerCall], selector: object) -> set[str]:
    if isinstance(selector, str):
        return names_matching(calls, selector)
    if isinstance(selector, type):
        return {call.name for call in calls if not call.function and isinstance(call.module, selector)}
    function = _function_name(selector)
    if function:
        return {call.name for call in calls if call.function == function}
    if callable(selector) and not isinstance(selector, nn.Module):
        return {call.name for call in calls if _is_selected(selector, call)}
    raise TypeError(
        f"layers: got {type(selector).__name__}, wanted a name, a glob, a module type, a callable "
        "(name, module) -> bool, or a sequence of them"
    )


def _function_name(selector: object) -> str:
    """Return the name of an activation function; empty for another selector."""
    function = activation_function(selector) if callable(selector) else None
    return function.name if function else ""


def _named(selector: object) -> str:
    """Return words for a selector; for a callable its name, without an address in memory."""
    if isinstance(selector, str):
        return shown(repr(selector))
    name = getattr(selector, "__name__", type(selector).__name__)
    return shown(f"the {'type' if isinstance(selector, type) else 'callable'} {name}")


def _other_selector(calls: Sequence[LayerCall], selector: object) -> str:
    """Return the remedy for a glob whose ``*`` stops at a dot, or for a function that modules call; or empty text."""
    function = _function_name(selector)
    if function:
        classes = {type(call.module) for call in calls if isinstance(call.module, ACTIVATIONS)}
        of_function = [cls.__name__ for cls in classes if cls.__name__.lower() == function.replace("_", "")]
        return "".join(f", but torch.nn.{name} does; pass that type" for name in of_function)
    if not isinstance(selector, str):
        return ""
    wider = re.sub(r"\*+", "**", selector)
    return f", because * stops at a dot; pass {wider!r}" if names_matching(calls, wider) else ""


def _is_selected(selector: Callable[[str, nn.Module], object], call: LayerCall) -> bool:
    """Return whether a callable selects a call.

    Raises
    ------
    TypeError
        The callable does not take two arguments, or returns no bool.
    """
    try:
        inspect.signature(selector).bind(call.called, call.module)
    except ValueError:  # some callables of C have no signature
        pass
    except TypeError as error:
        raise TypeError(f"layers: got a callable ({error}), wanted one that takes (name, module)") from error
    selected = selector(call.called, call.module)
    if not isinstance(selected, bool | np.bool_):
        raise TypeError(
            f"layers: got a callable that returns {type(selected).__name__} for {call.called!r}, wanted a bool: "
            "(name, module) -> bool"
        )
    return bool(selected)


def _expression(glob: str) -> str:
    """Return the regular expression of a glob."""
    parts = {"**": ".*", "*": "[^.]*", "?": "[^.]"}
    tokens = re.findall(r"\*\*|\*|\?|\[!?[^\]]+\]|.", glob, flags=re.DOTALL)
    return "".join(
        parts.get(token) or (token.replace("[!", "[^", 1) if len(token) > 1 else re.escape(token)) for token in tokens
    )
