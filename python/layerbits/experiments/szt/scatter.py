"""Points of the last hidden layer, from one noisy pass, and their table scatter.csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from layerbits._base import read_csv, write_csv
from layerbits.experiments.szt.settings import SztSettings
from layerbits.kernels import NormalStream, RandomStream
from layerbits.networks import noise_of, propagate
from layerbits.training import load_checkpoint

SCATTER_COLUMNS = ("epoch", "layer", "label", "t1", "t2", "t3")


def save_scatter(settings: SztSettings, network: nn.Module, path: Path, *, variant: str = "") -> None:
    """Compute the points at the epochs to show, from the checkpoints of a network of a run, and write scatter.csv."""
    path = path / variant
    data, last_layer = settings.data(), list(noise_of(network))[-1]
    network.to(settings.device)
    rows: list[tuple[object, ...]] = []
    for epoch in settings.shown_epochs:
        load_checkpoint(path, epoch, network, run=settings.identity(variant))
        signals = propagate(network, data.inputs, draws=1, seed=settings.seed, layers=last_layer)[last_layer][:, 0]
        noise = NormalStream(settings.seed, RandomStream.SCATTER_NOISE).like(signals)
        points = noise_of(network)[last_layer].add(signals, noise)
        rows += [(epoch, last_layer, *row) for row in zip(data.labels.tolist(), *points.T.tolist(), strict=True)]
    write_csv(path / "scatter.csv", SCATTER_COLUMNS, rows)


def read_scatter(path: Path) -> dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Read the scatter.csv in a folder, if any; return labels of shape (n,) and points of shape (n, 3) by epoch."""
    if not (path / "scatter.csv").exists():
        return {}
    rows = read_csv(path / "scatter.csv", SCATTER_COLUMNS)
    table = np.array([[epoch, *numbers] for epoch, _, *numbers in rows], dtype=np.float64)
    epochs = table[:, 0].astype(np.int64)
    return {
        int(epoch): (table[epochs == epoch, 1].astype(np.int64), table[epochs == epoch, 2:])
        for epoch in np.unique(epochs)
    }
