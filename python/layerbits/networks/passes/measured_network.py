"""A network as a measurement runs it: a shadow in which a channel takes the place of the noise of each layer."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layerbits._base import BEFORE_ROUNDING, MEASUREMENT_NOISE, OTHER_OUTPUT, LayerSelectionError
from layerbits.networks.execution.arguments import MAX_MEMORY, naming_inputs, rows_per_pass
from layerbits.networks.execution.generators import GeneratorUse, generators_restored
from layerbits.networks.execution.module_state import ModuleState
from layerbits.networks.execution.output_tensor import all_tensors, measured_signal, replace_tensor, with_moved_others
from layerbits.networks.execution.weights import WeightSums
from layerbits.networks.inputs.pass_inputs import PassInputs
from layerbits.networks.noise.dropout import Noise
from layerbits.networks.noise.hooks import noise_hooks
from layerbits.networks.observation.dependence_graph import DependenceGraph
from layerbits.networks.observation.layer_calls import LayerCall, observe_inputs
from layerbits.networks.observation.layer_selection import Layers, choose_layers
from layerbits.networks.passes.dense_encoders import PaddingTokens
from layerbits.networks.passes.end_of_pass import EndOfPass
from layerbits.networks.passes.observed_dependence import observe_dependence
from layerbits.networks.passes.random_calls import RandomCallRecord

# Maps the index of a layer and its signal to the value with which the network continues.
Channel = Callable[[int, Tensor], Tensor]

# Rows of the pass that shows which layers a network has.
OBSERVED_ROWS = 2


class MeasuredNetwork:
    """A shadow of a network whose layers call a channel, made by `noisy_network` or `network_without_noise`.

    Attributes
    ----------
    calls : list of LayerCall
        The layers, in the order of the data.
    noise : dict of str to GaussianNoise or DropoutNoise
        Noise of each layer by its name; empty if `network_without_noise` got no sigma.
    adds_noise, is_off : bool
        Whether the network itself adds the noise, so that later layers lie behind it; whether that noise is off.
    other_outputs : dict of str to bool
        For each layer that returns several tensors, of which the first has the noise: whether the network uses another.
    changed_behind_noise, switched_off : list of str
        The layers whose noisy value a later forward hook of the user changes; those whose noise forward turns off.
    switches : set of NoiseSwitch
        Switches of the hooks of the shadow.
    row_axes : dict of str to int
        For each layer, the axis of its signal that belongs to the rows of a pass; 0 if it is not known.
    tokens : dict of str to int
        Number of rows for each input of a layer whose signals (n k, ...) the channel gets as (n, k, ...).
    has_routed_noise, adds_routed_noise : bool
        Whether noisy calls that are no layers, as of experts, have noise as random numbers of the network itself;
        whether this noise is on.
    max_memory, row_bytes : int
        Budget of the measurement, and what a row takes in a pass (0 if that is not known), in bytes.
    units : dict of str to int
        Number of units d of each layer whose rows are known.
    uses_random_numbers : bool
        Whether the network itself used one of torch's generators in the probing passes.
    random_calls : RandomCallRecord or None
        The random calls of a pass of three rows, with the positions of the rows; None if they are not known.
    compared_passes : list of tuple of frozenset of str and int
        The recorded layers and the number of rows of each pass that was compared with passes of few rows.
    n_rows_run, n_rows_compared : int
        Rows of the passes, and of those that ran again.
    module, original : torch.nn.Module
        The shadow, and the network itself.
    weights : WeightSums
        The parameters of the shadow before the first pass. If the shadow shares them, they may change meanwhile.
    padding_tokens : PaddingTokens
        The tokens that nested tensors of an encoder would not have: their signals are 0.
    """

    def __init__(self, copied: nn.Module, inputs: PassInputs, *, original: nn.Module, adds_noise: bool) -> None:
        self.adds_noise = adds_noise
        self.calls: list[LayerCall] = []
        self.noise: dict[str, Noise] = {}
        self.other_outputs: dict[str, bool] = {}
        self.changed_behind_noise, self.switched_off = list[str](), list[str]()
        self.switches = {hook.switch for hook in noise_hooks(copied)}
        self.row_axes, self.tokens, self.units = dict[str, int](), dict[str, int](), dict[str, int]()
        self.uses_random_numbers = self.has_routed_noise = self.adds_routed_noise = self.is_off = False
        self._before_routed = frozenset[str]()
        self.max_memory, self.row_bytes, self.n_rows_run, self.n_rows_compared = MAX_MEMORY, 0, 0, 0
        self.random_calls: RandomCallRecord | None = None
        self.compared_passes: list[tuple[frozenset[str], int]] = []
        self._state: ModuleState | None = None  # before the first pass
        self.module, self.original, self.weights = copied, original, WeightSums(copied)
        self.padding_tokens, self._inputs = PaddingTokens(), inputs
        self._channel: Channel | None = None
        self._moved = ""  # the layer whose other tensors are moved in the running pass
        self._counts: dict[str, int] = {}

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the data."""
        return tuple(call.name for call in self.calls)

    def remedy_for_rows(self, layer: str) -> str:
        """Return the remedy for a layer whose rows are not those of the inputs, such as that of an expert.

        A measurement repeats the noise of each row, so such a layer of a noisy network must have no noise, or stand
        behind the layers that are measured.
        """
        if not self.adds_noise:
            return "choose other layers"
        earlier = list(self.layer_names[: self.layer_names.index(layer)])
        return (f"pass layers={earlier}, which are before it, or " if earlier else "") + (
            "noisify the network with `layers` that leave it out, or call layerbits.remove_noise and measure the "
            "network with sigma= and other `layers`"
        )

    def choose(self, layers: Layers) -> tuple[str, ...]:
        """Return the layers that match `layers`, by default all, in the order of the data; raise as `choose_layers`."""
        return self.layer_names if layers is None else tuple(call.name for call in choose_layers(self.calls, layers))

    def flags(self, layer: str) -> tuple[str, ...]:
        """Return the flags of a layer in an information table."""
        rounded = any(call.name == layer and call.rounding_step > 0 for call in self.calls)
        other = self.other_outputs.get(layer, False)
        return (MEASUREMENT_NOISE,) * (not self.adds_noise) + (BEFORE_ROUNDING,) * rounded + (OTHER_OUTPUT,) * other

    def observed_shapes(self, rows: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of the signal of each call in the network itself, in an observed pass of the first rows."""
        arguments = self._inputs.arguments([tensor[:rows].clone() for tensor in self._inputs.tensors])
        return {call.name: call.shape for call in observe_inputs(self.original, *arguments)}

    @functools.cached_property
    def dependence(self) -> DependenceGraph:
        """The sources that act on the signal of each layer, observed in two passes of a few rows."""
        return observe_dependence(self, self._inputs.tensors)

    @functools.cached_property
    def behind_no_noise(self) -> frozenset[str]:
        """The layers whose signals are functions of the input.

        If the network may branch, its graph is incomplete. The layers are then the first layer of a noisy network, or
        all layers of a network without noise, and `Recording.differing` may refute that their signals are functions of
        the input.
        """
        graph = self.dependence
        if not graph.unknown:
            return frozenset(layer for layer in self.layer_names if graph.is_function_of_input(layer))
        if not graph.is_deterministic:
            return frozenset()
        first = frozenset(self.layer_names[:1] if self.adds_noise else self.layer_names)
        return first & self._before_routed if self.has_routed_noise else first

    def route_noise(self, layers: Collection[str]) -> None:
        """Make the noise of layers, and of calls that were not observed, random numbers of the network itself."""
        before = frozenset(self.layer_names[: min(map(self.layer_names.index, layers))])
        self._before_routed = before & self._before_routed if self.has_routed_noise else before
        self.calls = [call for call in self.calls if call.name not in layers]
        self.noise = {layer: noise for layer, noise in self.noise.items() if layer not in layers}
        self.has_routed_noise = True
        for derived in ("dependence", "behind_no_noise"):
            vars(self).pop(derived, None)

    @contextlib.contextmanager
    def taking_unobserved_calls(self) -> Iterator[None]:
        """Take noisy calls that were not observed, without their noise, within a ``with`` block."""
        before, self.has_routed_noise = self.has_routed_noise, True
        try:
            yield
        finally:
            self.has_routed_noise = before

    @contextlib.contextmanager
    def adding_routed_noise(self, is_on: bool = True) -> Iterator[None]:
        """Add noise from torch's generators to calls that are not among the layers within a ``with`` block."""
        self.adds_routed_noise = is_on
        try:
            yield
        finally:
            self.adds_routed_noise = False

    def unit_shape(self, layer: str) -> tuple[int, ...]:
        """Return the shape of the signal of one input in a layer; empty if its shapes differ by input."""
        shape = next(call.shape for call in self.calls if call.name == layer)
        if layer in self.tokens:
            return (self.tokens[layer], *shape[1:])
        axis = self.row_axes.get(layer, 0)
        return shape[:axis] + shape[axis + 1 :]

    def by_input(self, layer: str, signal: Tensor) -> Tensor:
        """Return a signal (n k, ...) of a layer with k `tokens` as (n, k, ...); other signals as they are."""
        tokens = self.tokens.get(layer)
        if tokens is None or len(signal) % tokens:
            return signal
        return signal.reshape(len(signal) // tokens, tokens, *signal.shape[1:])

    def run(
        self, channel: Channel | None, inputs: Sequence[Tensor], *, restores: bool = True, gradients: bool = False
    ) -> object:
        """Run a pass in which the layers call `channel`, without gradients by default, and return its output.

        If the channel ends the pass by an `EndOfPass`, return None. The pass begins with the attributes and buffers
        that the shadow had before the first pass, unless `restores` is False.

        Raises
        ------
        LayerSelectionError
            A layer ran more often than in the observed pass, or returned no floating-point tensor.
        ValueError, MemoryError
            The network cannot take the inputs; the system has no memory for the pass.
        """
        self._channel = channel
        self._counts.clear()
        if self._state is None:
            self._state = ModuleState(self.module)
        elif restores:
            self.restore()
        try:
            args, kwargs = self._inputs.arguments(inputs)
            with torch.set_grad_enabled(gradients), naming_inputs(self.module, inputs):
                return self.module(*args, **kwargs)
        except EndOfPass:
            self._state.restore()
            return None
        finally:
            self._channel = None  # it holds the recorded signals
            self.padding_tokens.end()
            for switch in self.switches:
                switch.counts.drop_interrupted()

    def restore(self) -> None:
        """Give the shadow the attributes and buffers that it had before the first pass."""
        if self._state is not None:
            self._state.restore()

    def rows_per_pass(self, inputs: Sequence[Tensor], chunk: int | None = None) -> int:
        """Return the number of rows of a pass, which depends on the network, the inputs and the budget alone."""
        return rows_per_pass(inputs, chunk, row_bytes=self.row_bytes, max_memory=self.max_memory)

    @property
    def may_branch(self) -> bool:
        """Whether the network may run other operations for other inputs, as far as its dependence was observed."""
        return "dependence" in vars(self) and bool(self.dependence.unknown)

    def own_randomness(self, seed: int) -> contextlib.AbstractContextManager[GeneratorUse | None]:
        """Seed the random numbers of the network itself in a ``with`` block; then restore the generators."""
        # Watching every operator for its use of a generator takes time, so only networks that may use one are watched.
        if self.uses_random_numbers or self.may_branch or self.has_routed_noise:
            return generators_restored(self.module, seed)
        return contextlib.nullcontext()

    def find_other_output(self, layer: str, inputs: Sequence[Tensor]) -> None:
        """Find out whether the network uses the other tensors of a layer, from a pass in which 1 is added to them."""
        unmoved = self._values_of_pass("", inputs)
        moved = self._values_of_pass(layer, inputs)
        self.other_outputs[layer] = len(unmoved) != len(moved) or not all(map(torch.equal, unmoved, moved))

    def _values_of_pass(self, moved: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return signals and output of a pass without noise, in which 1 is added to the other tensors of a layer."""
        values: list[Tensor] = []

        def keep(_: int, signal: Tensor) -> Tensor:
            values.append(signal.clone())
            return signal

        self._moved = moved
        with generators_restored(self.module):
            output = self.run(keep, [tensor.clone() for tensor in inputs])
        self._moved = ""
        return [*values, *all_tensors(output)]

    def next_number(self, called: str) -> int:
        """Count a call of a module or function in the running pass, and return its number."""
        self._counts[called] = self._counts.get(called, 0) + 1
        return self._counts[called]

    def pass_on(self, name: str, output: Any) -> Any:
        """Return the output of a layer after the channel."""
        if self._channel is None:
            return output
        index = next((index for index, call in enumerate(self.calls) if call.name == name), None)
        if index is None:
            raise LayerSelectionError(
                f"layers: got {name!r}, which did not run in the pass that showed the layers; wanted a network whose "
                "layers run equally often for all inputs"
            )
        signal = measured_signal(name, output)
        if name == self._moved:
            output = with_moved_others(output)
        axis = self.row_axes.get(name, 0)
        values = self.by_input(name, self.padding_tokens.cleared(signal))
        rows_first = values.movedim(axis, 0) if axis else values
        value = self._channel(index, rows_first)
        if value is rows_first:
            return output
        return replace_tensor(output, signal, (value.movedim(0, axis) if axis else value).reshape(signal.shape))
