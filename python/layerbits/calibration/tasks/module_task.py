"""Noisy networks of any structure whose information is known, also between two layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from layerbits._base import Doubles, Integers
from layerbits.calibration.tasks.task import Task
from layerbits.networks import DropoutNoise, noisify

# Name of the information between the two layers of `ModuleTask.pair`.
BETWEEN = "I(T_k;T_l)"

Function = Callable[[Tensor], Tensor]


class Pointwise(nn.Module):
    """A layer that applies a function."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(x)


class Network(nn.Module):
    """Named layers, registered in the given order, that `wiring(layers, x)` connects."""

    def __init__(self, wiring: Callable[[Mapping[str, nn.Module], Tensor], Tensor], **functions: Function) -> None:
        super().__init__()
        for name, function in functions.items():
            self.add_module(name, Pointwise(function))
        self.wiring = wiring

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers."""
        return self.wiring(dict(self.named_children()), x)


def chain(*functions: Function) -> nn.Module:
    """Return layers "0", "1", ..., each a function of the layer before."""
    return nn.Sequential(*map(Pointwise, functions))


@dataclasses.dataclass(frozen=True, eq=False)
class ModuleTask(Task):
    """A layer T of a noisy network of any structure, with X uniform over its inputs.

    If `truths` has no ``"I(T_k;T_l)"``, the layers of `pair` are no chain, and `information_between_layers` must refuse
    them.

    Attributes
    ----------
    inputs : array of shape (n, ...)
        The values of X; their dtype is that of the network.
    labels : integer array of shape (n,)
        Classes Y of the inputs.
    build : callable
        Returns the network without noise.
    noise : mapping of str to float, array of shape (d, d) or DropoutNoise
        Standard deviation of the noise of each noisy layer, its covariance, or noise that grows with the signal.
    pair : tuple of str or None
        The layers k and l of I(T_k;T_l).
    layer : str
        Name of the layer T.
    may_be_refused : bool
        Whether a refusal of the measurement is a right answer.

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.V2 if task.name == "gate")
    >>> task.pair, "I(T_k;T_l)" in task.truths, round(task.truths["I(X;T)"].value, 4)
    (('a', 'b'), False, 0.03)
    """

    inputs: Doubles
    labels: Integers
    build: Callable[[], nn.Module] = dataclasses.field(repr=False)
    noise: Mapping[str, float | Doubles | DropoutNoise]
    layer: str
    pair: tuple[str, str] | None = None
    may_be_refused: bool = False

    def network(self) -> nn.Module:
        """Build the network with its noise."""
        sigma = {
            name: deviation if isinstance(deviation, float | DropoutNoise) else torch.tensor(deviation)
            for name, deviation in self.noise.items()
        }
        return noisify(self.build(), sigma=sigma, layers=list(sigma), inputs=torch.tensor(self.inputs[:1]))
