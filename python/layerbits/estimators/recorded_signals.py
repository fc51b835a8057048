"""`information`: the information of signals that another program recorded."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from layerbits._base import Array, InformationRow, InformationTable
from layerbits.estimators.classes import Classes, classes_by_label_set, limits_by_symbol, quantity_names
from layerbits.estimators.input_decoders import InputDecoder, checked_decoders
from layerbits.estimators.layer_arrays import arrays_by_layer
from layerbits.estimators.layer_rows import layer_rows
from layerbits.estimators.provenance import data_digest, labels_digest
from layerbits.estimators.settings import AUTO, KNOWN, MeasurementSettings
from layerbits.estimators.signal_rounds import SignalRounds
from layerbits.kernels import Devices, Workers, as_floats, environment, resolve_devices
from layerbits.networks import Deviations, GaussianNoise, gaussian_noise, unit_in_last_place
from layerbits.statistics import class_numbers

# Name of the layer in the table if the signals are no mapping.
_UNNAMED = "signals"


def information(
    signals: Array | Mapping[str, Array],
    sigma: Deviations | Mapping[str, Deviations],
    labels: Tensor | Iterable[Any] | None = None,
    *,
    queries: int | None = None,
    tolerance: float | None = None,
    confidence: float = 0.95,
    max_seconds: float = 300.0,
    seed: int = 0,
    estimator: str = "draws",
    devices: Devices = None,
    simultaneous: bool = False,
    decoders: Sequence[InputDecoder] | None = None,
) -> InformationTable:
    """Measure I(X;T), h(T) and h(T|X) of recorded signals S, for T = S + Z and X uniform over the rows, in nats.

    `layer_information` does the same for the layers of a network.

    Parameters
    ----------
    signals : tensor or array of shape (n, d) or (n, r, d), or a mapping of layer names to them
        The number of axes distinguishes two cases. (n, d): S is a function of X, and row x is its value. (n, r, d): S
        is random given X, and row x has r >= 2 independent draws of S; where all draws of every row are equal, pass
        ``signals[:, 0]``. A feature map (n, C, H, W) or tokens (n, L, d) must be flattened, ``signals.flatten(1)``:
        an array of three axes always holds draws. The dtype is float32 or float64. Each layer is measured by itself,
        and layers may have different numbers of rows.
    sigma : float, tensor or array, or a mapping of layer names to them
        The noise Z, as for `noisify`: a standard deviation, one for each unit, shape (d,), or the covariance of the
        units, shape (d, d).
    labels : array-like of shape (n,), one-hot rows, or a mapping of str to them, optional
        Classes Y, a function of X, as in `layer_information`. A mapping has several label sets by name.
    queries : int, optional
        Queries per row, at least 2, as in `layer_information`. If signals have draws, the last draws carry one query
        each.
    tolerance : float, optional
        Wanted half width of the interval of I(X;T), in nats. Queries are doubled until the interval is that narrow, or
        until a limit is reached; a note then names the limit. Where S is random, the draws in hand are the limit.
        None: one round.
    confidence : float
        Level of each single interval, or with `simultaneous` of all intervals of the table together.
    max_seconds : float
        With a tolerance: no round begins that would likely end later than this after the call. Layers are measured in
        their order.
    seed : int
        Seed of all random numbers, such as the noise of the queries.
    estimator : {"draws", "paper"}
        With "paper", `plug_in` is the paper's estimate: the plug-in with one half of the draws for h(T) and the other
        half for h(T|X). `value` is this estimate, moved into the interval, or the midpoint of a wide interval. It needs
        at least 4 draws; where S is a function of X both estimators are the same.
    devices : sequence of torch.device or str, optional
        CUDA devices that share the queries of signals on a CUDA device, as in `layer_information`.
    simultaneous : bool
        Whether all intervals of the table hold together with probability `confidence`: the risk is divided by their
        number, so each interval is wider.
    decoders : sequence of InputDecoder, optional
        Decoders q(x|t) of your own for signals with draws, as in `layer_information`.

    Returns
    -------
    InformationTable
        A row for each layer and quantity, as `layer_information` returns it. The layer of signals that are no mapping
        is called ``"signals"``.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, shape or value than wanted; signals are not finite, or so far from zero that their
        dtype does not resolve the noise; there are fewer than 2 rows; a decoder of your own is refused, as in
        `layer_information`.

    Notes
    -----
    The intervals hold if all draws, those of one row and of several, are independent given X. For (n, d) the density
    p(t|x) is known, and both ends hold for any number of rows and queries. For (n, r, d) the lower end of an
    information holds likewise. Its upper end and the lower ends of entropies are Student bounds with an allowance for
    rare events; the upper ends of entropies assume a largest distance of signals from their center (the flag
    ``"tail_assumed"``).

    Examples
    --------
    >>> import numpy as np, layerbits
    >>> row = layerbits.information(np.array([[-1.0], [1.0]]), 0.5)["signals", "I(X;T)"]
    >>> row.lower <= 0.63272 <= row.upper
    True
    """
    settings = MeasurementSettings(
        queries=queries,
        tolerance=tolerance,
        confidence=confidence,
        max_seconds=max_seconds,
        seed=seed,
        estimator=estimator,
        simultaneous=simultaneous,
    )
    own_decoders = checked_decoders(decoders)
    if settings.estimator in (KNOWN, AUTO):
        raise ValueError(
            f"estimator: got {settings.estimator!r}, wanted 'draws' or 'paper', because recorded signals have no "
            "network; or call layer_information"
        )
    layers = arrays_by_layer("signals", signals, _UNNAMED)
    draws = {layer: _as_draws(layer, array, settings.estimator) for layer, array in layers.items()}
    noise = {layer: _noise_of(sigma, layer, tensor) for layer, tensor in draws.items()}
    label_sets = {layer: _label_sets(labels, len(tensor)) for layer, tensor in draws.items()}
    workers = {layer: Workers(resolve_devices(devices, tensor.device)) for layer, tensor in draws.items()}
    n_intervals = sum(len(quantity_names(of_layer)) for of_layer in label_sets.values())
    deadline = time.monotonic() + settings.max_seconds
    rows: list[InformationRow] = []
    for index, layer in enumerate(layers):
        started = time.monotonic()
        rounds = SignalRounds(
            draws[layer], noise[layer], label_sets[layer], index, settings, workers[layer], own_decoders, n_intervals
        )
        measurements = rounds.measure(deadline)
        seconds = time.monotonic() - started
        rows += layer_rows(layer, label_sets[layer], measurements, settings.estimator, seconds)
    # Layers may have different numbers of inputs; then no limit holds for all.
    limits, *other_limits = map(limits_by_symbol, label_sets.values())
    provenance = {
        **environment(),
        "device": str(next(iter(draws.values())).device),
        "seed": settings.seed,
        "signals": data_digest(tuple(draws.values())),
        "noise": data_digest(tuple(of_layer.scale for of_layer in noise.values())),
        # All layers have the same labels.
        "labels": labels_digest(
            tuple(classes.numbers for classes in next(iter(label_sets.values())).values() if classes.labelled)
        ),
    }
    return InformationTable(tuple(rows), limits if all(other == limits for other in other_limits) else {}, provenance)


def _as_draws(layer: str, array: object, estimator: str) -> Tensor:
    """Return the signals of a layer as a tensor (n, r, d); r = 1 if they are a function of the row."""
    name = f"signals of layer {layer!r}" if layer != _UNNAMED else "signals"
    signals = as_floats(name, array).detach()
    shape = tuple(signals.shape)
    if signals.ndim not in (2, 3) or 0 in shape:
        raise ValueError(
            f"{name}: got shape {shape}, wanted (n, d), or (n, r, d) with r draws of every row, and no axis of size 0; "
            + ("for a signal of one unit, pass signals[:, None]" if signals.ndim == 1 else "flatten the units of a row")
            + ", signals.flatten(1)" * (signals.ndim > 3)
        )
    if len(signals) < 2:
        raise ValueError(f"{name}: got 1 row, wanted at least 2, the values of X")
    if signals.ndim == 3 and shape[1] < 2:
        raise ValueError(
            f"{name}: got shape {shape}, a single draw of every row, wanted at least 2 draws; pass signals[:, 0], of "
            "shape (n, d), if S is a function of X"
        )
    if signals.ndim == 3 and estimator == "paper" and shape[1] < 4:
        raise ValueError(
            f"estimator: got 'paper' for {shape[1]} draws, wanted at least 4, two for each of its samples; pass more "
            "draws, or use 'draws'"
        )
    if not signals.isfinite().all():
        raise ValueError(f"{name}: got NaN or infinity, wanted finite numbers")
    # Sums over values in another order in memory would differ by rounding.
    signals = signals.contiguous()
    return signals if signals.ndim == 3 else signals[:, None]


def _noise_of(sigma: object, layer: str, signals: Tensor) -> GaussianNoise:
    """Return the noise of a layer with signals (n, r, d)."""
    if isinstance(sigma, Mapping):
        if layer not in sigma:
            raise ValueError(f"sigma: got a mapping without {layer!r}, wanted the noise of every layer of signals")
        sigma = sigma[layer]
    noise = gaussian_noise(sigma)  # type: ignore[arg-type]  # gaussian_noise checks the type
    noise.check(layer, (len(signals), signals.shape[2]))
    noise.check_resolution(layer, unit_in_last_place(signals), signals.dtype)
    return noise


def _label_sets(labels: object, n_rows: int) -> dict[str, Classes]:
    """Return the classes of the rows by the name of the label set."""
    sets = labels if isinstance(labels, Mapping) else {} if labels is None else {"Y": labels}
    if not all(isinstance(name, str) for name in sets):
        raise TypeError("labels: got a mapping with keys that are not str, wanted names of label sets")
    return classes_by_label_set({name: class_numbers(values, n_rows) for name, values in sets.items()}, n_rows)
