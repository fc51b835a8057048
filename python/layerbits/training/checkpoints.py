"""Checkpoints of a training: a training that resumes on the same device ends with the bits of an uninterrupted one."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from layerbits._base import UsageError, damaged_file, open_regular, replacing

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
    run : str
        Identity of the training, such as the hash of its settings; checkpoints of another one are refused.

    Attributes
    ----------
    latest : pathlib.Path
        The checkpoint of the latest state.

    Raises
    ------
    UsageError
        The folder of the checkpoints cannot be made.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        at: Iterable[int],
        directory: str | os.PathLike[str],
        run: str,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._at = frozenset(at)
        self._directory = directory
        self._run = run
        self.latest = Path(directory, _FOLDER, "latest.pt")
        try:
            self.latest.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{self.latest.parent}: cannot be made ({error.strerror}); remove a file of this name, or use another "
                "folder"
            ) from error
        self._saved = time.monotonic()

    def step(self, epoch: int) -> None:
        """Save the state after `epoch` if the epoch is chosen or the last save is some seconds old."""
        is_chosen = epoch in self._at
        if is_chosen:
            self._save(_epoch_path(self._directory, epoch), epoch)
        if is_chosen or time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self._save(self.latest, epoch)
            self._saved = time.monotonic()

    def resume(self) -> int:
        """Load the latest state into model, optimizer and torch's generators; return its epoch, 0 without a checkpoint.

        Raises
        ------
        UsageError
            The checkpoint is damaged, or of another training or network.
        """
        if not self.latest.exists():
            return 0
        with _reporting_damage(self.latest):
            state = _load(self.latest, self._run)
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
            As `load_checkpoint`.
        """
        load_checkpoint(self._directory, epoch, self._model, run=self._run)

    def cuda_devices(self) -> list[torch.device]:
        """List the CUDA devices of the model."""
        return sorted({parameter.device for parameter in self._model.parameters() if parameter.is_cuda}, key=str)

    def _save(self, path: Path, epoch: int) -> None:
        generators = {str(device): torch.cuda.get_rng_state(device) for device in self.cuda_devices()}
        state = {
            "run": self._run,
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


def load_checkpoint(directory: str | os.PathLike[str], epoch: int, model: nn.Module, *, run: str) -> None:
    """Load into `model` the state after `epoch`, which `Checkpoints` kept in `directory` for the training `run`.

    Raises
    ------
    UsageError
        The checkpoint is missing, damaged, or of another epoch, training or network.
    """
    path = _epoch_path(directory, epoch)
    with _reporting_damage(path):
        state = _load(path, run)
        if state["epoch"] != epoch:
            raise damaged_file(path, f"it is of epoch {state['epoch']}")
        model.load_state_dict(state["model"])


def _load(path: Path, run: str) -> dict[str, Any]:
    with os.fdopen(open_regular(path), "rb") as file:
        _require_intact(path, file)
        file.seek(0)
        # The tensors go to the CPU first, because this machine may lack the device from which they were saved.
        state: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    if state.get("run") != run:
        raise damaged_file(path, "it is of another run, or of an earlier version")
    if not isinstance(state["epoch"], int) or state["epoch"] < 1:
        raise damaged_file(path, f"its epoch is {state['epoch']}")
    return state


def _require_intact(path: Path, file: IO[bytes]) -> None:
    """Compare the file with its checksums, which `torch.load` ignores; refuse compressed files, which expand."""
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        is_stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
        if not is_stored or sum(part.file_size for part in parts) > os.fstat(file.fileno()).st_size:
            raise damaged_file(path, "it is compressed, unlike checkpoints")
        if archive.testzip() is not None:
            raise damaged_file(path, "it was changed after it was written")


def _epoch_path(directory: str | os.PathLike[str], epoch: int) -> Path:
    return Path(directory, _FOLDER, f"epoch-{epoch:06d}.pt")


@contextlib.contextmanager
def _reporting_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # zip, pickle and torch raise many types for a damaged file, with long messages
        raise damaged_file(path, "it is not a checkpoint of this network") from error
