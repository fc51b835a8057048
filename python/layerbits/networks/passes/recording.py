"""`record`: noisy passes of a measurement that record the signals of layers.

Noise comes from counter-based streams: a value depends on the seed, the layer, the draw and the row alone, so a range
of draws can be recorded by itself. Torch's generators are not used. The passes run in evaluation mode: batch statistics
must neither depend on the rows of a pass nor be learnt from a measurement.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor, nn

from layerbits._base import LayerSelectionError
from layerbits.kernels import NormalStream, RandomStream, empty_for_draws, fill_rows, threads
from layerbits.networks.execution.arguments import rows_per_pass
from layerbits.networks.noise.dropout import DropoutNoise
from layerbits.networks.observation.signal_values import rounding_step
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.readouts import LayerPart

# Smallest number of draws in a pass (fewer if fewer draws or rows are requested): a thread fills the noise of whole
# draws.
_DRAWS_PER_PASS = 32

# Maps the signals (draws, rows, d) of a layer in a pass to the values that are recorded, (draws, rows, k).
View = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Passes:
    """Noisy passes of every input, and the layers or readouts that they record.

    Attributes
    ----------
    layers : tuple of str
        The layers to record, and the names in `parts` of readouts, in the order of the data.
    draws : range
        Numbers of the draws; each draw has its own noise.
    seed : int or None
        Seed of the noise; None for passes without noise.
    rows : int, optional
        Largest number of rows of a pass; rows = inputs x draws in the pass.
    emitted : mapping of str to Tensor of shape (n, d)
        Values that layers emit in every draw, in place of signal plus noise.
    views : mapping of str to View
        Views through which layers, or readouts, are recorded.
    parts : mapping of str to LayerPart
        The parts of layers that have other names than their layers.
    """

    layers: tuple[str, ...]
    draws: range
    seed: int | None
    rows: int | None = None
    emitted: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    views: Mapping[str, View] = dataclasses.field(default_factory=dict)
    parts: Mapping[str, LayerPart] = dataclasses.field(default_factory=dict)

    def layer(self, name: str) -> str:
        """Return the layer with a name in `layers`, or the layer of the readout."""
        return self.parts[name].layer if name in self.parts else name


def record(network: MeasuredNetwork, inputs: Sequence[Tensor], passes: Passes) -> dict[str, Tensor]:
    """Run passes and return the signals (n, draws, d) of each layer, or the values (n, draws, k) of its view.

    Parameters
    ----------
    network : MeasuredNetwork
        The network.
    inputs : sequence of Tensor of shape (n, ...)
        The positional arguments of the network, as `input_tensors` returns them.
    passes : Passes
        The draws, the layers to record, and the noise.

    Raises
    ------
    LayerSelectionError
        A layer did not run, ran too often, or returned another number of rows than it got.
    ValueError
        The network cannot take the inputs; a signal is NaN or infinite.
    """
    n_inputs, n_draws = len(inputs[0]), len(passes.draws)
    rows = rows_per_pass(inputs, passes.rows)
    draws_per_pass = min(n_draws, rows, max(_DRAWS_PER_PASS, rows // n_inputs))
    recorder = _Recorder(network, passes, n_inputs)
    with recorder.pool:
        for start in range(0, n_draws, draws_per_pass):
            recorder.begin_draws(passes.draws[start : start + draws_per_pass])
            for batch in zip(*(torch.split(tensor, rows // draws_per_pass) for tensor in inputs), strict=True):
                recorder.begin_pass(len(batch[0]))
                network.run(recorder, [torch.cat([tensor] * len(recorder.draws)) for tensor in batch])
                recorder.end_pass()
    recorder.check_signals()  # once, after all passes: reading a result waits for the device
    return {layer: recorder.signals[layer] for layer in passes.layers}


class _Recorder:
    """A channel in place of the network's noise: records the wanted signals and adds noise of the passes' streams."""

    def __init__(self, network: MeasuredNetwork, passes: Passes, n_inputs: int) -> None:
        self.network = network
        self.passes = passes
        self.n_inputs = n_inputs
        self.threads = threads()
        self.pool = ThreadPoolExecutor(self.threads)
        self.signals: dict[str, Tensor] = {}
        self.extremes: dict[str, list[Tensor]] = {}
        self.begin_draws(range(0))
        self.begin_pass(0)

    def begin_draws(self, draws: range) -> None:
        """Restart at input 0 for the next block of draws."""
        self.draws, self.start, self.rows = draws, 0, 0
        self.streams: dict[int, list[list[NormalStream]]] = {}

    def begin_pass(self, rows: int) -> None:
        """Expect the next `rows` inputs, repeated for each draw: draw by draw, all inputs of a draw together."""
        self.start, self.rows = self.start + self.rows, rows
        self.layers_run: set[str] = set()

    def end_pass(self) -> None:
        """Raise a LayerSelectionError if a wanted layer did not run."""
        missing = [layer for layer in map(self.passes.layer, self.passes.layers) if layer not in self.layers_run]
        if missing:
            raise LayerSelectionError(
                f"layers: got {', '.join(missing)}, which did not run in the pass; choose layers that do"
            )

    def check_signals(self) -> None:
        """Raise a ValueError for a signal that is NaN or infinite, or too large for its dtype and noise."""
        for layer, extremes in self.extremes.items():
            values = torch.stack(extremes)
            if not values.isfinite().all():
                raise ValueError(
                    f"inputs: layer {layer!r} gives NaN or infinity, wanted finite signals; check the network"
                )
            if layer in self.network.noise:
                self.network.noise[layer].check_resolution(layer, rounding_step(values))

    def __call__(self, index: int, signal: Tensor) -> Tensor:
        layer, rows = self.network.layer_names[index], len(self.draws) * self.rows
        self.layers_run.add(layer)
        if signal.shape[:1] != (rows,):
            raise LayerSelectionError(
                f"layers: got {layer!r}, which returns shape {tuple(signal.shape)}, wanted {rows} rows; choose other "
                "layers"
            )
        names = [name for name in self.passes.layers if self.passes.layer(name) == layer]
        if names:
            # aminmax reads the signal once; isfinite would read it three times.
            self.extremes.setdefault(layer, []).extend(signal.aminmax())
        for name in names:
            self._record(name, signal.reshape(len(self.draws), self.rows, math.prod(signal.shape[1:])))
        if (
            self.passes.seed is None
            or not self.network.adds_noise
            or self.layers_run.issuperset(
                map(self.passes.layer, self.passes.layers)
            )  # no layer that is recorded follows
        ):
            return signal
        if layer in self.passes.emitted:
            return self._emitted(layer, signal)
        return self.network.noise[layer].add(signal, *self._normals(index, signal, self.passes.seed))

    def _allocate(self, layer: str, signal: Tensor, n_draws: int) -> Tensor:
        shape = (self.n_inputs, n_draws, signal.shape[2])
        try:
            return signal.new_empty(shape)
        except RuntimeError as error:
            raise MemoryError(
                f"draws: got {n_draws}, no memory for signals {shape} of {layer!r}; lower `draws`"
            ) from error

    def _record(self, name: str, signal: Tensor) -> None:
        signal = signal.to(torch.promote_types(signal.dtype, torch.float32))
        readout = self.passes.parts[name].view if name in self.passes.parts else None
        if readout is not None:
            signal = readout(signal, slice(self.start, self.start + self.rows))
        if name in self.passes.views:
            signal = self.passes.views[name](signal)
        n_draws = len(self.passes.draws)
        if name not in self.signals:
            self.signals[name] = self._allocate(name, signal, n_draws)
        column = self.draws.start - self.passes.draws.start
        block = self.signals[name][self.start : self.start + self.rows, column : column + len(self.draws)]
        block.copy_(signal.transpose(0, 1))

    def _emitted(self, layer: str, signal: Tensor) -> Tensor:
        values, dim = self.passes.emitted[layer], math.prod(signal.shape[1:])
        if values.shape[1:] != (dim,):
            raise ValueError(f"given: got shape {tuple(values.shape)} for {layer!r}, wanted ({self.n_inputs}, {dim})")
        batch = values[self.start : self.start + self.rows].to(signal)
        return batch.repeat(len(self.draws), 1).view_as(signal)

    def _normals(self, index: int, signal: Tensor, seed: int) -> list[Tensor]:
        """Return the standard normal values that the noise of a layer takes."""
        if index not in self.streams:
            self.streams[index] = self._streams_of(index, seed)
        return [self._normal(streams, signal) for streams in self.streams[index]]

    def _streams_of(self, index: int, seed: int) -> list[list[NormalStream]]:
        """Return the streams of each draw for each argument of the noise of a layer."""
        streams = [[NormalStream(seed, RandomStream.PASS_NOISE, index, draw) for draw in self.draws]]
        if isinstance(self.network.noise[self.network.layer_names[index]], DropoutNoise):
            streams.insert(0, [NormalStream(seed, RandomStream.PASS_FACTORS, index, draw) for draw in self.draws])
        return streams

    def _normal(self, streams: Sequence[NormalStream], signal: Tensor) -> Tensor:
        normal = empty_for_draws((len(self.draws), self.rows, *signal.shape[1:]), signal)
        if normal.is_cuda:
            fill_rows(streams, normal)
        else:
            fill = partial(_fill_share, streams, normal, self.threads)
            list(self.pool.map(fill, range(self.threads)))  # list() raises the errors of the threads
        return normal.flatten(0, 1).to(signal.device, torch.promote_types(signal.dtype, torch.float32))


def _fill_share(streams: Sequence[NormalStream], normal: Tensor, threads: int, thread: int) -> None:
    """Fill the draws that are the share of one of several threads."""
    fill_rows(streams[thread::threads], normal[thread::threads])


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` into evaluation mode for a ``with`` block, then restore the mode of every module."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
