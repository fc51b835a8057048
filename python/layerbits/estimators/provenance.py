"""Hashes of the network and the data of a measurement, and its versions, seed and device."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from layerbits.estimators.problem import Problem
from layerbits.kernels import environment, tensor_bytes
from layerbits.networks import DropoutNoise, GaussianNoise, RelativeSigma


def provenance_of_table(problem: Problem, seed: int) -> dict[str, object]:
    """Return the versions, threads and instruction sets, the seed, and hashes of weights, inputs and labels."""
    data = problem.inputs
    return {
        **environment_of(problem),
        "seed": seed,
        "weights": network_digest(problem),
        "inputs": data_digest(data.tensors),
        "labels": labels_digest(tuple(data.labels.values())),
    }


def environment_of(problem: Problem) -> dict[str, str]:
    """Return the versions, threads and instruction sets, and the device of the network."""
    parameter = next(problem.network.original.parameters(), problem.inputs.tensors[0])
    return {**environment(), "device": str(parameter.device)}


def network_digest(problem: Problem) -> str:
    """Return a hash of the measured weights, buffers and noise; only registered submodules have a part in it."""
    noise = json.dumps(noise_description(problem))
    problem.network.restore()  # the buffers
    network = problem.network.module
    return data_digest((*network.parameters(), *network.buffers(), noise))


def noise_description(problem: Problem) -> object:
    """Return the noise of a problem, as it stands in information.json."""
    sigmas = problem.sigma.values() if isinstance(problem.sigma, Mapping) else [problem.sigma]
    if any(isinstance(sigma, RelativeSigma) for sigma in sigmas):
        # The noise of the layers changes with the weights; the shares do not.
        keys = list(problem.sigma) if isinstance(problem.sigma, Mapping) else ["**"]
        return {
            key: repr(sigma)
            if isinstance(sigma, DropoutNoise | RelativeSigma)
            else data_digest(sigma.scale if isinstance(sigma, GaussianNoise) else sigma)
            for key, sigma in zip(keys, sigmas, strict=True)
        }
    noise_of_layers = problem.network.noise.values()
    if any(isinstance(noise, DropoutNoise) for noise in noise_of_layers):
        return [
            repr(noise) if isinstance(noise, DropoutNoise) else data_digest(noise.scale) for noise in noise_of_layers
        ]
    scales = [noise.scale for noise in noise_of_layers if not isinstance(noise, DropoutNoise)]
    is_isotropic = len(set(map(str, scales))) == 1 and isinstance(scales[0], float)
    return scales[0] if is_isotropic else data_digest(tuple(scales))


def labels_digest(labels: tuple[object, ...]) -> str:
    """Return a hash of the class numbers of all label sets; empty if there are none."""
    return data_digest(labels or None)


def data_digest(data: object) -> str:
    """Return a hash of the values of a tensor, an array or a number, or of a tuple of them; empty for None."""
    if data is None:
        return ""
    hash_ = hashlib.sha256()
    for part in data if isinstance(data, tuple) else (data,):
        hash_.update(str(np.shape(part)).encode())
        if isinstance(part, Tensor):
            for values in tensor_bytes(part):
                hash_.update(values)
        else:
            # Inputs may be as large as the memory, so they are not copied.
            hash_.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return hash_.hexdigest()
