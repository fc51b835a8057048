"""The types of a task: a mixture or a network, with the true values of its information and entropies."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import skip_init

from layerbits._base import Doubles, Integers
from layerbits.networks import noisify


@dataclasses.dataclass(frozen=True)
class Truth:
    """The true value of a quantity, in nats.

    Attributes
    ----------
    value : float
        The value.
    error : float
        Bound on the distance of `value` from the exact value.
    spread : float
        Standard deviation, given the input, of log p(T|X) - log p(T) for I(X;T), of log p(T|Y) - log p(T) for I(T;Y),
        of log p(T|X) - log p(T|Y) for I(X;T|Y). With known densities, n queries divided evenly among the inputs have
        the standard error ``spread / sqrt(n)``. NaN for entropies.
    source : str
        ``"closed form"``, ``"quadrature"`` (`error` is the change from a coarser grid) or ``"limit"`` (`error` has a
        proof).

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.V1 if task.name == "bpsk-1")
    >>> truth = task.truths["I(X;T)"]
    >>> round(truth.value, 4), truth.error < 1e-6
    (0.3368, True)
    """

    value: float
    error: float
    spread: float
    source: str


Truths = Mapping[str, Truth]


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A channel X -> T whose information is known.

    Attributes
    ----------
    name, description : str
        Name of the task, and the case that the task covers.
    compute_truths : callable
        Returns the true values by quantity; `truths` caches them.

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.V1 if task.name == "bpsk-1")
    >>> isinstance(task, lb.calibration.Task), list(task.truths)
    (True, ['I(X;T)', 'h(T)', 'h(T|X)'])
    """

    name: str
    description: str
    compute_truths: Callable[[], Truths] = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        """Keep read-only copies of the arrays, because the lists of tasks are shared."""
        for name, value in list(vars(self).items()):
            if isinstance(value, Mapping):
                value = {key: _read_only(part) for key, part in value.items()}
            elif type(value) is tuple:
                value = tuple(map(_read_only, value))
            object.__setattr__(self, name, _read_only(value))

    @functools.cached_property
    def truths(self) -> Truths:
        """The true values by quantity (``"I(X;T)"``, ``"h(T)"``, ...), computed once, in less than a second."""
        return types.MappingProxyType(dict(self.compute_truths()))


@dataclasses.dataclass(frozen=True, eq=False)
class MixtureTask(Task):
    """A Gaussian mixture: X selects a center S, and T = S + Z.

    Attributes
    ----------
    sigma : float
        Standard deviation of the noise.
    centers : array of shape (n, d)
        The values of S.
    weights : array of shape (n,) or None
        Probabilities of the centers; None if they are equal.

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.V1 if task.name == "bpsk-1")
    >>> task.centers.tolist(), round(task.truths["I(X;T)"].value, 6)
    ([[-1.0], [1.0]], 0.336831)
    """

    sigma: float
    centers: Doubles
    weights: Doubles | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkTask(Task):
    """The last layer T of a noisy network, with X uniform over its inputs.

    Attributes
    ----------
    sigma : float
        Standard deviation of the noise of every layer.
    inputs : array of shape (n, ...)
        The values of X.
    labels : integer array of shape (n,) or None
        Classes Y of the inputs.
    matrices, biases : tuple of arrays of shape (outputs, inputs) and (outputs,)
        Parameters of the layers, each ``activation(matrix x + bias)`` plus noise.
    activation : torch.nn.Tanh or torch.nn.Identity
        Module type of the activation function.

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.V1 if task.name == "neuron-1")
    >>> tuple(lb.noise_of(task.network())), task.layer, round(task.truths["I(X;T)"].value, 4)
    (('1',), '1', 0.845)
    """

    sigma: float
    inputs: Doubles
    labels: Integers | None
    matrices: tuple[Doubles, ...]
    biases: tuple[Doubles, ...]
    activation: type[nn.Module]

    def network(self) -> nn.Module:
        """Build the network in float64."""
        modules: list[nn.Module] = []
        for matrix, bias in zip(self.matrices, self.biases, strict=True):
            outputs, inputs = matrix.shape
            linear: Any = skip_init(nn.Linear, inputs, outputs, dtype=torch.float64)  # type: ignore[no-untyped-call]
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(matrix))
                linear.bias.copy_(torch.tensor(bias))
            modules += [linear, self.activation()]
        return noisify(
            nn.Sequential(*modules), sigma=self.sigma, layers=self.activation, inputs=torch.tensor(self.inputs[:1])
        )

    @property
    def layer(self) -> str:
        """Name of the last layer, whose true values are known."""
        return str(2 * len(self.matrices) - 1)


def _read_only(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    copy = value.copy()
    copy.setflags(write=False)
    return copy
