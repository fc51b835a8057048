"""Checks of the random numbers of a network itself: torch must generate new ones in each pass, for each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from layerbits.networks.execution.generators import GeneratorUse
from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.passes.probing import PROBING_SEED, Probe
from layerbits.networks.passes.random_calls import other_calls

_REMEDY = "take them from torch's global generators, for each row of the pass, or switch them off"


def check_sizes(sizes: Sequence[int], n_rows: int, sizes_of_fewer: Sequence[int], n_fewer: int) -> None:
    """Raise a ValueError unless a network generates equally many random numbers for each row.

    `sizes` and `sizes_of_fewer` are the numbers of values of each random call in passes of `n_rows` and `n_fewer` rows.
    """
    if len(sizes) != len(sizes_of_fewer):
        raise other_calls(f"{len(sizes)} calls for {n_rows} rows, {len(sizes_of_fewer)} for {n_fewer}")
    if [size * n_fewer for size in sizes] == [size * n_rows for size in sizes_of_fewer]:
        return
    if sum(sizes) * n_fewer == sum(sizes_of_fewer) * n_rows:
        raise other_calls(f"{sizes} numbers for {n_rows} rows, {sizes_of_fewer} for {n_fewer}")
    raise ValueError(
        f"inputs: got a network that draws {sum(sizes)} random numbers for {n_rows} rows and "
        f"{sum(sizes_of_fewer)} for {n_fewer}, wanted equally many for each row: rows that share random "
        "numbers are no independent samples; draw them for each row, or switch them off"
    )


def check_randomness(
    probe: Probe, rows: Sequence[int], signals: Mapping[str, Tensor], use: GeneratorUse
) -> dict[str, Tensor]:
    """Refuse random numbers that torch does not generate, or that are not new in each pass.

    `signals` and `use` are those of an earlier pass of `rows`, after which the probe has had further passes. Return the
    signals of another pass of `rows`, which may differ from the earlier ones by rounding.

    Raises
    ------
    ValueError
        The network uses a generator of Python or NumPy, sets the seed of a generator of torch, or makes a generator in
        every pass; or two passes with the same rows and states of torch's generators differ.
    """
    # Other threads may use the global generators, but hardly in all of the passes.
    if probe.n_with_other_generators == probe.n_passes:
        raise ValueError(
            "model: got a network that takes random numbers from a generator of Python or NumPy, wanted none: the "
            f"rows of a pass may share them, and no seed of the measurement sets them; {_REMEDY}"
        )
    if probe.n_seeded_passes and probe.n_with_seeds == probe.n_seeded_passes:
        raise ValueError(
            "model: got a network that sets the seed or the state of torch's generator in its passes, or another "
            f"thread that draws from it meanwhile, wanted new random numbers in each pass; {_REMEDY}"
        )
    repeated = probe.run(probe.rows(rows))
    for layer in signals.keys() & repeated.keys():
        is_equal = signals[layer].shape == repeated[layer].shape and are_close(signals[layer], repeated[layer])
        if not is_equal and not probe.weights.have_changed():
            raise ValueError(
                f"model: got a network whose signals in {layer!r} differ in two passes of the same rows, although "
                "torch's generators had the same states, wanted no other random numbers, and no values that a pass "
                f"leaves for the next; if they are random numbers, {_REMEDY}"
            )
    if use.given:
        _check_given_generators(probe, rows, use)
    return repeated


def _check_given_generators(probe: Probe, rows: Sequence[int], use: GeneratorUse) -> None:
    """Raise a ValueError if the network makes a generator in each pass, or sets the state of one that it keeps."""
    states = {generator: generator.get_state() for generator in use.given}
    try:
        other_states = {generator: generator.manual_seed(PROBING_SEED).get_state() for generator in states}
        probe.run(probe.rows(rows))
    finally:
        for generator, state in states.items():
            generator.set_state(state)
    for generator, state in probe.generators.given.items():
        if generator not in other_states or not state.equal(other_states[generator]):
            raise ValueError(
                "model: got a network that makes a generator, or sets the seed of one, in each pass, wanted new random "
                "numbers in each pass: the numbers of a row would be those of its position; keep a generator from pass "
                f"to pass, or {_REMEDY}"
            )
