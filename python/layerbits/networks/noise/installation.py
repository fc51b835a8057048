"""Install the hooks of noise in a network, after a pass that observes its layers: at once, or in its first call."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.call_stack import in_function_transform
from layerbits.networks.execution.compilation import compile_again, guard_hooks
from layerbits.networks.execution.own_hooks import delete_own_hooks
from layerbits.networks.noise.add_noise import AddNoise
from layerbits.networks.noise.function_hooks import EnterFunctions, OutputHook, add_function_hooks
from layerbits.networks.noise.gaussian import RelativeSigma
from layerbits.networks.noise.hooks import NoiseHook, PassStart, check_no_pass_waits, noise_hooks
from layerbits.networks.noise.in_place import add_in_place_hooks
from layerbits.networks.noise.sigma_by_layer import NoiseByKey, noise_of_layers
from layerbits.networks.noise.switch import NoiseSwitch, join_open_blocks
from layerbits.networks.noise.unobserved import unobserved_functions
from layerbits.networks.observation.layer_calls import LayerCall, observe, observe_inputs
from layerbits.networks.observation.layer_selection import Layers, choose_layers


class WaitingNoise(NoiseHook):
    """A forward pre-hook that observes the layers in the first call of a network and gives them their noise."""

    def __init__(self, root: nn.Module, noise: NoiseByKey, layers: Layers) -> None:
        super().__init__(NoiseSwitch())
        self.root, self.noise, self.layers = root, noise, layers

    @property
    def is_relative(self) -> bool:
        """Whether the noise of a layer depends on its signals."""
        return any(isinstance(noise, RelativeSigma) for noise in self.noise.values())

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Observe the layers in a pass with the arguments of the first call."""
        if torch.compiler.is_compiling() or module is not self.root:
            raise RuntimeError(
                "model: got a compiled or replicated network whose layers have not been observed; pass inputs= to "
                "noisify, or call the network once before"
            )
        if in_function_transform():
            raise ValueError(
                "model: got a first call within a torch.func transform, wanted a network whose layers have been "
                "observed; pass inputs= to noisify, or call the network once before"
            )
        self.check_alone()
        # Without this, torch.compile would compile the observing pass, which takes seconds.
        uncompiled: Any = torch.compiler.disable if "torch._dynamo" in sys.modules else lambda function: function
        self.give_noise(uncompiled(observe)(self.root, args, kwargs, relative=self.is_relative))
        # torch calls the pre-hooks that the network had at the start of this call, so not the new ones.
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, PassStart | EnterFunctions):
                hook(module, args)

    def check_alone(self) -> None:
        """Raise a ValueError if a part of the network got noise of its own after this noise."""
        for name, part in self.root.named_modules():
            hooks = (*part._forward_hooks.values(), *part._forward_pre_hooks.values())
            if any(isinstance(hook, NoiseHook) and hook is not self for hook in hooks):
                raise ValueError(
                    f"model: got noise of {name!r} after the noise of the whole network, which waits for its first "
                    "call and would replace it, wanted one before the other; pass inputs= to the noisify of the whole, "
                    "then noisify the part"
                )

    def give_noise(self, calls: Sequence[LayerCall]) -> None:
        """Replace the noise of the network by the noise of the observed layers."""
        chosen = choose_layers(calls, self.layers, named=self.noise, network=self.root)
        noise = noise_of_layers(self.noise, chosen)
        in_place = {call.called for call in chosen if _acts_in_place(call, calls)}
        check_no_pass_waits(self.root)
        join_open_blocks(self.root, self.switch)
        delete_own_hooks(self.root)
        guard_hooks()
        compile_again()
        start = PassStart(self.switch, calls_itself=any(call.network_calls_itself for call in calls))
        start.handle = self.root.register_forward_pre_hook(start)
        functions: dict[nn.Module, dict[str, AddNoise]] = {}
        for called in dict.fromkeys(call.called for call in chosen):
            numbered = [(position, call) for position, call in enumerate(calls) if call.called == called]
            hook = AddNoise(
                self.switch,
                called,
                tuple(noise.get(call.name) for _, call in numbered),
                tuple(position for position, _ in numbered),
            )
            module, function = numbered[0][1].module, numbered[0][1].function
            if function:
                functions.setdefault(module, {})[function] = hook
            else:
                hook.handle = module.register_forward_hook(hook)
                if called in in_place:
                    add_in_place_hooks(module, self.switch)
        observed = {module: _calls_of_functions(module, self.root, calls) for module in functions}
        hooks: dict[nn.Module, Mapping[str, OutputHook]] = dict(functions)
        if self.layers is None:
            for module, unobserved in unobserved_functions(self.root, calls, list(functions)).items():
                hooks[module] = {**unobserved, **functions.get(module, {})}
        add_function_hooks(self.root, self.switch, hooks, observed)


def _calls_of_functions(module: nn.Module, root: nn.Module, calls: Sequence[LayerCall]) -> dict[str, int]:
    """Return how often a module calls each function in one of its calls, at least."""
    functions = Counter(call.function for call in calls if call.module is module)
    n_calls = functions.pop("", 0) + (module is root)
    return {name: number // max(1, n_calls) for name, number in functions.items()}


def _acts_in_place(layer: LayerCall, calls: Sequence[LayerCall]) -> bool:
    """Return whether the module of a layer acts in place.

    Raises
    ------
    LayerSelectionError
        It does so in some of its calls only, or writes into an argument of the network.
    """
    if layer.writes_inputs:
        raise LayerSelectionError(
            f"layers: got {layer.name!r}, which acts in place on an argument of the network, wanted a layer that "
            "leaves it: noise would be written into the caller's data; make the module return a new tensor "
            "(inplace=False)"
        )
    in_place = {call.acts_in_place for call in calls if call.called == layer.called}
    if len(in_place) > 1:
        raise LayerSelectionError(
            f"layers: got {layer.called!r}, which acts in place in some of its calls only, wanted all or none; make "
            "the module return a new tensor"
        )
    return in_place.pop()


def observe_waiting(root: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Observe a network whose layers wait for the first call, in a pass with these arguments.

    Raises
    ------
    ValueError
        A network inside `root` waits for its first call, whose arguments are not known, or got noise after `root`.
    """
    for waiting in waiting_noise(root):
        if waiting.root is not root:
            raise ValueError(
                "model: got a network that contains one whose layers have not been observed, wanted observed layers; "
                "run that inner network once, or pass inputs= to its noisify"
            )
        waiting.check_alone()
        waiting.give_noise(observe_inputs(root, args, kwargs, relative=waiting.is_relative))


def waiting_noise(model: nn.Module) -> list[WaitingNoise]:
    """Return the noise of a network, and of modules inside it, that waits for the first call."""
    return [hook for hook in noise_hooks(model) if isinstance(hook, WaitingNoise)]
