"""Passes through a noisy network that record the signals of its layers: the samples behind every estimate.

Their noise is made of counter-based streams, so a value depends on nothing but seed, layer, draw and row; the generator
with which the network trains is left alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from layerbits._base import Array, BackendError, LayerSelectionError, NoNoiseError, check_count
from layerbits.kernels import NormalStream, as_tensor, empty_for_draws, fill_rows, threads
from layerbits.networks.layer_selection import Layers
from layerbits.networks.noisy_module import NoisyModule, noisy_for_now

# Draws that share a pass at the least: threads share out the streams, a draw each.
_TOGETHER = 32
_CHUNK_ROWS = 2**15
_CHUNK_ELEMENTS = 2**20

_Array = npt.NDArray[Any]


@overload
def propagate(
    noisy: NoisyModule,
    inputs: Tensor | tuple[Tensor, ...],
    *,
    draws: int = ...,
    seed: int = ...,
    layers: str | Sequence[str] | None = ...,
    chunk: int | None = ...,
    given: Mapping[str, Array] | None = ...,
) -> dict[str, Tensor]: ...
@overload
def propagate(
    noisy: NoisyModule,
    inputs: _Array | tuple[_Array, ...],
    *,
    draws: int = ...,
    seed: int = ...,
    layers: str | Sequence[str] | None = ...,
    chunk: int | None = ...,
    given: Mapping[str, Array] | None = ...,
) -> dict[str, _Array]: ...
def propagate(
    noisy: NoisyModule,
    inputs: Tensor | tuple[Tensor, ...] | _Array | tuple[_Array, ...],
    *,
    draws: int = 32,
    seed: int = 0,
    layers: str | Sequence[str] | None = None,
    chunk: int | None = None,
    given: Mapping[str, Array] | None = None,
) -> dict[str, Tensor] | dict[str, _Array]:
    """Record the signals of the noisy layers in `draws` noisy passes of every input.

    The signal of a layer is its output before its own noise, so it depends on the noise of the layers before it. The
    passes run in evaluation mode, without gradients, and leave the network and its own noise as they were.

    Parameters
    ----------
    noisy : NoisyModule
        What `noisify` returned.
    inputs : tensor or array of shape (n, ...), or a tuple of them
        A tuple holds the positional arguments of the network. Arrays go to the device of the network's parameters, and
        floating ones to their dtype.
    draws : int
        Noisy passes per input.
    seed : int
        Seed of the noise. The noise of a row in a draw does not depend on `chunk`, `draws` or `layers`; signals may, by
        rounding, where a product of matrices does. A CUDA device has other noise than the CPU.
    layers : str or sequence of str, optional
        Which of ``noisy.layer_names`` to record; all by default.
    chunk : int, optional
        Rows in one pass, an input being a row for each draw that shares the pass. By default 32,768, fewer for wide
        inputs.
    given : dict of str to tensor or array of shape (n, dim), optional
        Layers that emit these values in every draw, instead of their signal and noise: draws are then from what
        follows, given that.

    Returns
    -------
    dict of str to tensor (to array, when arrays were given) of shape (n, draws, dim)
        By layer, in the order data meets them; outputs of more dimensions are flattened.

    Raises
    ------
    NoNoiseError
        `noisy` has no noise, or it is switched off.
    LayerSelectionError
        `layers` names no noisy layer; a layer did not run, ran too often, or returned no row for each input.
    TypeError, ValueError
        An argument is of another type or out of range; inputs are empty or NaN; a signal is NaN or infinite.
    """
    signals = record(noisy, inputs, draws=draws, seed=seed, layers=layers, chunk=chunk, given=given)
    return {name: signal.numpy(force=True) for name, signal in signals.items()} if _is_array(inputs) else signals


@overload
def layer_activations(
    model: nn.Module, inputs: Tensor | tuple[Tensor, ...], *, layers: Layers = ...
) -> dict[str, Tensor]: ...
@overload
def layer_activations(
    model: nn.Module, inputs: _Array | tuple[_Array, ...], *, layers: Layers = ...
) -> dict[str, _Array]: ...
def layer_activations(
    model: nn.Module, inputs: Tensor | tuple[Tensor, ...] | _Array | tuple[_Array, ...], *, layers: Layers = None
) -> dict[str, Tensor] | dict[str, _Array]:
    """Record what layers give in a pass without noise.

    The pass runs in evaluation mode, without gradients, and leaves the network as it was.

    Parameters
    ----------
    model : torch.nn.Module
        Any network; noise that `noisify` gave it is off meanwhile.
    inputs : tensor or array of shape (n, ...), or a tuple of them
        As in `propagate`.
    layers : None, str, type, callable or a sequence of them
        As in `noisify`; for what `noisify` returned, names of its noisy layers, all by default.

    Returns
    -------
    dict of str to tensor (to array, when arrays were given) of shape (n, d)
        By layer, in the order data meets them; outputs of more dimensions are flattened.

    Raises
    ------
    LayerSelectionError, TypeError, ValueError
        As in `noisify` and `propagate`.
    """
    with contextlib.nullcontext(model) if isinstance(model, NoisyModule) else noisy_for_now(model, layers) as noisy:
        tensors = _as_tensors(inputs, noisy)
        wanted = wanted_layers(noisy, layers if noisy is model else None)
        signals = _run(noisy, tensors, _Recorder(noisy, wanted, len(tensors[0]), 1, None, {}, {}), None)
    flat = {name: signal[:, 0] for name, signal in signals.items()}
    return {name: signal.numpy(force=True) for name, signal in flat.items()} if _is_array(inputs) else flat


# Makes of the signals (draws, rows, d) of a layer in a pass what is kept of them, (draws, rows, k).
View = Callable[[Tensor], Tensor]


def record(
    noisy: NoisyModule,
    inputs: Tensor | tuple[Tensor, ...] | _Array | tuple[_Array, ...],
    *,
    draws: int,
    seed: int,
    layers: str | Sequence[str] | None,
    chunk: int | None = None,
    given: Mapping[str, Array] | None = None,
    views: Mapping[str, View] | None = None,
) -> dict[str, Tensor]:
    """Do what `propagate` does, and keep of the layers that `views` names no more than its view."""
    _check_noise(noisy)
    draws, seed = check_count("draws", draws, minimum=1), check_count("seed", seed, minimum=0)
    tensors = _as_tensors(inputs, noisy)
    n_inputs, wanted = len(tensors[0]), wanted_layers(noisy, layers)
    recorder = _Recorder(noisy, wanted, n_inputs, draws, seed, _as_given(given, noisy, n_inputs), views or {})
    return _run(noisy, tensors, recorder, chunk)


def _run(noisy: NoisyModule, tensors: Sequence[Tensor], recorder: _Recorder, chunk: int | None) -> dict[str, Tensor]:
    (n_inputs, draws), rows = recorder.shape, rows_per_pass(tensors, chunk)
    together = min(draws, rows, max(_TOGETHER, rows // n_inputs))
    with recorder.pool, evaluating(noisy), torch.no_grad(), noisy.noise_replaced(recorder):
        for draw in range(0, draws, together):
            recorder.draw(range(draw, min(draw + together, draws)))
            for part in zip(*(torch.split(tensor, rows // together) for tensor in tensors), strict=True):
                recorder.start(len(part[0]))
                _pass(noisy, part, len(recorder.draws))
                recorder.finish()
    recorder.check()  # after all passes, for the answer of a device has to be waited for
    return {name: recorder.signals[name] for name in recorder.wanted}


def _pass(noisy: NoisyModule, inputs: Sequence[Tensor], draws: int) -> None:
    try:
        noisy(*(torch.cat([one] * draws) for one in inputs))
    except (BackendError, torch.cuda.OutOfMemoryError):  # no fault of the inputs
        raise
    except RuntimeError as error:  # what torch raises for a wrong shape or dtype
        got = ", ".join(f"{one.dtype} of shape {tuple(one.shape)}" for one in inputs)
        raise ValueError(f"inputs: got {got}, which the network cannot take: {error}") from error


class _Recorder:
    """A channel that keeps the signals of the wanted layers and adds noise of its own streams, none without a seed."""

    def __init__(
        self,
        noisy: NoisyModule,
        wanted: Sequence[str],
        n_inputs: int,
        draws: int,
        seed: int | None,
        given: Mapping[str, Tensor],
        views: Mapping[str, View],
    ) -> None:
        self.names = noisy.layer_names
        self.noise = noisy.noise
        self.wanted = wanted
        self.views = views
        self.shape = (n_inputs, draws)
        self.seed = seed
        self.given = given
        self.threads = threads()
        self.pool = ThreadPoolExecutor(self.threads)
        self.signals: dict[str, Tensor] = {}
        self.extremes: dict[str, list[Tensor]] = {}
        self.draw(range(0))
        self.start(0)

    def draw(self, draws: range) -> None:
        """Begin with the first input, for all of `draws` together."""
        self.draws, self.first, self.rows = draws, 0, 0
        self.streams: dict[int, list[NormalStream]] = {}

    def start(self, rows: int) -> None:
        """Expect a pass of the next `rows` inputs, all of them for each draw in turn."""
        self.first, self.rows = self.first + self.rows, rows
        self.met: set[str] = set()

    def finish(self) -> None:
        missing = [name for name in self.wanted if name not in self.met]
        if missing:
            raise LayerSelectionError(f"layers: {', '.join(missing)} did not run in the pass; choose layers that do")

    def check(self) -> None:
        """Raise a ValueError for the first layer that has ever given NaN or infinity."""
        for name, extremes in self.extremes.items():
            if not torch.stack(extremes).isfinite().all():
                raise ValueError(
                    f"inputs: layer {name!r} gives NaN or infinity, wanted finite signals; check the network"
                )

    def __call__(self, layer: int, signal: Tensor) -> Tensor:
        name, rows = self.names[layer], len(self.draws) * self.rows
        if name in self.met:
            raise LayerSelectionError(
                f"layers: {name!r} ran more often in a pass than could be foreseen; make each call a module of its own"
            )
        self.met.add(name)
        if signal.shape[:1] != (rows,):
            raise LayerSelectionError(
                f"layers: {name!r} returns shape {tuple(signal.shape)} for {rows} rows, wanted as many; "
                "choose other layers"
            )
        if name in self.wanted:
            self._record(name, signal.reshape(len(self.draws), self.rows, math.prod(signal.shape[1:])))
        if self.seed is None or self.met.issuperset(self.wanted):  # in the latter case nothing that follows is recorded
            return signal
        if name in self.given:
            return self._emitted(name, signal)
        return self.noise[name].add(signal, self._normal(layer, signal, self.seed))

    def _record(self, name: str, signal: Tensor) -> None:
        self.extremes.setdefault(name, []).extend(signal.aminmax())  # one pass where isfinite() takes three
        if name in self.views:
            signal = self.views[name](signal)
        if name not in self.signals:
            self.signals[name] = signal.new_empty((*self.shape, signal.shape[2]))
        part = self.signals[name][self.first : self.first + self.rows, self.draws.start : self.draws.stop]
        part.copy_(signal.transpose(0, 1))

    def _emitted(self, name: str, signal: Tensor) -> Tensor:
        values, dim = self.given[name], math.prod(signal.shape[1:])
        if values.shape[1:] != (dim,):
            raise ValueError(f"given: got shape {tuple(values.shape)} for {name!r}, wanted ({self.shape[0]}, {dim})")
        mine = values[self.first : self.first + self.rows].to(signal)
        return mine.repeat(len(self.draws), 1).view_as(signal)

    def _normal(self, layer: int, signal: Tensor, seed: int) -> Tensor:
        if layer not in self.streams:
            self.streams[layer] = [NormalStream(seed, layer, draw, 0) for draw in self.draws]
        shape = (len(self.draws), self.rows, *signal.shape[1:])
        normal = empty_for_draws(shape, signal)
        if normal.is_cuda:
            fill_rows(self.streams[layer], normal)
        else:

            def fill(place: int) -> None:
                fill_rows(self.streams[layer][place :: self.threads], normal[place :: self.threads])

            list(self.pool.map(fill, range(self.threads)))  # a list, to hear of errors
        return normal.flatten(0, 1).to(signal)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` into evaluation mode for a ``with`` block, then every module back into the mode that it was in."""
    # Statistics of a batch must neither depend on the chunk nor be learnt from a measurement.
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def wanted_layers(noisy: NoisyModule, layers: Layers) -> tuple[str, ...]:
    """Return those of ``noisy.layer_names`` that `layers` asks for; TypeError or LayerSelectionError otherwise."""
    if layers is None:
        return noisy.layer_names
    if isinstance(layers, type) or not isinstance(layers, Iterable):
        raise TypeError(f"layers: got {type(layers).__name__}, wanted a name or a sequence of names")
    asked = [layers] if isinstance(layers, str) else list(layers)
    unknown = [name for name in asked if name not in noisy.layer_names]
    if unknown or not asked:
        raise LayerSelectionError(
            f"layers: got {unknown or asked}, wanted names among the noisy layers: {', '.join(noisy.layer_names)}"
        )
    return tuple(name for name in noisy.layer_names if name in asked)


