"""Install the hooks of noise in a network, after a pass that observes its layers: at once, or in its first call."""

from __future__ import annotations

import functools
import operator
import os
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import nn

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.call_stack import in_function_transform
from layerbits.networks.execution.compilation import compile_again, guard_hooks, not_compiled_alone
from layerbits.networks.noise.add_noise import AddNoise, ObservedCall
from layerbits.networks.noise.function_hooks import EnterFunctions, OutputHook, add_function_hooks
from layerbits.networks.noise.hooks import (
    NoiseHook,
    PassEnd,
    PassStart,
    check_no_pass_waits,
    check_shares_no_noise,
    delete_noise_hooks,
    noise_hooks,
)
from layerbits.networks.noise.in_place import add_in_place_hooks
from layerbits.networks.noise.padding_tokens import FindDroppedTokens
from layerbits.networks.noise.relative import RelativeSigma
from layerbits.networks.noise.sigma_by_layer import NoiseByKey, noise_of_layers
from layerbits.networks.noise.switch import NoiseSwitch, join_open_blocks
from layerbits.networks.noise.unobserved import unobserved_functions
from layerbits.networks.observation.layer_calls import LayerCall, observe
from layerbits.networks.observation.layer_selection import Layers, choose_layers
from layerbits.networks.observation.observed_batches import observe_batches
from layerbits.networks.observation.observed_pass import Arguments

_UNOBSERVED = (
    ", wanted a network whose layers have been observed; pass inputs= to noisify, or call the network once before"
)


# If several threads make the first call of a network, one observes the layers, and the others wait for the noise.
_installation = threading.RLock()


def _replace_lock_in_child() -> None:
    """Make a new lock in a forked child, which lacks the thread that may hold the lock of the parent."""
    global _installation
    _installation = threading.RLock()


os.register_at_fork(after_in_child=_replace_lock_in_child)


