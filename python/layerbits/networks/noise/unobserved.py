"""Warnings of activation functions that run without noise, because the observed pass did not run them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from torch import nn

from layerbits._base import stacklevel_of_user
from layerbits.networks.execution.shadow import modules_by_name
from layerbits.networks.observation.activation_functions import FUNCTIONS
from layerbits.networks.observation.layer_calls import LayerCall, name_called
from layerbits.networks.observation.layer_selection import TRAINING_ALONE


class UnobservedFunction:
    """Warns that a function runs without noise; it takes the place of the hook that would add the noise."""

    def __init__(self, layer: str) -> None:
        self.layer = layer

    def warn(self) -> None:
        """Warn that the function runs without noise."""
        _warn(
            f"layers: None leaves out {self.layer}, which did not run in the observed pass and now runs without noise; "
            f"noisify again with inputs= that run it; {TRAINING_ALONE}"
        )


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=stacklevel_of_user())


# With this attribute torch.compile calls `_warn` when it traces a pass. `torch.compiler.assume_constant_result` sets it
# too, but imports torch._dynamo, which takes a second.
_warn._dynamo_marked_constant = True  # type: ignore[attr-defined]


def unobserved_functions(
    root: nn.Module, calls: Sequence[LayerCall], noisy_modules: Sequence[nn.Module]
) -> dict[nn.Module, dict[str, UnobservedFunction]]:
    """Return the activation functions that a later pass may run without noise, by module and name.

    These are all functions of modules that did not run, and the functions that were not observed in `noisy_modules`,
    which have other functions with noise. Other modules are left out, because intercepting their functions takes time
    in each pass.
    """
    modules_run = {call.module for call in calls if not call.function}
    observed_functions = {(call.module, call.function) for call in calls}
    names = dict.fromkeys(function.name for function in FUNCTIONS.values())
    return {
        module: {
            name: UnobservedFunction(name_called(module_name, module, name))
            for name in names
            if (module, name) not in observed_functions
        }
        for module_name, module in modules_by_name(root).items()
        if module in noisy_modules or (module is not root and module not in modules_run and _may_call_functions(module))
    }


def _may_call_functions(module: nn.Module) -> bool:
    """Return whether a module's forward may call functions: it is no basic module and no container of torch.nn."""
    place = type(module).__module__
    is_basic = place.startswith("torch.nn.") and not any(True for _ in module.children())
    return not is_basic and place != "torch.nn.modules.container"
