"""The settings, the noise and hashes of the data of a measurement, as they stand in information.json."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from layerbits.estimators import MeasurementSettings, Problem, decoder_descriptions
from layerbits.networks import DropoutNoise, GaussianNoise, RelativeSigma
from layerbits.training.history import LIMITS


def provenance_of(
    problem: Problem, settings: MeasurementSettings, epochs: Sequence[int], measures: Sequence[str]
) -> dict[str, Any]:
    """Return the settings, the noise and hashes of the data, for the epochs and the names of the measures."""
    data = problem.inputs
    return {
        "at": list(epochs) if settings.simultaneous else None,
        "layers": list(problem.parts),
        "network": hashlib.sha256(_structure(problem.model).encode()).hexdigest(),
        **dataclasses.asdict(settings),
        "draws": settings.draws_for(problem.n_inputs),
        "sigma": _noise_description(problem),
        "decoders": decoder_descriptions(problem.decoders),
        "measurement_noise": not problem.network.adds_noise,
        "inputs": digest(data.tensors),
        "arguments": hashlib.sha256(repr((data.structure, data.constants)).encode()).hexdigest(),
        "labels": digest(tuple(data.labels.values())),
        "label_sets": list(data.labels),
        LIMITS: problem.limits,
        **({"measures": list(measures)} if measures else {}),
    }


def network_digest(problem: Problem) -> str:
    """Return a hash of the weights, the buffers and the noise of a network."""
    noise = json.dumps(_noise_description(problem))
    network = problem.network.original
    return digest((*network.parameters(), *network.buffers(), noise))


def _structure(model: nn.Module) -> str:
    """Return the types and settings of the modules of a network, which weights do not show."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(model))  # functions and objects have other addresses in each process


def _noise_description(problem: Problem) -> object:
    """Return the noise of a problem, as it stands in information.json."""
    sigmas = problem.sigma.values() if isinstance(problem.sigma, Mapping) else [problem.sigma]
    if any(isinstance(sigma, RelativeSigma) for sigma in sigmas):
        # The noise of the layers changes with the weights; the shares do not.
        keys = list(problem.sigma) if isinstance(problem.sigma, Mapping) else ["**"]
        return {
            key: repr(sigma)
            if isinstance(sigma, DropoutNoise | RelativeSigma)
            else digest(sigma.scale if isinstance(sigma, GaussianNoise) else sigma)
            for key, sigma in zip(keys, sigmas, strict=True)
        }
    noise_of_layers = problem.network.noise.values()
    if any(isinstance(noise, DropoutNoise) for noise in noise_of_layers):
        return [repr(noise) if isinstance(noise, DropoutNoise) else digest(noise.scale) for noise in noise_of_layers]
    scales = [noise.scale for noise in noise_of_layers if not isinstance(noise, DropoutNoise)]
    is_isotropic = len(set(map(str, scales))) == 1 and isinstance(scales[0], float)
    return scales[0] if is_isotropic else digest(tuple(scales))


def digest(data: object) -> str:
    """Return a hash of the values of a tensor, an array or a number, or of a tuple of them; empty for None."""
    if data is None:
        return ""
    hash_ = hashlib.sha256()
    for part in data if isinstance(data, tuple) else (data,):
        hash_.update(str(np.shape(part)).encode())
        if isinstance(part, Tensor):
            # NumPy has no bfloat16, so bytes are hashed.
            part = part.detach().cpu().flatten().contiguous().view(torch.uint8)
        # Inputs may be as large as the memory, so they are not copied.
        hash_.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return hash_.hexdigest()
