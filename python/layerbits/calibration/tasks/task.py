"""What a task with a known answer is: something to measure, and what measuring it should give."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import skip_init

from layerbits.networks import NoisyModule, noisify

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Truth:
    """A quantity that is known, in nats.

    Attributes
    ----------
    value : float
        The quantity.
    error : float
        `value` is not further than this from the truth.
    spread : float
        Standard deviation, given the input, of what an information is the mean of: log p(T|X) - log p(T) for I(X;T),
        log p(T|Y) - log p(T) for I(T;Y), log p(T|X) - log p(T|Y) for I(X;T|Y). With n queries spread evenly over the
        inputs, whoever knows the densities has the standard error ``spread / sqrt(n)``. NaN for entropies.
    source : str
        ``"closed form"``, ``"quadrature"`` (`error` is what refining the grid changed) or ``"limit"`` (`error` is
        proved).
    """

    value: float
    error: float
    spread: float
    source: str


Truths = Mapping[str, Truth]


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """Something whose information is known.

    Attributes
    ----------
    name, description : str
        What it is called, and what it is there to show.
    sigma : float
        Standard deviation of the noise.
    find_truths : callable
        Works out `truths`.
    """

    name: str
    description: str
    sigma: float
    find_truths: Callable[[], Truths] = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        """Make the arrays read-only: the lists of tasks are shared."""
        for value in vars(self).values():
            for array in value if isinstance(value, tuple) else (value,):
                if isinstance(array, np.ndarray):
                    array.setflags(write=False)

    @functools.cached_property
    def truths(self) -> Truths:
        """The known quantities by name (``"I(X;T)"``, ``"h(T)"``, ...); worked out once, in less than a second."""
        return types.MappingProxyType(dict(self.find_truths()))


@dataclasses.dataclass(frozen=True, eq=False)
class MixtureTask(Task):
    """X picks a center, and T = S + Z is the center with noise.

    Attributes
    ----------
    centers : array of shape (n, d)
        Values of S.
    weights : array of shape (n,) or None
        Their probabilities; equal for None.
    """

    centers: Floats
    weights: Floats | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkTask(Task):
    """X is uniform over inputs of a noisy network, and T is its last layer.

    Attributes
    ----------
    inputs : array of shape (n, ...)
        Values of X.
    labels : integer array of shape (n,) or None
        Their classes Y.
    matrices, biases : tuple of arrays of shape (outputs, inputs) and (outputs,)
        Parameters of the layers, each ``activation(matrix x + bias)`` plus noise.
    activation : torch.nn.Tanh or torch.nn.Identity
        The type of what follows each linear map.
    """

    inputs: Floats
    labels: Integers | None
    matrices: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    activation: type[nn.Module]

    def network(self) -> NoisyModule:
        """Build the network, in float64; `layer` is the name of its last layer."""
        parts: list[nn.Module] = []
        for matrix, bias in zip(self.matrices, self.biases, strict=True):
            outputs, inputs = matrix.shape
            linear: Any = skip_init(nn.Linear, inputs, outputs, dtype=torch.float64)  # type: ignore[no-untyped-call]
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(matrix))
                linear.bias.copy_(torch.tensor(bias))
            parts += [linear, self.activation()]
        return noisify(nn.Sequential(*parts), sigma=self.sigma, layers=self.activation)

    @property
    def layer(self) -> str:
        """Name of the layer that the truths are about."""
        return str(2 * len(self.matrices) - 1)
