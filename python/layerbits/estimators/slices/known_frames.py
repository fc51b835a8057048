"""`with_frames`: sample or fit the frames of all slices of a problem, from streams that no pass uses."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from layerbits.estimators.problem import Problem
from layerbits.estimators.signal_ranges import largest_distance
from layerbits.estimators.slices.fit_passes import FitSignals, all_signals
from layerbits.estimators.slices.learnt_frames import MAX_INPUTS, LearntFrame
from layerbits.estimators.slices.principal_frames import ceiling_of_trace, principal_frame, slice_ceiling
from layerbits.kernels import NormalStream, RandomStream
from layerbits.networks import (
    FrameView,
    GaussianNoise,
    LayerPart,
    LearntSlices,
    PrincipalSlices,
    RandomFramesView,
    RandomSlices,
)


def with_frames(problem: Problem, seed: int) -> Problem:
    """Return the problem with the views of all slices.

    Raises
    ------
    LayerSelectionError, ValueError, MemoryError
        As the passes of a measurement.
    """
    if all(part.slices is None for part in problem.parts.values()):
        return problem
    fit_signals: dict[str, FitSignals] = {}
    parts = {}
    for name, part in problem.parts.items():
        if part.slices is not None and not isinstance(part.slices, RandomSlices) and part.layer not in fit_signals:
            fit_signals = {part.layer: FitSignals.of(problem, part.layer, seed)}  # one layer at a time, to save memory
        parts[name] = _with_view(problem, part, fit_signals.get(part.layer), seed)
    return dataclasses.replace(problem, parts=parts)


def _with_view(problem: Problem, part: LayerPart, fit: FitSignals | None, seed: int) -> LayerPart:
    """Return a part with its view; `fit` are the signals for slices that are fitted."""
    slices, layer = part.slices, part.layer
    if slices is None:
        return part
    noise, index = problem.network.noise[layer], problem.network.layer_names.index(layer)
    assert isinstance(noise, GaussianNoise), "LayerPart.noise refuses other noise"
    if isinstance(slices, RandomSlices):
        normal = NormalStream(seed, RandomStream.FRAMES, index, slices.k)
        return dataclasses.replace(part, view=_random_view(problem, part, slices, normal, noise))
    assert fit is not None
    if isinstance(slices, PrincipalSlices):
        frame = principal_frame(fit.signals.flatten(0, 1), slices.k)
    else:
        stream = NormalStream(seed, RandomStream.SLICE_FIT_NOISE, index)
        frame = _learnt_frame(problem, slices, fit, noise).fit(slices.k, stream)
    return dataclasses.replace(part, view=FrameView(frame))


def _random_view(
    problem: Problem, part: LayerPart, slices: RandomSlices, normal: NormalStream, noise: GaussianNoise
) -> FrameView | RandomFramesView:
    """Return the view of random frames; of one frame if a slice has all units, because all have equal information."""
    dim = int(np.prod(problem.network.unit_shape(part.layer)))
    count = 1 if slices.k == dim else slices.count
    n_bytes = 24 * count * dim * slices.k  # normal values, frames and their copy in the view, in float64
    if n_bytes > problem.max_memory:
        raise ValueError(
            f"count: got {count} frames of {dim} x {slices.k} for {part.layer!r}, which take {n_bytes} bytes, wanted "
            f"at most max_memory, {problem.max_memory}; lower count, or raise max_memory"
        )
    frames = random_frames(normal, count, dim, slices.k)
    if count == 1:
        return FrameView(frames[0])
    call = next(call for call in problem.network.calls if call.name == part.layer)
    diameter = largest_distance(call, noise, dim) / noise.whitened_sigma
    signals = all_signals(problem, part.layer, seed=0)
    return dataclasses.replace(
        RandomFramesView.of(part.layer, frames, noise),
        ceiling=ceiling_of_trace((diameter / 2) ** 2, slices.k),
        ceiling_of_function=math.inf if signals is None else slice_ceiling(signals, noise, slices.k),
    )


def random_frames(normal: NormalStream, count: int, dim: int, size: int) -> Tensor:
    """Sample uniform frames (count, dim, size) in float64: Q of the QR decomposition of normal values.

    Q is uniform if the diagonal of R is positive (Mezzadri, How to Generate Random Matrices from the Classical Compact
    Groups, 2007). The first frames do not depend on `count`.
    """
    values = torch.empty(count, dim, size, dtype=torch.float64)
    normal.fill(values)
    frames, triangles = torch.linalg.qr(values)
    uniform: Tensor = frames * triangles.diagonal(dim1=1, dim2=2).sign()[:, None, :]
    return uniform


def _learnt_frame(problem: Problem, slices: LearntSlices, fit: FitSignals, noise: GaussianNoise) -> LearntFrame:
    signals, inputs = fit.signals[:MAX_INPUTS], fit.inputs[:MAX_INPUTS]
    if len(fit.inputs) > MAX_INPUTS:  # even steps, since inputs may be sorted by class
        chosen = np.linspace(0, len(fit.inputs) - 1, MAX_INPUTS).round().astype(np.int64)
        signals, inputs = fit.signals[torch.from_numpy(chosen)], fit.inputs[chosen]
    if slices.target == "X":
        return LearntFrame(signals, noise, torch.arange(len(inputs)))
    numbers = np.unique(problem.classes.numbers[inputs], return_inverse=True)[1]
    return LearntFrame(signals, noise, torch.from_numpy(numbers))
