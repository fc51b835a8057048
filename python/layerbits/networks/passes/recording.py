"""`record`: noisy passes of a measurement that record the signals of layers.

Noise comes from counter-based streams: on one kind of device, a value depends on the seed, the layer, the draw, the
input and the unit alone, so a range of draws can be recorded alone. Random numbers of the network itself and the noise
of experts come from torch's generators, seeded and restored. The passes run in evaluation mode: batch statistics must
not depend on a pass. A pass ends after the last recorded layer, unless these are all noisy layers.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from layerbits._base import LayerSelectionError
from layerbits.kernels import NormalStream, RandomStream, derived_seed, empty_for_draws, fill_rows, threads
from layerbits.networks.execution.arguments import is_memory_error
from layerbits.networks.execution.generators import GeneratorUse
from layerbits.networks.noise.dropout import DropoutNoise, Noise
from layerbits.networks.observation.signal_values import rounding_step, unit_in_last_place
from layerbits.networks.passes.draw_differences import DrawDifferences
from layerbits.networks.passes.large_passes import large_pass, recording_of
from layerbits.networks.passes.measured_network import EndOfPass, MeasuredNetwork
from layerbits.networks.passes.readouts import LayerPart

# Least number of draws in a pass that has as many draws and rows: each thread fills the noise of whole draws.
_DRAWS_PER_PASS = 32

# Maps the signals (draws, rows, d) of a layer in a pass to the values that are recorded, (draws, rows, k).
View = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Passes:
    """Noisy passes of every input, and the layers or readouts that they record.

    Attributes
    ----------
    layers : tuple of str
        Names of the layers, or of the readouts in `parts`, to record, in the order of the data.
    draws : range
        Numbers of the draws; each draw has its own noise.
    seed : int or None
        Seed of the noise; None for passes without noise.
    rows : int, optional
        Largest number of rows of a pass; rows = inputs x draws in the pass.
    emitted : mapping of str to Tensor of shape (n, d)
        Values that layers emit in every draw, in place of signal plus noise; ignored in passes without noise.
    views : mapping of str to View
        The view of the signal, or of the values of the readout, that is recorded for a name.
    parts : mapping of str to LayerPart
        The layer and the readout of a name; a name without an entry is that of a layer.
    columns : mapping of str to int
        Number of draws in the tensor of a name, in which draw k has index k. Draws from this number on are not
        recorded but compared with draw 0. The tensor of a name without an entry has the draws of `draws` alone.
    keeps_half : bool
        Whether signals in half precision without a readout or a view stay so; by default they are recorded in float32.
    checks_float : bool
        Whether noise that float32 or float64 does not resolve is refused, as in half precision.
    """

    layers: tuple[str, ...]
    draws: range
    seed: int | None
    rows: int | None = None
    emitted: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    views: Mapping[str, View] = dataclasses.field(default_factory=dict)
    columns: Mapping[str, int] = dataclasses.field(default_factory=dict)
    keeps_half: bool = False
    parts: Mapping[str, LayerPart] = dataclasses.field(default_factory=dict)
    checks_float: bool = True

    def layer(self, name: str) -> str:
        """Return the layer of a name in `layers`."""
        return self.parts[name].layer if name in self.parts else name

    def noise(self, network: MeasuredNetwork, name: str) -> Noise:
        """Return the noise of a name in `layers`."""
        return self.parts[name].noise(network) if name in self.parts else network.noise[name]


@dataclasses.dataclass(frozen=True)
class Recording:
    """Signals by name, in the order of `Passes.layers`, and the compared names whose draws differ or may differ."""

    signals: dict[str, Tensor]
    differing: frozenset[str]


def record(network: MeasuredNetwork, inputs: Sequence[Tensor], passes: Passes) -> dict[str, Tensor]:
    """Run passes and return the signals or values by name; `record_draws` documents shapes, parameters and errors."""
    return record_draws(network, inputs, passes).signals


def record_draws(
    network: MeasuredNetwork, inputs: Sequence[Tensor], passes: Passes, signals: Mapping[str, Tensor] | None = None
) -> Recording:
    """Run passes and record the signals (n, draws, d) by name, or the values (n, draws, k) of readouts and views.

    Parameters
    ----------
    network : MeasuredNetwork
        The network.
    inputs : sequence of Tensor of shape (n, ...)
        The tensors among the arguments of the network, `PassInputs.tensors`.
    passes : Passes
        The draws, the layers to record, and the noise.
    signals : mapping of str to Tensor of shape (n, columns, d) or (n, columns, k), optional
        Tensors of earlier passes by name, into which the draws of names with `columns` are recorded.

    Raises
    ------
    LayerSelectionError
        A layer did not run, ran too often, or returned another number of rows than it got.
    ValueError
        The network cannot take the inputs; a signal is NaN or infinite, or so large that its rounding distorts
        the noise; emitted values have another shape than the signals of their layer.
    MemoryError
        The system has no memory for a pass, or for the signals.
    """
    n_inputs, n_draws = len(inputs[0]), len(passes.draws)
    rows = network.rows_per_pass(inputs, passes.rows)
    draws_per_pass = min(n_draws, rows, max(_DRAWS_PER_PASS, rows // n_inputs))
    recorder = _Recorder(network, passes, n_inputs, signals or {})
    with recorder.pool, network.drawing_routed_noise(passes.seed is not None):
        for start in range(0, n_draws, draws_per_pass):
            recorder.begin_draws(passes.draws[start : start + draws_per_pass])
            inputs_per_pass = rows // len(recorder.draws)  # the last block may have fewer draws
            for batch in zip(*(torch.split(tensor, inputs_per_pass) for tensor in inputs), strict=True):
                recorder.begin_pass(len(batch[0]))
                key = (recorder.draws.start, recorder.start)
                seed = derived_seed(passes.seed or 0, RandomStream.NETWORK_RANDOMNESS, *key)
                large = large_pass(network, recorder, recorder.layers, len(recorder.draws) * len(batch[0]))
                with network.own_randomness(seed) as recorder.generators, recording_of(large):
                    network.run(large or recorder, [torch.cat([tensor] * len(recorder.draws)) for tensor in batch])
                recorder.end_pass()
                if large is not None:
                    large.compare(batch)
    recorder.check_signals()  # once, after all passes: reading a result waits for the device
    differing = recorder.differences.beyond_rounding(functools.partial(passes.noise, network)) | recorder.random
    return Recording({layer: recorder.signals[layer] for layer in passes.layers}, differing)


class _Recorder:
    """A channel that records signals, and adds noise from the streams of the passes."""

    def __init__(self, network: MeasuredNetwork, passes: Passes, n_inputs: int, signals: Mapping[str, Tensor]) -> None:
        self.network, self.passes, self.n_inputs = network, passes, n_inputs
        self.layers = list(map(passes.layer, passes.layers))
        self.threads = threads()
        self.pool = ThreadPoolExecutor(self.threads)
        self.signals = dict(signals)
        self.differences = DrawDifferences()
        self.random: set[str] = set()
        self.generators: GeneratorUse | None = None
        # Least and largest value by layer, updated in place: small tensors that stay from each pass would keep the
        # system from using the memory of the pass again.
        self.extremes: dict[str, Tensor] = {}
        self.begin_draws(range(0))
        self.begin_pass(0)

    def begin_draws(self, draws: range) -> None:
        """Restart at input 0 for the next block of draws."""
        self.draws, self.start, self.rows = draws, 0, 0
        self.streams: dict[int, list[list[NormalStream]]] = {}

    def begin_pass(self, rows: int) -> None:
        """Begin a pass of the next `rows` inputs in each draw; its rows are ordered by draw, then by input."""
        self.start, self.rows = self.start + self.rows, rows
        self.layers_run: set[str] = set()

    def end_pass(self) -> None:
        """Raise a LayerSelectionError if a layer to record did not run."""
        missing = [layer for layer in self.layers if layer not in self.layers_run]
        if missing:
            got = ", ".join(missing)
            raise LayerSelectionError(f"layers: got {got}, which did not run in the pass, wanted layers that always do")

    def check_signals(self) -> None:
        """Raise a ValueError for a signal that is NaN or infinite, or too large for its dtype to resolve its noise."""
        for layer, values in self.extremes.items():
            if not values.isfinite().all():
                raise ValueError(
                    f"inputs: got NaN or infinity in layer {layer!r}, wanted finite signals; check the network"
                )
            if layer in self.network.noise:
                unit = unit_in_last_place if self.passes.checks_float else rounding_step
                self.network.noise[layer].check_resolution(layer, unit(values), values.dtype)

    def __call__(self, index: int, signal: Tensor) -> Tensor:
        layer, rows = self.network.layer_names[index], len(self.draws) * self.rows
        self.layers_run.add(layer)
        if signal.shape[:1] != (rows,):
            raise LayerSelectionError(
                f"layers: got {layer!r}, which returns shape {tuple(signal.shape)}, wanted {rows} rows; "
                f"{self.network.remedy_for_rows}"
            )
        is_random = self.network.may_branch and self._is_behind_randomness()
        if layer in self.layers:
            self._record_extremes(layer, signal.detach())
        for name, layer_of_name in zip(self.passes.layers, self.layers, strict=True):
            if layer_of_name == layer:
                if is_random and self.passes.columns.get(name) == 1:
                    self.random.add(name)
                self._record(name, signal.detach().reshape(len(self.draws), self.rows, math.prod(signal.shape[1:])))
        if self.layers_run.issuperset(self.layers):
            # If all noisy layers are recorded, the pass goes on, so that a layer that runs more often than in the
            # observed pass is refused.
            if self.network.adds_noise and len(set(self.layers)) == len(self.network.layer_names):
                return signal
            raise EndOfPass
        if self.passes.seed is None or not self.network.adds_noise:
            return signal
        if layer in self.passes.emitted:
            return self._emitted(layer, signal)
        return self.network.noise[layer].add(signal, *self._normals(index, signal, self.passes.seed))

    def _is_behind_randomness(self) -> bool:
        """Return whether noise or random numbers of the network came before the layer that runs, in this pass."""
        has_generated = self.generators is not None and self.generators.has_generated()
        return has_generated or (self.network.adds_noise and len(self.layers_run) > 1)

    def _allocate(self, layer: str, signal: Tensor, n_draws: int) -> Tensor:
        shape = (self.n_inputs, n_draws, signal.shape[2])
        dtype = signal.dtype if self.passes.keeps_half else torch.promote_types(signal.dtype, torch.float32)
        try:
            return signal.new_empty(shape, dtype=dtype)
        except RuntimeError as error:
            if not is_memory_error(error):
                raise
            n_bytes = math.prod(shape) * dtype.itemsize
            raise MemoryError(
                f"draws: got {n_draws}, for which the signals {shape} of {layer!r} take {n_bytes} bytes, more than the "
                "system has; lower `draws` or `max_memory`, or take fewer inputs (`limit`)"
            ) from error

    def _record_extremes(self, layer: str, signal: Tensor) -> None:
        # aminmax reads the signal once; isfinite would read it three times.
        minimum, maximum = signal.aminmax()
        if layer not in self.extremes:
            self.extremes[layer] = torch.stack([minimum, maximum])
        torch.minimum(self.extremes[layer][0], minimum, out=self.extremes[layer][0])
        torch.maximum(self.extremes[layer][1], maximum, out=self.extremes[layer][1])

    def _record(self, name: str, signal: Tensor) -> None:
        readout = self.passes.parts[name].view if name in self.passes.parts else None
        if readout is not None or name in self.passes.views:
            signal = signal.to(torch.promote_types(signal.dtype, torch.float32))
        if readout is not None:
            signal = readout(signal, slice(self.start, self.start + self.rows))
        if name in self.passes.views:
            signal = self.passes.views[name](signal)
        n_draws = self.passes.columns.get(name, len(self.passes.draws))
        if name not in self.signals:
            self.signals[name] = self._allocate(name, signal, n_draws)
        column = self.draws.start - (0 if name in self.passes.columns else self.passes.draws.start)
        n_recorded = min(len(self.draws), max(0, n_draws - column))
        rows = self.signals[name][self.start : self.start + self.rows]
        rows[:, column : column + n_recorded].copy_(signal[:n_recorded].transpose(0, 1))
        if n_recorded < len(self.draws):
            self.differences.add(name, signal[n_recorded:], rows[:, 0])

    def _emitted(self, layer: str, signal: Tensor) -> Tensor:
        values, dim = self.passes.emitted[layer], math.prod(signal.shape[1:])
        if values.shape[1:] != (dim,):
            raise ValueError(f"given: got shape {tuple(values.shape)} for {layer!r}, wanted ({self.n_inputs}, {dim})")
        batch = values[self.start : self.start + self.rows].to(signal)
        return batch.repeat(len(self.draws), 1).view_as(signal)

    def _normals(self, index: int, signal: Tensor, seed: int) -> list[Tensor]:
        """Return the standard normal values for the noise of a layer: a tensor for each argument of `Noise.add`."""
        if index not in self.streams:
            self.streams[index] = self._streams_of(index, seed)
        return [self._normal(streams, signal) for streams in self.streams[index]]

    def _streams_of(self, index: int, seed: int) -> list[list[NormalStream]]:
        """Return the streams of the draws for each tensor of normal values that the noise of a layer takes."""
        streams = [[NormalStream(seed, RandomStream.PASS_NOISE, index, draw) for draw in self.draws]]
        if isinstance(self.network.noise[self.network.layer_names[index]], DropoutNoise):
            streams.insert(0, [NormalStream(seed, RandomStream.PASS_FACTORS, index, draw) for draw in self.draws])
        return streams

    def _normal(self, streams: Sequence[NormalStream], signal: Tensor) -> Tensor:
        normal = empty_for_draws((len(self.draws), self.rows, *signal.shape[1:]), signal)
        if normal.is_cuda:
            fill_rows(streams, normal)
        else:

            def fill_share(thread: int) -> None:
                fill_rows(streams[thread :: self.threads], normal[thread :: self.threads])

            list(self.pool.map(fill_share, range(self.threads)))  # list() raises the errors of the threads
        return normal.flatten(0, 1).to(signal.device, torch.promote_types(signal.dtype, torch.float32))
