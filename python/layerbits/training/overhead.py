"""The time of measurements as a share of the time of training, and the epochs that a limit of this share leaves out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from layerbits._base import check_positive


class Overhead:
    """Count the seconds of training and of measurements, and decide which epochs a limit leaves out.

    Training is the time between measurements.

    Parameters
    ----------
    limit : float, optional
        Largest seconds of all measurements, as a share of the seconds of training; None for no limit.
    last_epoch : int
        Last epoch to measure.
    model : torch.nn.Module
        Its CUDA devices finish their work before a time is taken.
    """

    def __init__(self, limit: float | None, last_epoch: int, model: nn.Module) -> None:
        self._limit = None if limit is None else check_positive("max_overhead", limit)
        self._last_epoch, self._model = last_epoch, model
        self._training = self._measuring = 0.0
        self._expected: float | None = None  # seconds of a measurement; those of the first are unknown
        self._first: tuple[int, float] | None = None  # the first epoch to decide on, and the training until then
        self._start = time.perf_counter()

    def allows(self, epoch: int) -> bool:
        """Return whether a measurement keeps the limit and leaves time for a measurement of the last epoch.

        The first measurement is always allowed, because its seconds are unknown.
        """
        if self._limit is None:
            return True
        self._training += self._elapsed()
        first_epoch, first_training = self._first = self._first or (epoch, self._training)
        if self._expected is None:
            return True
        if self._measuring + self._expected > self._limit * self._training:
            return False
        per_epoch = (self._training - first_training) / max(1, epoch - first_epoch)
        predicted_training = self._training + per_epoch * (self._last_epoch - epoch)
        n_measurements = 1 + (epoch < self._last_epoch)
        return self._measuring + n_measurements * self._expected <= self._limit * predicted_training

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Count the time of a block as a measurement."""
        self._elapsed()
        yield
        self._expected = self._elapsed()
        self._measuring += self._expected

    def state(self) -> dict[str, Any]:
        """Return the seconds so far, from which `restore` continues."""
        return {
            "training": self._training,
            "measuring": self._measuring,
            "expected": self._expected,
            "first": self._first,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the seconds of an earlier process."""
        self._training, self._measuring = state["training"], state["measuring"]
        self._expected, self._first = state["expected"], state["first"]
        self._start = time.perf_counter()

    def _elapsed(self) -> float:
        """Return the seconds since the last call."""
        if self._limit is not None:
            for device in {parameter.device for parameter in self._model.parameters() if parameter.is_cuda}:
                torch.cuda.synchronize(device)
        previous, self._start = self._start, time.perf_counter()
        return self._start - previous