class WaitingNoise(NoiseHook):
    """A forward pre-hook that observes the layers before the first call of a network and gives them their noise."""

    def __init__(self, root: nn.Module, noise: NoiseByKey, layers: Layers) -> None:
        super().__init__(NoiseSwitch(root))
        self.root, self.noise, self.layers = root, noise, layers

    @property
    def is_relative(self) -> bool:
        """Whether the noise of a layer depends on its signals."""
        return any(isinstance(noise, RelativeSigma) for noise in self.noise.values())

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Observe the layers in a pass with the arguments of the first call, and install their noise.

        Raises
        ------
        RuntimeError
            torch.compile traces the call as one graph, or the network is a replica.
        ValueError
            The call is within a torch.func transform, or `check_no_later_noise` refuses the network.
        LayerSelectionError
            As `give_noise`.
        """
        if torch.compiler.is_compiling():
            _refuse_in_graph(f"model: got a first call in torch.compile or torch.export{_UNOBSERVED}")
        if module is not self.root:
            raise RuntimeError(f"model: got a first call of a replica{_UNOBSERVED}")
        # Otherwise torch.compile would compile the observing pass, which takes seconds and is no single graph.
        disable: Any = torch.compiler.disable
        disable(self._observe_first_call)(module, args, kwargs)

    def _observe_first_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if in_function_transform():
            raise ValueError(f"model: got a first call within a torch.func transform{_UNOBSERVED}")
        with _installation:
            if self in self.root._forward_pre_hooks.values():  # otherwise another thread has given the noise
                self.check_no_later_noise()
                self.give_noise(observe(self.root, args, kwargs, relative=self.is_relative))
        # In this call torch itself calls only the pre-hooks that the network had at its start.
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, PassStart | EnterFunctions):
                hook(module, args)
            elif isinstance(hook, FindDroppedTokens):
                hook(module, args, kwargs)

    def check_no_later_noise(self) -> None:
        """Raise a ValueError if a part got noise after this noise, or `check_shares_no_noise` refuses the network."""
        check_shares_no_noise(self.root)
        for name, part in self.root.named_modules():
            hooks = (*part._forward_hooks.values(), *part._forward_pre_hooks.values())
            if any(isinstance(hook, NoiseHook) and hook is not self for hook in hooks):
                raise ValueError(
                    f"model: got noise of {name!r} after the noise of the whole network, which waits for the first "
                    "call and would replace the noise of the part, wanted the noise of the whole first; pass inputs to "
                    "the noisify of the whole, then noisify the part"
                )

    def give_noise(self, calls: Sequence[LayerCall]) -> None:
        """Replace all hooks of layerbits in the network by those that add this noise to the observed layers.

        Raises
        ------
        LayerSelectionError, TypeError
            As `choose_layers` and `noise_of_layers`; or a layer acts in place on an argument of the network, or in some
            of its calls only.
        ValueError
            As `noise_of_layers`; or the backward pass of a checkpointed pass is still to come, or this call is in a
            `noise_off` block of a part of the network.
        """
        layer_calls = choose_layers(calls, self.layers, named=self.noise, network=self.root)
        noise = noise_of_layers(self.noise, layer_calls)
        in_place = {call.called for call in layer_calls if _acts_in_place(call, calls)}
        check_no_pass_waits(self.root)
        join_open_blocks(self.root, self.switch)
        delete_noise_hooks(self.root)
        guard_hooks()
        compile_again()
        start = PassStart(self.switch, calls_itself=any(call.network_calls_itself for call in calls))
        start.handle = self.root.register_forward_pre_hook(start)
        end = PassEnd(self.switch)
        end.handle = self.root.register_forward_hook(end, always_call=True)
        functions: dict[nn.Module, dict[str, AddNoise]] = {}
        for called in dict.fromkeys(call.called for call in layer_calls):
            numbered_calls = [(position, call) for position, call in enumerate(calls) if call.called == called]
            hook = AddNoise(
                self.switch,
                called,
                tuple(noise.get(call.name) for _, call in numbered_calls),
                tuple(ObservedCall(position, call.shape) for position, call in numbered_calls),
            )
            module, function = numbered_calls[0][1].module, numbered_calls[0][1].function
            if function:
                functions.setdefault(module, {})[function] = hook
            else:
                hook.handle = module.register_forward_hook(hook)
                if called in in_place:
                    add_in_place_hooks(module, self.switch)
        observed = {
            module: _calls_of_functions(module, self.root, calls, hooks_of_module)
            for module, hooks_of_module in functions.items()
        }
        hooks: dict[nn.Module, Mapping[str, OutputHook]] = dict(functions)
        if self.layers is None:
            for module, unobserved in unobserved_functions(self.root, calls, list(functions)).items():
                hooks[module] = {**unobserved, **functions.get(module, {})}
        add_function_hooks(self.root, self.switch, hooks, observed)


def _refuse_in_graph(message: str) -> NoReturn:
    """Raise an error that torch.compile raises unchanged under fullgraph=True; otherwise the call runs uncompiled."""
    from torch._dynamo.exc import Unsupported

    error = Unsupported(message)
    error.skip_frame = True
    raise error


# With this attribute torch.compile calls the function when it traces a pass.
_refuse_in_graph._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _calls_of_functions(
    module: nn.Module, root: nn.Module, calls: Sequence[LayerCall], layers: Collection[str]
) -> dict[str, tuple[int, int]]:
    """Return the least and the largest number of calls of the functions in a call of a module, by spelling."""
    counts, running = [], Counter[str]()
    for call in calls:  # in the order in which they return
        if call.module is not module:
            continue
        if not call.function:
            counts.append(running)
            running = Counter()
        elif call.function in layers:
            running[call.spelling] += 1
    if module is root or running:
        counts.append(running)
    # & and | of Counters are the minimum and the maximum.
    least, most = functools.reduce(operator.and_, counts), functools.reduce(operator.or_, counts)
    return {spelling: (least[spelling], most[spelling]) for spelling in most}


def _acts_in_place(layer: LayerCall, calls: Sequence[LayerCall]) -> bool:
    """Return whether the module of a layer acts in place.

    Raises
    ------
    LayerSelectionError
        The module acts in place in some of its calls only, or writes into an argument of the network.
    """
    if layer.writes_inputs:
        raise LayerSelectionError(
            f"layers: got {layer.name!r}, which acts in place on an argument of the network, wanted a layer that does "
            f"not write noise into the caller's data; make the {'function' if layer.function else 'module'} return a "
            "new tensor (inplace=False)"
        )
    in_place = {call.acts_in_place for call in calls if call.called == layer.called}
    if len(in_place) > 1:
        raise LayerSelectionError(
            f"layers: got {layer.called!r}, which acts in place in some of its calls only, wanted all or none; make "
            "the module return a new tensor"
        )
    return in_place.pop()


def observe_waiting(root: nn.Module, batches: Iterable[Arguments]) -> None:
    """Install noise that waits for the first call of a network, after a pass of the first batch.

    A `RelativeSigma` is relative to the signals of all batches.

    Raises
    ------
    ValueError
        A network inside `root` waits for its own first call, whose arguments are not known, or got noise after `root`.
    LayerSelectionError, TypeError
        As `give_noise`.
    """
    with _installation:
        for waiting in waiting_noise(root):
            if waiting.root is not root:
                raise ValueError(
                    "model: got a network that contains one whose layers have not been observed, wanted observed "
                    "layers; run that inner network once, or pass inputs= to its noisify"
                )
            waiting.check_no_later_noise()
            waiting.give_noise(observe_batches(root, batches, relative=waiting.is_relative))


def waiting_noise(model: nn.Module) -> list[WaitingNoise]:
    """Return the hooks of noise that waits for the first call of a network, or of modules inside it."""
    return [hook for hook in noise_hooks(model) if isinstance(hook, WaitingNoise)]
