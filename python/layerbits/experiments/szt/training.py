"""Training of a network on the SZT data, with measurements if the network is noisy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from layerbits.data import split
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.szt.settings import SztSettings
from layerbits.networks import is_noisy
from layerbits.training import (
    Batches,
    Checkpoints,
    Monitor,
    TrainingCurves,
    TrainingSession,
    log_spaced,
    read_information,
    read_training,
    train,
)


def train_network(
    settings: SztSettings,
    model: nn.Module,
    folder: RunFolder,
    *,
    variant: str = "",
    after_step: Callable[[], None] | None = None,
) -> None:
    """Train a network, or resume its training, and measure a noisy network at the chosen epochs.

    The training writes training.csv, a checkpoint at each measured epoch and, for a noisy network, information.csv.

    Parameters
    ----------
    settings : SztSettings
        Settings of the experiment.
    model : torch.nn.Module
        The untrained network, which is moved to the device of the settings and ends in its state after the last epoch.
    folder : RunFolder
        Folder of the run.
    variant : str, optional
        If the run has several networks: name of the network and of its folder inside `folder`.
    after_step : callable, optional
        Called after each step of the optimizer, for instance the step of a regularizer.
    """
    path = folder.path / variant
    model.to(settings.device)
    # Fused Adam reduces the time of a step of so small a network by a quarter.
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    if after_step is not None:
        optimizer.register_step_post_hook(lambda *_: after_step())
    splits = _splits(settings)
    run = settings.identity(variant)
    checkpoints = Checkpoints(model, optimizer, at=settings.measured_epochs, directory=path, run=run)
    evaluated_epochs = log_spaced(1, settings.epochs, settings.evaluations)
    curves = TrainingCurves(model, splits, at=evaluated_epochs, directory=path)
    monitor = _monitor(settings, model, path) if is_noisy(model) else None
    batches = Batches(*splits["train"], batch_size=settings.batch_size, seed=settings.seed)
    TrainingSession(checkpoints, curves, monitor, phase=folder.phase, seed=settings.seed).run(
        functools.partial(train, model, optimizer, batches),
        epochs=settings.epochs,
        name=f"{variant} epochs, {len(settings.measured_epochs)} measured".lstrip(),
    )


def final_accuracy(path: Path) -> float:
    """Return the last accuracy on the test split in the training.csv of a folder."""
    return read_training(path / "training.csv")[-1].accuracy


def summarize(path: Path, *, prefix: str = "") -> dict[str, float]:
    """Return final accuracy, final I(X;T) of the first and last hidden layer, and peak and fall of the last layer."""
    tables = read_information(path / "information.csv")
    last_epoch = max(tables)
    layers = [row.layer for row in tables[last_epoch]]
    first_layer, last_layer = layers[0], layers[-1]
    peak_epoch = max(tables, key=lambda epoch: tables[epoch][last_layer, "I(X;T)"].value)
    numbers = {"test_accuracy": final_accuracy(path)}
    for name, epoch, layer in (
        ("first_layer_final", last_epoch, first_layer),
        ("last_layer_peak", peak_epoch, last_layer),
        ("last_layer_final", last_epoch, last_layer),
    ):
        row = tables[epoch][layer, "I(X;T)"]
        numbers |= {f"{name}_information": row.value, f"{name}_lower": row.lower, f"{name}_upper": row.upper}
    numbers |= {
        "last_layer_peak_epoch": peak_epoch,
        "last_layer_fall": numbers["last_layer_peak_information"] - numbers["last_layer_final_information"],
        "last_layer_least_fall": numbers["last_layer_peak_lower"] - numbers["last_layer_final_upper"],
    }
    return {f"{prefix}{name}": value for name, value in numbers.items()}


def _splits(settings: SztSettings) -> dict[str, tuple[Tensor, Tensor]]:
    data = settings.data()
    train_rows, test_rows = split(len(data.labels), test_fraction=settings.test_fraction, seed=settings.seed)
    return {name: (data.inputs[rows], data.labels[rows]) for name, rows in (("train", train_rows), ("test", test_rows))}


def _monitor(settings: SztSettings, network: nn.Module, path: Path) -> Monitor:
    data = settings.data()
    return Monitor(
        network, data.inputs, data.labels, at=settings.measured_epochs, directory=path, settings=settings.measurement
    )
