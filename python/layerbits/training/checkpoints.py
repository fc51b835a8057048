"""Checkpoints: what it takes to go on with a training, or to measure one of its epochs again later, to the bit."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from layerbits._base import damaged_file, replacing

_FOLDER = "checkpoints"
_SECONDS_BETWEEN_SAVES = 5.0


class Checkpoints:
    """Saves a training in ``directory/checkpoints``: chosen epochs for good, and the latest state every few seconds.

    Parameters
    ----------
    model : torch.nn.Module
        Its `state_dict` must hold all that training changes; that of a noisy network holds its noise generator too.
    optimizer : torch.optim.Optimizer
        Over the parameters of `model`.
    at : iterable of int
        Epochs to keep, as ``epoch-000123.pt``.
    directory : path
        Folder of the run; made if it is missing.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        at: Iterable[int],
        directory: str | os.PathLike[str],
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._at = frozenset(at)
        self._folder = Path(directory, _FOLDER)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._latest = self._folder / "latest.pt"
        self._saved = time.monotonic()

    def step(self, epoch: int) -> None:
        """Save the state after `epoch`, if it is one to keep or the last save is some seconds old."""
        chosen = epoch in self._at
        if chosen:
            self._save(_path(self._folder, epoch), epoch)
        if chosen or time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self._save(self._latest, epoch)
            self._saved = time.monotonic()

    def resume(self) -> int:
        """Load the latest state into model and optimizer and return its epoch; 0 and no change where there is none."""
        if not self._latest.exists():
            return 0
        with _damage_told(self._latest):
            state = _load(self._latest)
            self._model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            return int(state["epoch"])

    def _save(self, path: Path, epoch: int) -> None:
        state = {"epoch": epoch, "model": self._model.state_dict(), "optimizer": self._optimizer.state_dict()}
        with replacing(path) as draft:
            try:
                torch.save(state, draft)
            except RuntimeError as error:  # how torch tells of a full disk
                raise OSError(errno.EIO, "torch could not save it") from error


def load_checkpoint(directory: str | os.PathLike[str], epoch: int, model: nn.Module) -> None:
    """Load into `model` its state after `epoch`, one of those that `Checkpoints` kept in `directory`.

    Raises
    ------
    UsageError
        If there is no readable checkpoint of that epoch.
    """
    path = _path(Path(directory, _FOLDER), epoch)
    with _damage_told(path):
        model.load_state_dict(_load(path)["model"])


def _load(path: Path) -> dict[str, Any]:
    # By way of the CPU, for the device that it was saved on need not exist here; model and optimizer take it to theirs.
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state


def _path(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:06d}.pt"


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a damaged file raises whatever zip, pickle or torch meet first, at length
        raise damaged_file(path, "it is no checkpoint of this network") from error
