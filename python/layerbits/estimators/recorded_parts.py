"""The signals of layers and of readouts, recorded in common passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from layerbits.estimators.problem import Problem
from layerbits.kernels import as_floats
from layerbits.networks import LayerPart, Passes, View, record


def record_parts(
    problem: Problem, names: Sequence[str], draws: range, seed: int, reduced: Mapping[str, View]
) -> dict[str, Tensor]:
    """Return the signals (n, draws, d) of the parts of a problem with these names, all from the same passes.

    Parameters
    ----------
    reduced : mapping of str to View
        Views on fewer dimensions, of the signals of parts, that are recorded in place of the signals.

    Raises
    ------
    LayerSelectionError, TypeError, ValueError
        As in `record`; the signals are neither float32 nor float64.
    """
    if not names or not draws:
        return {}
    by_layer: dict[str, list[str]] = {}
    for name in names:
        by_layer.setdefault(problem.parts[name].layer, []).append(name)
    views = {
        layer: _SideBySide([_views_of(problem.parts[name], reduced.get(name)) for name in of_layer])
        for layer, of_layer in by_layer.items()
        if any(problem.parts[name].view or name in reduced for name in of_layer)
    }
    recorded = record(problem.network, problem.inputs.tensors, Passes(tuple(by_layer), draws, seed, views=views))
    signals: dict[str, Tensor] = {}
    for layer, of_layer in by_layer.items():
        values = as_floats(f"signals of layer {layer!r}", recorded[layer])
        widths = views[layer].widths if layer in views else [values.shape[2]]
        signals |= dict(zip(of_layer, torch.split(values, widths, 2), strict=True))
    return {name: signals[name] for name in names}


class _SideBySide:
    """A view of a layer that holds the values of several views beside one another.

    Attributes
    ----------
    widths : list of int
        Number of values of each view, known from the first pass on.
    """

    def __init__(self, views: Sequence[Sequence[View]]) -> None:
        self.views = views
        self.widths: list[int] = []

    def __call__(self, signals: Tensor) -> Tensor:
        values = [self._values(signals, views) for views in self.views]
        self.widths = [value.shape[-1] for value in values]
        return values[0] if len(values) == 1 else torch.cat(values, -1)

    @staticmethod
    def _values(signals: Tensor, views: Sequence[View]) -> Tensor:
        for view in views:
            signals = view(signals)
        return signals


def _views_of(part: LayerPart, reduced: View | None) -> list[View]:
    """Return the views that follow one another: the readout of a part, then the view on fewer dimensions."""
    return [view for view in (part.view, reduced) if view is not None]
