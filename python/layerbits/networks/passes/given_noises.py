"""`GivenNoises`: passes in which earlier layers add given noises, and the derivatives of a signal by these noises.

Rows of a pass do not act on one another, so a pass of m rows gives m signals, and one vector-Jacobian product of the
pass gives a row of m Jacobians. The products are computed inside the pass, before its attributes and buffers are
restored; a checkpoint that runs layers again is refused.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.arguments import is_memory_error, rows_per_pass
from layerbits.networks.execution.live_memory import LiveMemory, bytes_of_a_row
from layerbits.networks.observation.signal_values import unit_in_last_place
from layerbits.networks.passes.end_of_pass import EndOfPass
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.noise_sources import noise_sources
from layerbits.networks.passes.vector_products import VectorProducts

# Maps signals (m, units) of a pass and the indices (m,) of its inputs to the values (m, d) that count as the signal.
ViewOfRows = Callable[[Tensor, Tensor], Tensor]

# Numbers of rows of the passes that show the bytes of a row.
_OBSERVED_ROWS, _FEWER_ROWS = 3, 2

# Seed of random numbers of the network that do not act on the layer.
_SEED = 0


class GivenNoises:
    """The signal of a layer as a function of the input and of the noises of earlier layers, S = g(x, W).

    Attributes
    ----------
    sources : tuple of str
        The layers whose noises act on the signal, in the order of the data. W has their standard normal values, one
        layer after the other; for a layer with `DropoutNoise`, those of E before those of Z.
    size : int
        k, the number of standard normal values of a row.
    n_units : int
        d, the number of values of a signal.

    Parameters
    ----------
    network : MeasuredNetwork
        A network with noise of its own, checked by `check_rows`.
    inputs : sequence of Tensor of shape (n, ...)
        The tensors among the arguments of the network.
    layer : str
        A layer behind noise.
    view : callable
        The differentiable map from signals of a pass to the float64 values that count as the signal.
    given : tuple of str and Tensor of shape (n, ...), optional
        A layer, and noisy values that take the place of its own; the noises that act on them are no part of W.

    Raises
    ------
    ValueError
        It is not known which noises act on the layer, or none does; or random numbers of the network act on it.
    """

    def __init__(
        self,
        network: MeasuredNetwork,
        inputs: Sequence[Tensor],
        layer: str,
        view: ViewOfRows,
        given: tuple[str, Tensor] | None = None,
    ) -> None:
        self.given_layer, self.given_values = given or ("", torch.empty(0))
        self.sources = noise_sources(network, layer, self.given_layer)
        self.network, self.inputs, self.layer, self.view = network, inputs, layer, view
        sizes = [network.noise[source].n_normals * network.units[source] for source in self.sources]
        ends = list(itertools.accumulate(sizes))
        self.size = ends[-1]
        self.slices = {
            source: slice(end - size, end) for source, size, end in zip(self.sources, sizes, ends, strict=True)
        }
        self._derivative_bytes = 0  # bytes of a row in a pass with one product; 0 before the first derivative
        self._vector_products, self._has_forward_rules = VectorProducts(), True
        self.n_units = 0
        first = torch.zeros(1, dtype=torch.int64), torch.zeros(1, self.size, dtype=torch.float64)
        with self._passes():
            self.n_units = self._run(*first).shape[1]

    def signals(self, rows: Tensor, noises: Tensor, *, are_typical: bool = True) -> Tensor:
        """Return the signals (m, d) of inputs (m,) with noises (m, k).

        Noises of another law than that of the network, `are_typical=False`, may lead to any signal, also to NaN.

        Raises
        ------
        LayerSelectionError, ValueError, MemoryError
            The network cannot run, or the layer does not run.
        ValueError
            The noises are typical, and a signal is NaN, infinite, or too large for its dtype to resolve the noise of
            the layer.
        """
        with self._passes():
            signals = noises.new_empty(len(rows), self.n_units)
            for chunk in _chunks(len(rows), self._rows_per_pass()):
                signals[chunk] = self._run(rows[chunk], noises[chunk], are_typical=are_typical)
        return signals

    def jacobians(self, rows: Tensor, noises: Tensor) -> Tensor:
        """Return the derivatives (m, d, k) of the signals by the noises.

        Raises
        ------
        LayerSelectionError, ValueError, MemoryError
            As `signals`; or torch cannot differentiate the signal.
        """
        units = torch.eye(self.n_units, dtype=noises.dtype, device=noises.device)
        return self._products(rows, noises, units.expand(len(rows), -1, -1))

    def pullback(self, rows: Tensor, noises: Tensor, cotangents: Tensor) -> Tensor:
        """Return J' U, (m, k, p), for cotangents U (m, d, p); raise errors as `jacobians`."""
        return self._products(rows, noises, cotangents.mT).mT

    def pushforward(self, rows: Tensor, noises: Tensor, tangents: Tensor) -> Tensor:
        """Return J V, (m, d, p), for tangents V (m, k, p); raise errors as `jacobians`.

        If an operation of the network has no rule of forward differentiation, Jacobians are multiplied by V.
        """
        if self._has_forward_rules:
            try:
                return self._forward_products(rows, noises, tangents)
            except ValueError as error:
                if not isinstance(error.__cause__, NotImplementedError):  # torch's, for an operation without a rule
                    raise
                self._has_forward_rules = False
        products = noises.new_empty(len(rows), self.n_units, tangents.shape[2])
        size = max(1, self._products_per_pass() // self.n_units)
        for chunk in _chunks(len(rows), size):
            products[chunk] = self.jacobians(rows[chunk], noises[chunk]) @ tangents[chunk]
        return products

    def residual_products(self, rows: Tensor, noises: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the signals (m, d), and J' (t - S), (m, k), for points t (m, d); raise errors as `jacobians`.

        The noises may have any law, as in `signals`.
        """
        with self._passes():
            signals, products = torch.empty_like(points), torch.empty_like(noises)
            for chunk in _chunks(len(rows), self._products_per_pass()):

                def differentiate(values: Tensor, leaf: Tensor, chunk: slice = chunk) -> None:
                    residuals = points[chunk].to(values.device) - values.detach()
                    products[chunk] = self._vector_products(values, leaf, residuals[None])[0]

                signals[chunk] = self._run(rows[chunk], noises[chunk], differentiate, are_typical=False)
        return signals, products

    def _products(self, rows: Tensor, noises: Tensor, cotangents: Tensor) -> Tensor:
        """Return U J, (m, p, k), for cotangents U (m, p, d)."""
        with self._passes():
            products = noises.new_zeros(len(rows), cotangents.shape[1], self.size)
            per_pass, n_cotangents = self._products_per_pass(), max(1, cotangents.shape[1])
            for chunk in _chunks(len(rows), max(1, per_pass // n_cotangents)):
                size = max(1, per_pass // len(rows[chunk]))

                def differentiate(signals: Tensor, leaf: Tensor, chunk: slice = chunk, size: int = size) -> None:
                    for part in _chunks(cotangents.shape[1], size):
                        cotangents_of_pass = cotangents[chunk, part].transpose(0, 1).to(signals.device)
                        products[chunk, part] = self._vector_products(signals, leaf, cotangents_of_pass).transpose(0, 1)

                self._run(rows[chunk], noises[chunk], differentiate)
        return products

    def _forward_products(self, rows: Tensor, noises: Tensor, tangents: Tensor) -> Tensor:
        """Return J V, (m, d, p), by forward differentiation: each tangent has a row of a pass."""
        n_tangents = tangents.shape[2]
        with self._passes():
            products = noises.new_zeros(len(rows) * n_tangents, self.n_units)
            # Half of the rows, because each value of a row has a tangent too.
            for chunk in _chunks(len(products), max(1, self._rows_per_pass() // 2)):
                pairs = torch.arange(chunk.start, chunk.stop, device=rows.device)
                row, tangent = pairs // n_tangents, pairs % n_tangents
                with forward_ad.dual_level():
                    signals = self._run(rows[row], _dual(noises[row], tangents[row, :, tangent]))
                    result = forward_ad.unpack_dual(signals).tangent  # type: ignore[no-untyped-call]
                    if result is not None:  # None: no noise acts on the signals by a differentiable operation
                        products[chunk] = result
        return products.reshape(len(rows), n_tangents, self.n_units).mT

    @contextlib.contextmanager
    def _passes(self) -> Iterator[None]:
        with torch.inference_mode(False), self.network.own_randomness(_SEED):
            yield

    def _run(
        self,
        rows: Tensor,
        noises: Tensor,
        differentiate: Callable[[Tensor, Tensor], None] | None = None,
        *,
        are_typical: bool = True,
    ) -> Tensor:
        """Run a pass and return its signals (m, d).

        `differentiate` is called within the pass with the signals and the noises from which they were computed.
        """
        if differentiate is not None:
            noises = noises.detach().clone().requires_grad_()
        channel = _Channel(self, rows, noises, differentiate, are_typical=are_typical)
        indices = {tensor.device: rows.to(tensor.device) for tensor in self.inputs}
        batch = [tensor[indices[tensor.device]] for tensor in self.inputs]
        self.network.run(channel, batch, gradients=differentiate is not None)
        if channel.signals is None:
            raise LayerSelectionError(
                f"layers: got {self.layer!r}, which did not run in the pass, wanted layers that always do"
            )
        return channel.signals

    def _rows_per_pass(self) -> int:
        row_bytes = self.network.row_bytes + 8 * (self.size + self.n_units)
        return rows_per_pass(self.inputs, row_bytes=row_bytes, max_memory=self.network.max_memory)

    def _products_per_pass(self) -> int:
        """Return the largest number of rows times products of a pass."""
        if not self._derivative_bytes:
            memory, fewer_memory = LiveMemory(), LiveMemory()

            def differentiate(signals: Tensor, leaf: Tensor) -> None:
                self._vector_products(signals, leaf, signals.detach()[None])

            with self._passes():
                for live_memory, n_rows in ((memory, _OBSERVED_ROWS), (fewer_memory, _FEWER_ROWS)):
                    rows = torch.zeros(n_rows, dtype=torch.int64)
                    noises = torch.zeros(n_rows, self.size, dtype=torch.float64)
                    with live_memory:
                        self._run(rows, noises, differentiate)
            self._derivative_bytes = bytes_of_a_row(memory, _OBSERVED_ROWS, fewer_memory, _FEWER_ROWS)
        return rows_per_pass((), row_bytes=self._derivative_bytes, max_memory=self.network.max_memory)


class _Channel:
    """The channel of a pass: adds the given noises, keeps the signals, and ends the pass."""

    def __init__(
        self,
        given: GivenNoises,
        rows: Tensor,
        noises: Tensor,
        differentiate: Callable[[Tensor, Tensor], None] | None,
        *,
        are_typical: bool,
    ) -> None:
        self.given, self.rows, self.noises, self.differentiate = given, rows, noises, differentiate
        self.are_typical = are_typical
        self.signals: Tensor | None = None

    def __call__(self, index: int, signal: Tensor) -> Tensor:
        given, layer = self.given, self.given.network.layer_names[index]
        if signal.shape[:1] != self.rows.shape:
            raise LayerSelectionError(
                f"layers: got {layer!r}, which returns shape {tuple(signal.shape)}, wanted {len(self.rows)} rows, "
                f"one for each row of the pass; {given.network.remedy_for_rows(layer)}"
            )
        if layer == given.layer:
            if self.are_typical:
                self._check(signal.detach())
            self.signals = given.view(signal.reshape(len(self.rows), -1), self.rows)
            if self.differentiate is not None:
                self._differentiate(self.differentiate)
            raise EndOfPass
        if layer == given.given_layer:
            return given.given_values[self.rows].to(signal).view_as(signal)
        if layer not in given.slices:
            return signal
        noise = given.network.noise[layer]
        normals = self.noises[:, given.slices[layer]].to(
            signal.device, torch.promote_types(signal.dtype, torch.float32)
        )
        return noise.add(signal, *(part.view_as(signal) for part in normals.tensor_split(noise.n_normals, dim=1)))

    def _check(self, signal: Tensor) -> None:
        """Raise a ValueError for a signal that is NaN or infinite, or too large for its dtype to resolve the noise."""
        layer, unit = self.given.layer, unit_in_last_place(signal)
        if math.isinf(unit):
            raise ValueError(
                f"inputs: got NaN or infinity in layer {layer!r}, wanted finite signals; check the network"
            )
        self.given.network.noise[layer].check_resolution(layer, unit, signal.dtype)

    def _differentiate(self, differentiate: Callable[[Tensor, Tensor], None]) -> None:
        assert self.signals is not None
        try:
            differentiate(self.signals, self.noises)
        except (RuntimeError, LayerSelectionError) as error:
            if is_memory_error(error):
                raise
            self.given.network.weights.check()  # a change of a parameter in place ends its derivatives
            raise ValueError(
                f"layers: got {self.given.layer!r}, whose signal torch cannot differentiate ({error}), wanted one with "
                "derivatives by the noise of earlier layers; choose another estimator"
            ) from error
        self.signals = self.signals.detach()


def _dual(values: Tensor, tangents: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)  # from an import by torch
        dual: Tensor = forward_ad.make_dual(values, tangents)  # type: ignore[no-untyped-call]
    return dual


def _chunks(length: int, size: int) -> Iterator[slice]:
    """Yield consecutive slices of at most `size` of a range."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
