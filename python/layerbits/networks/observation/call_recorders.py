"""The hooks and the function modes of an observed pass.

They record the calls of modules and activation functions, and refuse modules of the network itself in a pass of its
shadow.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import activation
from torch.overrides import TorchFunctionMode

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.arguments import first_argument
from layerbits.networks.execution.checkpointing import find_caller
from layerbits.networks.execution.output_tensor import find_tensor, why_no_signal
from layerbits.networks.execution.own_hooks import has_own_hook
from layerbits.networks.execution.sharding import source_of
from layerbits.networks.observation.activation_functions import activation_function, spelling_of_call
from layerbits.networks.observation.input_dependence import InputDependence, values_read
from layerbits.networks.observation.signal_values import root_mean_square, rounding_step

ACTIVATIONS = tuple(getattr(activation, name) for name in activation.__all__ if name != "MultiheadAttention")


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a call, with properties of its tensor at the return of the call.

    Later calls may write into the memory of the tensor.

    Attributes
    ----------
    module : torch.nn.Module
        The module of the shadow that is called, or whose forward calls the function.
    argument : object
        The first argument; None for a call of a function.
    output : object
        The output. Its first floating-point tensor is the tensor of the other attributes.
    version : int or None
        How often the memory of the tensor was written, as `memory_version` returns it.
    root_mean_square : float
        Root mean square of the tensor; NaN if it is not computed.
    rounding_step : float
        As `rounding_step` returns it for the tensor; 0 if there is none, or a nested one.
    function : str
        Name of the activation function; empty for a call of the module.
    spelling : str
        As `spelling_of_call` returns it; empty for a call of the module.
    acts_in_place : bool
        Whether the module returns its argument, and writes into it or has a true attribute `inplace`, or whether the
        function changes its argument.
    depends_on_input : bool
        False if the operations of torch in the pass show no path from the input of the network to the tensor.
    """

    module: nn.Module
    argument: object
    output: object
    version: int | None
    root_mean_square: float
    rounding_step: float
    function: str
    spelling: str
    acts_in_place: bool
    depends_on_input: bool


@dataclasses.dataclass(frozen=True)
class RecordedCalls:
    """The results of a pass so far, in the order in which calls return.

    `dependence` marks the tensors that depend on the input. If `relative`, root mean squares are computed.
    """

    dependence: InputDependence
    relative: bool
    results: list[Result] = dataclasses.field(default_factory=list)

    def add(
        self,
        module: nn.Module,
        argument: object,
        output: object,
        function: str = "",
        spelling: str = "",
        *,
        acts_in_place: bool = False,
    ) -> None:
        """Record a call that has returned."""
        tensor = find_tensor(output)
        values = None if tensor is None or tensor.is_nested or why_no_signal(output) else tensor
        with self.dependence.paused():
            result = Result(
                module,
                argument,
                output,
                version=memory_version(tensor),
                # Computed on demand, because reading a number from a device takes time.
                root_mean_square=root_mean_square(values) if values is not None and self.relative else math.nan,
                rounding_step=0.0 if values is None else rounding_step(values),
                function=function,
                spelling=spelling,
                acts_in_place=acts_in_place,
                depends_on_input=self.dependence.depends(tensor),
            )
        self.results.append(result)


