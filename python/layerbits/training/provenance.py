"""The settings, the noise and hashes of the data of a measurement, as information.json records them."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from layerbits.estimators import (
    MeasurementSettings,
    Problem,
    data_digest,
    decoder_descriptions,
    labels_digest,
    noise_description,
)
from layerbits.training.history import LIMITS


def provenance_of(
    problem: Problem, settings: MeasurementSettings, epochs: Sequence[int], measures: Sequence[str]
) -> dict[str, Any]:
    """Return the settings, the noise and hashes of the data, for the epochs and the names of the measures."""
    data = problem.inputs
    # A layer behind no noise has one draw, whatever the default number is.
    are_behind_noise = not problem.network.behind_no_noise.issuperset(problem.layers)
    return {
        # Compared before `at`, which is recorded for simultaneous intervals alone, because the epochs share their risk.
        "simultaneous": settings.simultaneous,
        "at": list(epochs) if settings.simultaneous else None,
        "layers": list(problem.parts),
        "measurement_noise": not problem.network.adds_noise,  # before the draws, which differ with it
        "network": hashlib.sha256(_structure(problem.model).encode()).hexdigest(),
        "inputs": data_digest(data.tensors),
        **dataclasses.asdict(settings),
        "draws": settings.draws_for(problem.n_inputs) if are_behind_noise else settings.draws,
        "sigma": noise_description(problem),
        "decoders": decoder_descriptions(problem.decoders),
        "arguments": hashlib.sha256(repr((data.structure, data.constants)).encode()).hexdigest(),
        "labels": labels_digest(tuple(data.labels.values())),
        "label_sets": list(data.labels),
        LIMITS: problem.limits,
        **({"measures": list(measures)} if measures else {}),
    }


def _structure(model: nn.Module) -> str:
    """Return the types and settings of the modules of a network, which weights do not show."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(model))  # addresses of functions and objects differ between processes
