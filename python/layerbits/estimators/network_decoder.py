"""`NetworkDecoder`: a small network as a decoder q(x|t)."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from layerbits._base import check_count, check_positive


@dataclasses.dataclass
class NetworkDecoder:
    """A network of two hidden layers of ReLU units, trained to classify noisy values by their input.

    Where a layer is far from Gaussian given its input, such a decoder gives larger lower ends than Gaussians, at some
    ten times their cost. Training takes a fixed number of steps, each with fresh noise on random signals, with Adam and
    a learning rate that falls linearly to 0; its random numbers are seeded by the measurement.

    Parameters
    ----------
    steps : int
        Number of steps of the training.
    units : int
        Units of each hidden layer.
    batch : int
        Noisy values in a step.
    learning_rate : float
        Learning rate of the first step.

    Raises
    ------
    TypeError, ValueError
        A parameter has another type or value than wanted.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2), torch.nn.Tanh())
    >>> noisy = lb.noisify(model, sigma=0.1, layers=torch.nn.Tanh)
    >>> decoder = lb.NetworkDecoder(steps=20)
    >>> table = lb.layer_information(noisy, torch.eye(2), draws=8, decoders=[decoder])
    >>> table["3", "I(X;T)"].lower <= 0.6932  # log 2
    True
    """

    steps: int = 2000
    units: int = 256
    batch: int = 256
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("steps", "units", "batch"):
            check_count(name, getattr(self, name), minimum=1)
        check_positive("learning_rate", self.learning_rate)

    def fit(self, signals: Tensor, inputs: Tensor) -> None:
        """Train a network on signals (N r, k) and the input (N r,) of each, as `InputDecoder` documents."""
        n_inputs, dim = int(inputs.max()) + 1, signals.shape[1]
        self._center = signals.mean(0)
        self._scale = (1 + signals.var(0, correction=0)).sqrt()
        first, second = nn.Linear(dim, self.units), nn.Linear(self.units, self.units)
        network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(self.units, n_inputs))
        self._network = network.to(signals)
        optimizer = torch.optim.Adam(network.parameters(), self.learning_rate)
        for step in range(self.steps):
            optimizer.param_groups[0]["lr"] = self.learning_rate * (1 - step / self.steps)
            rows = torch.randint(len(signals), (self.batch,), device=signals.device)
            values = signals[rows]
            optimizer.zero_grad()
            loss = cross_entropy(self._logits(values + torch.randn_like(values)), inputs[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    @torch.no_grad()
    def scores(self, queries: Tensor) -> Tensor:
        """Return log q(x|t), up to a constant, for queries (m, k) and all N inputs."""
        return self._logits(queries)

    def _logits(self, values: Tensor) -> Tensor:
        logits: Tensor = self._network((values - self._center) / self._scale)
        return logits
