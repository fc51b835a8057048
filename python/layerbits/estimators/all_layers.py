"""`measure_layers`: the measurement of all layers of a problem, in common passes and in rounds."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping

from layerbits._base import InformationRow, InformationTable, progress_bar, show_text
from layerbits.estimators.data_processing import Chains
from layerbits.estimators.known_layer import KnownLayer, known_layers, refuse_draws
from layerbits.estimators.layer_groups import part_groups
from layerbits.estimators.layer_measurement import LayerMeasurement, sample_seeds
from layerbits.estimators.layer_rounds import LayerRounds
from layerbits.estimators.layer_rows import layer_rows
from layerbits.estimators.layer_sample import LayerSample, sample_layers
from layerbits.estimators.problem import Problem
from layerbits.estimators.round_schedule import run_rounds
from layerbits.estimators.settings import MeasurementSettings
from layerbits.estimators.slices import with_frames, with_slice_notes, with_symbols
from layerbits.networks import naming_memory


@naming_memory()
def measure_layers(problem: Problem, settings: MeasurementSettings, n_tables: int = 1) -> InformationTable:
    """Measure every layer of a problem; `layer_information` documents the result.

    Simultaneous intervals hold together with those of `n_tables` - 1 other tables of this problem.

    Raises
    ------
    LayerSelectionError, TypeError, ValueError, MemoryError
        A layer does not run in a pass or gives no finite signals; a layer behind noise has a single draw; the signals
        do not fit into memory.
    """
    problem.check_settings(settings)
    problem.check_same_on_all_processes(settings)
    problem = with_frames(problem, settings.seed)
    deadline, chains = time.monotonic() + settings.max_seconds, Chains.of(problem, simultaneous=settings.simultaneous)
    risk = settings.risk_of_each(problem.n_rows * n_tables)
    rounds = {name: LayerRounds(problem, settings, name, risk, chains.shares(name)) for name in problem.parts}
    with progress_bar((), name="information", total=len(rounds)) as progress:
        show = functools.partial(show_text, progress)
        for name, samples, seconds_of_passes in _samples(problem, settings):
            rounds[name].measure(samples, seconds_of_passes, show)
            samples.clear()  # freed before the passes of the next group
        progress.update(len(rounds))
        # A further round of one layer may widen the ends that others took over, so these may need rounds of their own.
        while wide_layers := _wide_layers(rounds, chains, settings.tolerance):
            progress.update(-len(wide_layers))
            run_rounds(wide_layers, deadline, show, progress.update)
    measurements = _by_label_set(rounds)
    rows: list[InformationRow] = []
    information: dict[str, InformationRow] = {}
    for name, part in problem.parts.items():
        combined = {labels: chains.combined(name, of_labels) for labels, of_labels in measurements.items()}
        # I(X;T) is at most that of each layer through which alone the input acts on T.
        earlier = [information[layer] for layer in chains.earlier.get(name, ())]
        previous = min(earlier, key=lambda row: row.upper, default=None)
        flags, seconds = part.flags(problem.network), rounds[name].seconds
        rows_of_part = layer_rows(name, problem.label_sets, combined, settings.estimator, seconds, flags, previous)
        information[name] = rows_of_part[0]
        rows += with_symbols(rows_of_part, part.slices)
    table = InformationTable(tuple(with_slice_notes(rows, problem.parts)), problem.limits)
    problem.network.weights.check()
    return problem.workers.processes.check_result("the measurement", table)


def _samples(
    problem: Problem, settings: MeasurementSettings
) -> Iterator[tuple[str, list[LayerSample | KnownLayer], float]]:
    """Yield each part, its samples and the seconds of its passes; only the samples of one group are held together."""
    known = known_layers(problem, problem.parts, settings)
    seeds = sample_seeds(settings, settings.seed)
    draws = settings.draws_for(problem.n_inputs)
    for group in part_groups(problem, draws * len(seeds)):
        started = time.monotonic()
        recorded = tuple(name for name in group if name not in known or known[name].beside_draws)
        samples = [sample_layers(problem, recorded, draws, settings.queries, seed) for seed in seeds if recorded]
        refuse_draws(settings, samples)
        seconds = problem.workers.processes.agreed("seconds", time.monotonic() - started)
        for name in group:
            of_part: list[LayerSample | KnownLayer] = [by_name.pop(name) for by_name in samples if name in by_name]
            of_part += [known[name]] if name in known else []  # in place: the caller clears the only list of samples
            yield name, of_part, seconds


def _by_label_set(rounds: Mapping[str, LayerRounds]) -> dict[str, dict[str, LayerMeasurement]]:
    """Return the last measurement of each part, by label set and name."""
    label_sets = next(iter(rounds.values())).measurements
    return {labels: {name: rounds[name].measurements[labels] for name in rounds} for labels in label_sets}


def _wide_layers(rounds: Mapping[str, LayerRounds], chains: Chains, tolerance: float | None) -> dict[str, LayerRounds]:
    """Return the parts that no limit has ended and whose intervals, with ends of others, exceed the tolerance."""
    if tolerance is None:
        return {}
    measurements = next(iter(_by_label_set(rounds).values()))
    combined = {name: chains.combined(name, measurements) for name in rounds}
    return {
        name: rounds[name]
        for name, measurement in combined.items()
        if measurement.estimates["I(X;T)"].interval.half_width > tolerance and measurement.shortfall is None
    }