def _as_given(given: Mapping[str, Array] | None, noisy: NoisyModule, n_inputs: int) -> dict[str, Tensor]:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"given: got {type(given).__name__}, wanted a mapping from layers to values")
    values = {name: as_tensor("given", value) for name, value in (given or {}).items()}
    wanted_layers(noisy, list(values) or None)
    for name, value in values.items():
        if value.shape[:1] != (n_inputs,):
            raise ValueError(f"given: got shape {tuple(value.shape)} for {name!r}, wanted ({n_inputs}, dim)")
    return values


def _is_array(inputs: object) -> bool:
    return isinstance(inputs[0] if isinstance(inputs, tuple) and inputs else inputs, np.ndarray)


def _as_tensors(inputs: object, model: nn.Module) -> list[Tensor]:
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    kind = np.ndarray if _is_array(inputs) else Tensor
    if not given or not all(isinstance(one, kind) for one in given):
        got = ", ".join(type(one).__name__ for one in given) or "an empty tuple"
        raise TypeError(f"inputs: got {got}, wanted a tensor or an array of shape (n, ...), or a tuple of either kind")
    tensors = [_as_tensor(one, model) for one in given]
    sizes = {tuple(tensor.shape[:1]) for tensor in tensors}
    if len(sizes) > 1 or sizes & {(), (0,)}:
        got = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(f"inputs: got shape {got}, wanted (n, ...) with one n >= 1")
    if any(tensor.is_meta for tensor in tensors):
        raise ValueError("inputs: got a tensor on the device meta, wanted one that holds values")
    if any(tensor.isnan().any() for tensor in tensors):
        raise ValueError("inputs: got NaN, wanted numbers; leave those rows out")
    return tensors