class ModuleRecorder:
    """Records the calls of modules, by a pre-hook and a hook of each module.

    Attributes
    ----------
    started : list of tuple
        The running calls, outermost first: the module, its first argument, and the version of the argument's memory.
    in_other_threads : list of torch.nn.Module
        The modules that forward called in another thread than the network.
    """

    def __init__(self, recorded_calls: RecordedCalls) -> None:
        self.recorded_calls = recorded_calls
        self.started: list[tuple[nn.Module, object, int | None]] = []
        self.in_other_threads: list[nn.Module] = []
        self._thread = threading.get_ident()

    def add_hooks(self, module: nn.Module) -> None:
        """Record the calls of a module from now on."""
        module.register_forward_pre_hook(self._start, with_kwargs=True)
        module.register_forward_hook(self._end)

    def check_thread(self, names: Mapping[nn.Module, str]) -> None:
        """Raise a LayerSelectionError if a module ran in another thread than the network.

        Functions have no noise there, `noise_off` has no effect, and the sources of a signal are not known.
        """
        others = [names[module] for module in self.in_other_threads if module in names]
        if others:
            raise LayerSelectionError(
                f"model: got a network whose forward calls {others[0]!r} in another thread, wanted calls in the thread "
                "of forward; call the parts one after the other"
            )

    def _start(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if threading.get_ident() != self._thread:
            self.in_other_threads.append(module)
            return
        argument = first_argument(args, kwargs)
        self.started.append((module, argument, memory_version(argument) if isinstance(argument, Tensor) else None))

    def _end(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        if threading.get_ident() != self._thread:
            return
        # A forward method may catch the error of a module, whose call then has started but does not return.
        while self.started[-1][0] is not module:
            self.started.pop()
        _, argument, version = self.started.pop()
        # Dropout(inplace=True) writes in training alone, but returns its argument in evaluation too.
        in_place = (
            isinstance(output, Tensor)
            and output is argument
            and (memory_version(output) != version or getattr(module, "inplace", False))
        )
        self.recorded_calls.add(module, argument, output, acts_in_place=in_place)


class RefuseOriginals(TorchFunctionMode):
    """Refuses functions that a module of the network itself calls in a pass of a shadow.

    A closure, or an object that the shadow shares, may refer to such a module, which has neither the hooks nor the
    evaluation mode of the shadow.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        networks = [network for network in (network, source_of(network)) if network is not None]
        self.names = {module: name for network in networks for name, module in network.named_modules()}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.check(find_caller().module)
        return func(*args, **(kwargs or {}))

    def check(self, module: nn.Module | None) -> None:
        """Raise a LayerSelectionError if a module that calls a function is one of the network itself."""
        if module in self.names:
            name = self.names[module]
            first, _, _ = name.partition(".")
            attribute = f", such as self.{first}" if first.isidentifier() else ""
            raise LayerSelectionError(
                f"model: got {type(module).__name__} at {name!r}, which forward reaches through a closure or another "
                f"object, wanted access by attributes of the module that runs{attribute}: layerbits runs a copy of the "
                "network, and a closure runs the network itself"
            )


class FunctionRecorder(RefuseOriginals):
    """Records the calls of activation functions in the forward methods of a shadow's modules.

    A module that is none of the shadow's, such as `nn.ReLU()` in a forward method, counts as a function of the module
    that calls it, and is refused if it has noise. The recorder ignores the functions that an activation module of
    `torch.nn` calls, and notes when values leave torch.
    """

    def __init__(self, network: nn.Module, copied: nn.Module, recorded_calls: RecordedCalls) -> None:
        super().__init__(network)
        self.modules = set(copied.modules())
        self.recorded_calls = recorded_calls

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        outside: list[nn.Module] = []
        module = find_caller(functools.partial(self._is_of_network, outside)).module
        self.check(module)
        _check_outside(outside)
        self.recorded_calls.dependence.read(values_read(func, args, kwargs or {}))
        output = func(*args, **(kwargs or {}))
        function = activation_function(func)
        if function is not None and module in self.modules and not isinstance(module, ACTIVATIONS):
            spelling = spelling_of_call(function, sys._getframe(1))
            in_place = function.acts_in_place(args, kwargs or {})
            self.recorded_calls.add(module, None, output, function.name, spelling, acts_in_place=in_place)
        return output

    def _is_of_network(self, outside: list[nn.Module], module: nn.Module) -> bool:
        """Return whether a module is one of the shadow or of the network; append other modules to `outside`."""
        if module in self.modules or module in self.names:
            return True
        outside.append(module)
        return False


def _check_outside(outside: Iterable[nn.Module]) -> None:
    """Raise a LayerSelectionError if a running module outside the network cannot count as functions.

    Such a module has noise, or is an encoder that may make nested tensors, whose padding tokens end as 0. The mode of a
    function that is a layer keeps torch from making these tensors. `outside` has the innermost module first.
    """
    noisy = [type(module).__name__ for module in outside if has_own_hook(module)]
    if noisy:
        raise LayerSelectionError(
            f"model: got a network whose forward calls a noisy {noisy[-1]} that is no submodule, wanted one without "
            "noise, because its functions are layers of the module that calls it and would get noise twice; call "
            f"layerbits.remove_noise on that {noisy[-1]}"
        )
    for module in outside:
        if isinstance(module, nn.TransformerEncoder) and getattr(module, "use_nested_tensor", False):
            raise LayerSelectionError(
                f"model: got a {type(module).__name__} that is no submodule of the network and may make nested tensors "
                "from a padding mask, wanted a submodule, whose padding tokens layerbits can set to 0; assign the "
                "encoder to an attribute of the module that calls the encoder"
            )


def memory_version(tensor: Tensor | None) -> int | None:
    """Return how often the memory of a tensor was written; None without a tensor, or if torch does not count."""
    return None if tensor is None or tensor.is_inference() else tensor._version
