"""Information of every layer of a noisy network, as intervals that hold the true values.

For N inputs and r noisy passes of each, the signals s_ij of a layer give p(t|x_i) = mean_j N(t; s_ij, sigma^2 I) and
p(t) = mean_i p(t|x_i). The plug-in, made of them, is above I(X;T) in expectation, for I is convex in the channel and
p(t|x) unbiased (Goldfeld et al., Estimating Information Flow in Deep Neural Networks, ICML 2019). A decoder, made of
some of the passes and asked about the others, is below. Proofs: docs/theory.md.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence

from layerbits._base import Array, InformationRow, InformationTable, bar
from layerbits.estimators.intervals import TwoSidedEstimate
from layerbits.estimators.problem import Problem
from layerbits.estimators.refinement import Goal, refine
from layerbits.estimators.sampling import LayerSample, sample_layers
from layerbits.estimators.settings import MeasurementSettings
from layerbits.kernels import Devices, stream
from layerbits.networks import Inputs, NoisyModule
from layerbits.statistics import ceilings

# An I(X;T) this near to log N says only that the inputs are told apart.
_SATURATED = 1e-3  # nats

# An audit speaks when it fails by so many standard errors.
_AUDITED = 3

# Stream of random numbers; see `layerbits.estimators.measurement` for the others.
_SECOND_SEED_STREAM = 3


def layer_information(
    noisy: NoisyModule,
    inputs: Inputs,
    labels: Array | None = None,
    *,
    layers: str | Sequence[str] | None = None,
    draws: int = 32,
    queries: int | None = None,
    tolerance: float | None = None,
    confidence: float = 0.95,
    max_seconds: float = 300.0,
    max_draws: int = 4096,
    seed: int = 0,
    estimator: str = "pooled",
    devices: Devices = None,
) -> InformationTable:
    """Bound I(X;T), h(T) and h(T|X) of every noisy layer, for X uniform over the inputs, in nats.

    Parameters
    ----------
    noisy : NoisyModule
        What `noisify` returned.
    inputs : tensor or array of shape (n, ...), or a tuple of them
        The N = n values of X; a tuple holds the positional arguments of the network.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, a function of X; adds I(T;Y) and I(X;T|Y).
    layers : str or sequence of str, optional
        Which of ``noisy.layer_names``; all by default.
    draws : int
        Noisy passes per input, r; at least 2 behind noise, where the gap between the two bounds falls with it. Layers
        behind no noise need and take one.
    queries : int, optional
        Points per input at which densities are compared, at least 2. Behind noise they are the last of the draws, at
        most half of them. By default 4, or more for less than 4096 inputs: 16,384 in all, but behind noise at most a
        quarter of the draws.
    tolerance : float, optional
        Half width in nats that the interval of I(X;T) shall have: draws and queries are doubled, layer by layer,
        until it has, or a limit is reached, which a note says. None: `draws` and `queries` are left as they are.
    confidence : float
        Level of the intervals from `lower` to `upper`, of each by itself.
    max_seconds : float
        With a tolerance: nothing is begun that would likely end later than this after the call.
    max_draws : int
        With a tolerance: noisy passes per input at the most.
    seed : int
        Seed of all noise, of which a CUDA device has other values than the CPU.
    estimator : {"pooled", "paper"}
        "paper" takes for `value` what the paper does, the plug-in with separate samples for h(T) and h(T|X).
    devices : sequence of torch.device or str, optional
        CUDA devices that share the queries, of a network on one of them: the numbers are those of one device, where all
        are of one model. By default that of the network.

    Returns
    -------
    InformationTable
        A row for each layer and quantity. `lower` to `upper` is a confidence interval for the true quantity, `value`
        the best estimate: halfway between the decoder's bound and the plug-in less half of its first-order bias.
        Notes flag saturation at log N, limits that came before the tolerance, and audits that fail beyond the error:
        I(X;T) <= log N and I(T;Y) <= H(Y), I(X;T) not above that of the layer before, I(X;T) = I(T;Y) + I(X;T|Y).

    Raises
    ------
    NoNoiseError
        `noisy` has no noise, or it is switched off: I(X;T) is then log N or infinite.
    LayerSelectionError
        `layers` names no noisy layer.
    TypeError, ValueError
        An argument has another type, shape or value than wanted; signals are not finite.

    Notes
    -----
    Work on values of layers is done where the network and its inputs are, on the CPU or a CUDA device; what comes from
    there is one number a query.

    The lower end is rigorous for any number of queries: the decoder's bound holds for every decoder, and its terms are
    independent and bounded (`layerbits.statistics`). So is the upper end at layers behind no noise. Behind noise the
    upper end is a Student bound for the plug-in's mean, with the jackknife over the draws of each input, each left out
    with the query that it carries.
    """
    settings = MeasurementSettings(
        draws=draws, queries=queries, tolerance=tolerance, confidence=confidence, max_seconds=max_seconds,
        max_draws=max_draws, seed=seed, estimator=estimator,
    )  # fmt: skip
    return measure_layers(Problem.of(noisy, inputs, labels, layers=layers, devices=devices), settings)


def measure_layers(problem: Problem, settings: MeasurementSettings) -> InformationTable:
    """Return the table of `layer_information` for a problem and settings that have been checked."""
    began = time.monotonic()
    noisy, inputs, layers, devices = problem.noisy, problem.inputs, problem.layers, problem.devices or None
    draws, queries, tolerance, confidence, max_seconds, max_draws, seed, estimator = dataclasses.astuple(settings)

    def sample(
        some: str | Sequence[str] | None, seed: int, draws: int, queries: int | None
    ) -> list[dict[str, LayerSample]]:
        seeds = [seed] if estimator == "pooled" else [seed, int(stream(seed, _SECOND_SEED_STREAM).integers(2**62))]
        return [
            sample_layers(noisy, inputs, layers=some, draws=draws, queries=queries, seed=one, devices=devices)
            for one in seeds
        ]

    samples = sample(layers, seed, draws, queries)
    n_inputs = len(next(iter(samples[0].values())).signals)
    classes = problem.classes.numbers if problem.classes.labelled else None
    goal = None if tolerance is None else Goal(float(tolerance), max_draws, float(max_seconds), began + max_seconds)
    rows: list[InformationRow] = []
    shown = bar(samples[0], name="information", total=len(samples[0]))
    for layer in shown:
        started = time.monotonic()

        def again(seed: int, draws: int, queries: int, layer: str = layer) -> list[LayerSample]:
            return [one[layer] for one in sample(layer, seed, draws, queries)]

        def report(state: str, layer: str = layer) -> None:
            shown.set_postfix_str(f"{layer}: {state}")

        key = (seed, noisy.layer_names.index(layer))
        own, risk = [one[layer] for one in samples], (1 - float(confidence)) / 2
        last, brackets, shortfall = refine(own, again, classes, goal, risk, key, report)
        found = _rows(layer, last, brackets, estimator, time.monotonic() - started)
        before = rows[-len(found)] if rows else None
        rows += _audited(found, before, ceilings(n_inputs, classes), shortfall)
    return InformationTable(tuple(rows))


def _rows(
    layer: str, sample: LayerSample, brackets: Mapping[str, TwoSidedEstimate], estimator: str, seconds: float
) -> list[InformationRow]:
    return [
        InformationRow(
            layer=layer,
            quantity=quantity,
            estimator=estimator,
            value=bracket.value,
            standard_error=bracket.standard_error,
            lower=bracket.lower,
            upper=bracket.upper,
            unit="nats",
            draws=sample.signals.shape[1],
            seconds=seconds,
            plug_in=bracket.plug_in,
            plug_in_error=bracket.plug_in_error,
            decoded=bracket.decoded,
            decoded_error=bracket.decoded_error,
            decoder=bracket.decoder,
            limited_by=bracket.limited_by,
        )
        for quantity, bracket in brackets.items()
    ]


def _audited(
    rows: Sequence[InformationRow], before: InformationRow | None, most: Mapping[str, float], shortfall: str
) -> list[InformationRow]:
    """Note what theory rules out beyond the error, and what says nothing; `most` is what entropies allow."""
    found = {row.quantity: row for row in rows}
    notes: dict[str, list[str]] = {quantity: [] for quantity in found}
    if shortfall:
        notes["I(X;T)"].append(shortfall)
    for quantity, row in found.items():
        if row.lower > row.upper:
            notes[quantity].append("its bounds exclude each other: raise draws")
        if row.plug_in - row.plug_in_error * _AUDITED > (ceiling := most.get(quantity, math.inf)) + _SATURATED:
            notes[quantity].append(f"above its ceiling {ceiling:.4f}: raise draws or queries")
    whole = found["I(X;T)"]
    if 0 < most["I(X;T)"] <= min(whole.plug_in, whole.upper) + _SATURATED:
        notes["I(X;T)"].append("saturated at log N: the inputs are told apart, and no more is known")
    if before is not None and whole.lower > before.upper + _SATURATED:
        notes["I(X;T)"].append(f"above {before.layer!r} before it: raise draws, or the layers are no chain")
    if "I(T;Y)" in found:
        parts = found["I(T;Y)"], found["I(X;T|Y)"]
        low, high = (sum(getattr(part, end) for part in parts) for end in ("lower", "upper"))
        if low > whole.upper + _SATURATED or high < whole.lower - _SATURATED:
            notes["I(X;T)"].append("not the sum of I(T;Y) and I(X;T|Y): raise draws or queries")
    return [dataclasses.replace(row, note="; ".join(notes[row.quantity])) for row in rows]
