"""Training of scalar neurons, with measurements and the true information by quadrature.

neurons.csv has the columns of `Neuron`; the figures build the networks from the parameters in it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from layerbits._base import UsageError
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.framework.tables import fill_table, read_table
from layerbits.experiments.scalar.network import Parameters, ScalarTask, parameters_of
from layerbits.experiments.scalar.settings import ScalarSettings
from layerbits.networks import evaluating, noise_of
from layerbits.training import (
    Checkpoints,
    Monitor,
    TrainingCurves,
    TrainingSession,
    load_checkpoint,
    read_information,
)

_EVALUATION_PASSES = 256  # passes of every input per loss in training.csv; its error is then a few per cent
_LARGEST_LOSS = 1e4  # a larger loss means divergence, and quadrature would need ever more points


class Neuron(NamedTuple):
    """A row of neurons.csv; `truth` is I(X;T) by quadrature, in nats."""

    epoch: int
    layer: str
    weight: float
    bias: float
    truth: float


def train_neurons(settings: ScalarSettings, task: ScalarTask, start: Parameters, folder: RunFolder) -> None:
    """Train and measure the neurons, or resume their training.

    An epoch is one step on the mean square error over all inputs, with new noise. The training writes training.csv,
    information.csv, neurons.csv and a checkpoint at each measured epoch. Loss and accuracy are means over many passes;
    an output is correct if it lies on the same side of the mean of all targets as its own target.
    """
    network = task.network(start, settings.sigma).to(settings.device)
    inputs, targets, labels = (data.to(settings.device) for data in task.data())
    optimizer = torch.optim.SGD(network.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    repeated_data = inputs.repeat(_EVALUATION_PASSES, 1), targets.repeat(_EVALUATION_PASSES, 1)
    measured_epochs, path = settings.measured_epochs, folder.path

    def after_epoch(epoch: int) -> None:
        if epoch in measured_epochs:
            write_neurons(settings, task, start, path, last_epoch=epoch)

    session = TrainingSession(
        Checkpoints(network, optimizer, at=measured_epochs, directory=path, run=settings.identity()),
        TrainingCurves(
            network,
            {"train": repeated_data},
            at=settings.evaluated_epochs,
            directory=path,
            evaluate=_evaluate_regression,
        ),
        Monitor(network, inputs, labels, at=measured_epochs, directory=path, settings=settings.measurement),
        phase=folder.phase,
        seed=settings.seed,
    )
    session.run(
        functools.partial(_train, network, optimizer, inputs, targets),
        epochs=settings.epochs,
        name=f"epochs, {len(measured_epochs)} measured",
        after_epoch=after_epoch,
    )
    write_neurons(settings, task, start, path, last_epoch=settings.epochs)  # for a resumed run that lost the table


def write_neurons(
    settings: ScalarSettings, task: ScalarTask, start: Parameters, path: Path, *, last_epoch: int
) -> None:
    """Compute the true information at the measured epochs up to `last_epoch` and write neurons.csv.

    Parameters
    ----------
    settings, task, start
        As in `train_neurons`.
    path : pathlib.Path
        Folder of the run, with the checkpoints.
    last_epoch : int
        A trained epoch.
    """
    network = task.network(start, settings.sigma)
    layers = list(noise_of(network))

    def neuron_row(cell: tuple[int, int]) -> Neuron:
        epoch, number = cell
        load_checkpoint(path, epoch, network, run=settings.identity())
        parameters = parameters_of(network)
        truth = task.information(parameters, settings.sigma, neuron=number)
        return Neuron(epoch, layers[number], *parameters[number], truth)

    epochs = [epoch for epoch in settings.measured_epochs if epoch <= last_epoch]
    cells = list(itertools.product(epochs, range(len(start))))
    fill_table(path / "neurons.csv", Neuron, cells, neuron_row, key=lambda cell: (cell[0], layers[cell[1]]))


def summarize(settings: ScalarSettings, path: Path) -> dict[str, float]:
    """Return interval and true I(X;T) of each layer at peak and end, and how many intervals contain the true value."""
    tables, neurons = read_information(path / "information.csv"), read_table(path / "neurons.csv", Neuron)
    numbers: dict[str, float] = {}
    for layer in dict.fromkeys(neuron.layer for neuron in neurons):
        truths = {neuron.epoch: neuron.truth for neuron in neurons if neuron.layer == layer}
        peak_epoch = max(truths, key=truths.__getitem__)
        numbers[f"{layer}_peak_epoch"] = peak_epoch
        for name, epoch in (("peak", peak_epoch), ("final", settings.epochs)):
            row = tables[epoch][layer, "I(X;T)"]
            numbers |= {f"{layer}_{name}_lower": row.lower, f"{layer}_{name}_upper": row.upper}
            numbers[f"{layer}_{name}_truth"] = truths[epoch]
    rows = [tables[neuron.epoch][neuron.layer, "I(X;T)"] for neuron in neurons]
    correct = [row.lower <= neuron.truth <= row.upper for row, neuron in zip(rows, neurons, strict=True)]
    return numbers | {"intervals": len(correct), "intervals_that_contain_the_truth": sum(correct)}


def _train(
    network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor, epochs: Iterable[int]
) -> Iterator[int]:
    for epoch in epochs:
        optimizer.zero_grad()
        mse_loss(network(inputs), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield epoch


def _evaluate_regression(model: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[float, float]:
    with evaluating(model), torch.no_grad():
        outputs = model(inputs)
    loss = mse_loss(outputs, targets).item()
    if loss > _LARGEST_LOSS:
        raise UsageError(f"learning_rate: training diverges, with a loss of {loss:g}; wanted a lower rate")
    correct = (outputs > targets.mean()) == (targets > targets.mean())
    return loss, correct.double().mean().item()
