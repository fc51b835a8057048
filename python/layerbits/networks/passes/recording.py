"""`record`: noisy passes of a measurement that record the signals of layers.

Noise comes from counter-based streams: on one kind of device, a value depends on the seed, the layer, the draw, the
input and the unit alone, so a range of draws can be recorded alone. Random numbers of the network itself and the noise
of experts come from torch's generators, seeded and restored. The passes run in evaluation mode: batch statistics must
not depend on a pass. A pass ends after the last recorded layer, unless all noisy layers are recorded.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from layerbits.kernels import ALONE
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.planned_passes import Passes, PlannedPasses
from layerbits.networks.passes.recorder import Recorded, Recorder


@dataclasses.dataclass(frozen=True)
class Recording:
    """Signals by name, in the order of `Passes.layers`, and the compared names whose draws differ or may differ."""

    signals: dict[str, Tensor]
    differing: frozenset[str]


def record(network: MeasuredNetwork, inputs: Sequence[Tensor], passes: Passes) -> dict[str, Tensor]:
    """Run passes and return the signals or values by name; `record_draws` documents shapes, parameters and errors."""
    return record_draws(network, inputs, passes).signals


def record_draws(
    network: MeasuredNetwork, inputs: Sequence[Tensor], passes: Passes, signals: Mapping[str, Tensor] | None = None
) -> Recording:
    """Run passes and record the signals (n, draws, d) by name, or the values (n, draws, k) of readouts and views.

    Parameters
    ----------
    network : MeasuredNetwork
        The network.
    inputs : sequence of Tensor of shape (n, ...)
        The tensors among the arguments of the network, `PassInputs.tensors`.
    passes : Passes
        The draws, the layers to record, and the noise.
    signals : mapping of str to Tensor of shape (n, columns, d) or (n, columns, k), optional
        Tensors of earlier passes by name, into which the draws of names with `columns` are recorded.

    Raises
    ------
    LayerSelectionError
        A layer did not run, ran too often, or returned another number of rows than it got.
    ValueError
        The network cannot take the inputs; a signal is NaN or infinite, or so large that its rounding distorts
        the noise; emitted values have another shape than the signals of their layer.
    MemoryError
        The system has no memory for a pass, or for the signals.
    """
    planned = PlannedPasses(len(inputs[0]), passes.draws, network.rows_per_pass(inputs, passes.rows))
    # A draw that is only compared needs draw 0, which another process might have.
    compares = len(planned[0].draws) < len(passes.draws) and any(n < passes.draws.stop for n in passes.columns.values())
    processes = ALONE if len(planned) == 1 or compares else passes.processes
    n_waves = math.ceil(len(planned) / processes.size)
    recorder = Recorder(network, passes, inputs, signals or {}, keeps_passes=processes.size > 1)
    with recorder.pool, network.adding_routed_noise(passes.seed is not None):
        for wave in range(n_waves):
            # Successive passes of a process are neighbours, so that it generates the noise of few other passes.
            number = wave + processes.rank * n_waves

            def run(number: int = number) -> Recorded | None:
                return recorder.run(planned[number]) if number < len(planned) else None

            for recorded in processes.gather(f"pass {wave} of {n_waves}", run):
                if recorded is not None and processes.size > 1:
                    recorder.store(recorded)
    recorder.check_signals()  # once, after all passes: reading a result waits for the device
    differing = recorder.differences.beyond_rounding(functools.partial(passes.noise, network)) | recorder.random
    return Recording({layer: recorder.signals[layer] for layer in passes.layers}, differing)
