"""Checkpoints of a training: a training that resumes on the same device ends with the bits of an uninterrupted one."""

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
    """Save a training in ``directory/checkpoints``: chosen epochs for good, and the latest state every few seconds.

    Parameters
    ----------
    model : torch.nn.Module
        Its `state_dict` must hold everything that training changes, except for the optimizer and torch's generators.
    optimizer : torch.optim.Optimizer
        Over the parameters of `model`.
    at : iterable of int
        Epochs to keep, as ``epoch-000123.pt``.
    directory : path
        Folder of the training; made if it is missing.
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
        self._directory = directory
        self._latest = Path(directory, _FOLDER, "latest.pt")
        self._latest.parent.mkdir(parents=True, exist_ok=True)
        self._saved = time.monotonic()

    def step(self, epoch: int) -> None:
        """Save the state after `epoch` if the epoch is chosen or the last save is some seconds old."""
        is_chosen = epoch in self._at
        if is_chosen:
            self._save(_epoch_path(self._directory, epoch), epoch)
        if is_chosen or time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self._save(self._latest, epoch)
            self._saved = time.monotonic()

    def resume(self) -> int:
        """Load the latest state into model, optimizer and torch's generators; return its epoch, 0 without a checkpoint.

        Raises
        ------
        UsageError
            The checkpoint is damaged or of another network.
        """
        if not self._latest.exists():
            return 0
        with _reporting_damage(self._latest):
            state = _load(self._latest)
            self._model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["generators"]["cpu"])
            for device in self.cuda_devices():
                # On a device without a saved state, the noise of the training differs from here on.
                if str(device) in state["generators"]:
                    torch.cuda.set_rng_state(state["generators"][str(device)], device)
            return int(state["epoch"])

    def load_model(self, epoch: int) -> None:
        """Load the model's state after the chosen epoch `epoch`; the optimizer does not change.

        Raises
        ------
        UsageError
            The checkpoint is missing, damaged or of another network.
        """
        load_checkpoint(self._directory, epoch, self._model)

    def cuda_devices(self) -> list[torch.device]:
        """List the CUDA devices of the model."""
        return sorted({parameter.device for parameter in self._model.parameters() if parameter.is_cuda}, key=str)

    def _save(self, path: Path, epoch: int) -> None:
        generators = {str(device): torch.cuda.get_rng_state(device) for device in self.cuda_devices()}
        state = {
            "epoch": epoch,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generators": generators | {"cpu": torch.get_rng_state()},
        }
        with replacing(path) as draft:
            try:
                torch.save(state, draft)
            except RuntimeError as error:  # torch raises this type for a full disk
                raise OSError(errno.EIO, "torch could not save the checkpoint") from error


def load_checkpoint(directory: str | os.PathLike[str], epoch: int, model: nn.Module) -> None:
    """Load into `model` the state after `epoch`, which `Checkpoints` kept in `directory`.

    Raises
    ------
    UsageError
        The checkpoint is missing, damaged or of another network.
    """
    path = _epoch_path(directory, epoch)
    with _reporting_damage(path):
        model.load_state_dict(_load(path)["model"])


def _load(path: Path) -> dict[str, Any]:
    # The tensors go to the CPU first, because this machine may lack the device from which they were saved.
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state


def _epoch_path(directory: str | os.PathLike[str], epoch: int) -> Path:
    return Path(directory, _FOLDER, f"epoch-{epoch:06d}.pt")


@contextlib.contextmanager
def _reporting_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # zip, pickle and torch raise many types for a damaged file, with long messages
        raise damaged_file(path, "it is not a checkpoint of this network") from error
