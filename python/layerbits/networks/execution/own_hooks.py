"""The hooks that layerbits adds to modules: their base class, and functions that list and delete them."""

from __future__ import annotations

from torch import nn
from torch.utils.hooks import RemovableHandle


class OwnHook:
    """Base class of the hooks of layerbits."""

    def __init__(self) -> None:
        # Unpickling a handle advances torch's hook counter, so that later hooks get new ids.
        self.handle: RemovableHandle | None = None


def own_hooks(model: nn.Module) -> list[OwnHook]:
    """Return the hooks of layerbits in a network."""
    return [hook for module in model.modules() for hook in _hooks(module) if isinstance(hook, OwnHook)]


def has_own_hook(module: nn.Module) -> bool:
    """Return whether a module itself, not only a part of it, has a hook of layerbits."""
    return any(isinstance(hook, OwnHook) for hook in _hooks(module))


def _hooks(module: nn.Module) -> tuple[object, ...]:
    return (*module._forward_hooks.values(), *module._forward_pre_hooks.values())


def delete_own_hooks(model: nn.Module) -> None:
    """Delete the hooks of layerbits in a network; deleting them in a shadow leaves the network as it is."""
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(hook, OwnHook)]:
                del hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)
                module._forward_hooks_always_called.pop(key, None)
