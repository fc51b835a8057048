"""`Recorder`: the channel of a pass, which records signals and adds noise from counter-based streams."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from layerbits._base import LayerSelectionError, listed
from layerbits.kernels import NormalStream, RandomStream, derived_seed, empty_for_draws, fill_rows, threads
from layerbits.networks.execution.arguments import is_memory_error
from layerbits.networks.execution.generators import GeneratorUse
from layerbits.networks.noise.dropout import DropoutNoise
from layerbits.networks.observation.signal_values import rounding_step, unit_in_last_place
from layerbits.networks.passes.draw_differences import DrawDifferences
from layerbits.networks.passes.end_of_pass import EndOfPass
from layerbits.networks.passes.large_passes import large_pass, recording_of
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.planned_passes import Pass, Passes


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Values of a pass by name, shape (draws, rows, k), and the least and largest value of each layer so far.

    `random` has the names of signals behind noise or random numbers of the network, where the network may branch.
    """

    of_pass: Pass
    values: dict[str, Tensor]
    extremes: dict[str, Tensor]
    random: frozenset[str]


class Recorder:
    """A channel that records signals, and adds noise from the streams of the passes.

    If `keeps_passes`, the values of a pass are stored by `store` alone.
    """

    def __init__(
        self,
        network: MeasuredNetwork,
        passes: Passes,
        inputs: Sequence[Tensor],
        signals: Mapping[str, Tensor],
        *,
        keeps_passes: bool,
    ) -> None:
        self.network, self.passes, self.inputs, self.keeps_passes = network, passes, inputs, keeps_passes
        self.n_inputs, self.device = len(inputs[0]), inputs[0].device
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
        self.draws, self.start, self.rows = range(0), 0, 0
        self.layers_run: set[str] = set()
        self.values: dict[str, Tensor] = {}

    def run(self, of_pass: Pass) -> Recorded:
        """Run a pass; passes of the same draws come one after the other, in the order of the inputs."""
        if of_pass.draws != self.draws:
            self.streams: dict[int, list[list[NormalStream]]] = {}
            self.generated: dict[int, int] = {}  # inputs whose noise was generated, by layer
        self.draws, self.start, self.rows = of_pass.draws, of_pass.start, of_pass.rows
        self.layers_run, self.values = set(), {}
        batch = [tensor[self.start : self.start + self.rows] for tensor in self.inputs]
        key = (self.draws.start, self.start)
        seed = derived_seed(self.passes.seed or 0, RandomStream.NETWORK_RANDOMNESS, *key)
        large = large_pass(self.network, self, self.layers, len(self.draws) * self.rows)
        with self.network.own_randomness(seed) as self.generators, recording_of(large):
            self.network.run(large or self, [torch.cat([tensor] * len(self.draws)) for tensor in batch])
        self._check_layers()
        if large is not None:
            large.compare(batch)
        return Recorded(of_pass, self.values, self.extremes, frozenset(self.random))

    def store(self, recorded: Recorded) -> None:
        """Store the values of a pass, which another process may have run."""
        for name, values in recorded.values.items():
            self._store(name, values.to(self.device), recorded.of_pass)
        for layer, extremes in recorded.extremes.items():
            self._add_extremes(layer, *extremes.to(self.device))
        self.random |= recorded.random

    def _check_layers(self) -> None:
        """Raise a LayerSelectionError if a layer to record did not run."""
        missing = [layer for layer in self.layers if layer not in self.layers_run]
        if missing:
            got = listed(missing)
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
        """Record the signal of a layer, and return the value with which the pass goes on."""
        layer, rows = self.network.layer_names[index], len(self.draws) * self.rows
        self.layers_run.add(layer)
        if signal.shape[:1] != (rows,):
            raise LayerSelectionError(
                f"layers: got {layer!r}, which returns shape {tuple(signal.shape)}, wanted {rows} rows "
                f"({self.rows} inputs x {len(self.draws)} draws); {self.network.remedy_for_rows(layer)}"
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
        self._add_extremes(layer, *signal.aminmax())

    def _add_extremes(self, layer: str, minimum: Tensor, maximum: Tensor) -> None:
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
        if self.keeps_passes:
            self.values[name] = signal.cpu().clone()
        else:
            self._store(name, signal, Pass(self.draws, self.start, self.rows))

    def _store(self, name: str, signal: Tensor, of_pass: Pass) -> None:
        n_draws = self.passes.columns.get(name, len(self.passes.draws))
        if name not in self.signals:
            self.signals[name] = self._allocate(name, signal, n_draws)
        column = of_pass.draws.start - (0 if name in self.passes.columns else self.passes.draws.start)
        n_recorded = min(len(of_pass.draws), max(0, n_draws - column))
        rows = self.signals[name][of_pass.start : of_pass.start + of_pass.rows]
        rows[:, column : column + n_recorded].copy_(signal[:n_recorded].transpose(0, 1))
        if n_recorded < len(of_pass.draws):
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
            self.streams[index], self.generated[index] = self._streams_of(index, seed), 0
        while (missing := self.start - self.generated[index]) > 0:  # other processes ran the passes of these inputs
            rows = min(missing, self.rows)
            for streams in self.streams[index]:
                self._normal(streams, signal, rows)
            self.generated[index] += rows
        self.generated[index] += self.rows
        return [self._normal(streams, signal, self.rows) for streams in self.streams[index]]

    def _streams_of(self, index: int, seed: int) -> list[list[NormalStream]]:
        """Return the streams of the draws for each tensor of normal values that the noise of a layer takes."""
        streams = [[NormalStream(seed, RandomStream.PASS_NOISE, index, draw) for draw in self.draws]]
        if isinstance(self.network.noise[self.network.layer_names[index]], DropoutNoise):
            streams.insert(0, [NormalStream(seed, RandomStream.PASS_FACTORS, index, draw) for draw in self.draws])
        return streams

    def _normal(self, streams: Sequence[NormalStream], signal: Tensor, rows: int) -> Tensor:
        normal = empty_for_draws((len(self.draws), rows, *signal.shape[1:]), signal)
        if normal.is_cuda or self.threads == 1:
            fill_rows(streams, normal)
        else:

            def fill_share(thread: int) -> None:
                fill_rows(streams[thread :: self.threads], normal[thread :: self.threads])

            list(self.pool.map(fill_share, range(self.threads)))  # list() raises the errors of the threads
        return normal.flatten(0, 1).to(signal.device, torch.promote_types(signal.dtype, torch.float32))