def _as_tensor(one: Tensor | _Array, model: nn.Module) -> Tensor:
    if isinstance(one, Tensor):
        return one
    tensor = as_tensor("inputs", one)
    like = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), tensor)
    return tensor.to(like.device, like.dtype if tensor.is_floating_point() else tensor.dtype)


def rows_per_pass(tensors: Sequence[Tensor], chunk: int | None = None) -> int:
    """Return how many rows a pass may have; `chunk`, if one is given."""
    if chunk is None:
        width = sum(math.prod(tensor.shape[1:]) for tensor in tensors)
        chunk = max(1, min(_CHUNK_ROWS, _CHUNK_ELEMENTS // max(1, width)))
    return check_count("chunk", chunk, minimum=1)


def _check_noise(noisy: object) -> None:
    if not isinstance(noisy, nn.Module):
        raise TypeError(f"noisy: got {type(noisy).__name__}, wanted what layerbits.noisify returns")
    if not isinstance(noisy, NoisyModule):
        if any(isinstance(module, NoisyModule) for module in noisy.modules()):
            raise TypeError(f"noisy: got {type(noisy).__name__} around a NoisyModule, wanted the NoisyModule itself")
        raise NoNoiseError(
            f"noisy: got {type(noisy).__name__}, a network without noise. Its I(X;T) is log N for N inputs that stay "
            "distinct, or infinite, whatever it has learnt; wrap it with layerbits.noisify(model, sigma=...)"
        )
    if not noisy.noise_is_on:
        raise NoNoiseError("noisy: its noise is off, and I(X;T) needs it; call this outside of noise_off")
