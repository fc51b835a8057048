"""A training that can be resumed, with checkpoints, curves and measurements.

The noise of a network, and torch's dropout, take random numbers from torch's generators. A session seeds the
generators, saves their states in its checkpoints, and restores the caller's states at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch

from layerbits._base import damaged_file, progress
from layerbits.training.checkpoints import Checkpoints
from layerbits.training.curves import TrainingCurves
from layerbits.training.loop import single_threaded
from layerbits.training.monitor import Monitor

TrainEpochs = Callable[[Iterable[int]], Iterator[int]]


def generator_seed(seed: int, device: int = 0) -> int:
    """Return the seed of torch's generator of a device, by the index of the device.

    The generators of different devices give different numbers, and numbers other than the initial weights, whose
    generator has the seed `seed`.
    """
    return int(np.random.SeedSequence(seed, spawn_key=(device,)).generate_state(1, np.uint64)[0])


def _seed_generators(seed: int, cuda_devices: Iterable[torch.device]) -> None:
    """Seed torch's generators of the CPU and of these devices alone: `torch.manual_seed` would seed all devices."""
    torch.default_generator.manual_seed(generator_seed(seed))
    for device in cuda_devices:
        with torch.cuda.device(device):
            torch.cuda.manual_seed(generator_seed(seed, device.index))


def _untimed(_: str) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


@dataclasses.dataclass(frozen=True)
class TrainingSession:
    """One training in one folder: the order in which its epochs are trained, evaluated, measured and saved.

    A training that was killed and is run again in the same folder ends with the same numbers.

    Parameters
    ----------
    checkpoints : Checkpoints
        Saves the network and its optimizer, at least at the epochs of the monitor.
    curves : TrainingCurves
        Evaluates the network.
    monitor : Monitor, optional
        Measures the network.
    seed : int
        Seed of torch's generators, from which the noise of the training comes.
    phase : callable, optional
        Returns a context manager that times the phase ``"measurements"``; for example `RunFolder.phase`.
    """

    checkpoints: Checkpoints
    curves: TrainingCurves
    monitor: Monitor | None = None
    phase: Callable[[str], AbstractContextManager[None]] = _untimed
    seed: int = 0

    def run(
        self,
        train_epochs: TrainEpochs,
        *,
        epochs: int,
        name: str = "epochs",
        after_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """Resume the training from its files, then train, evaluate, measure and save epoch by epoch.

        Parameters
        ----------
        train_epochs : callable
            Trains the given epochs and yields each epoch after its training, as `train` does. Torch uses one thread
            meanwhile.
        epochs : int
            Number of the last epoch; the first is 1.
        name : str, optional
            Label of the progress bar.
        after_epoch : callable, optional
            Called with each epoch after `Checkpoints.step`.
        """
        cuda_devices = self.checkpoints.cuda_devices()
        with torch.random.fork_rng(devices=cuda_devices):
            _seed_generators(self.seed, cuda_devices)
            self._run(train_epochs, epochs, name, after_epoch)

    def _run(
        self, train_epochs: TrainEpochs, epochs: int, name: str, after_epoch: Callable[[int], None] | None
    ) -> None:
        last_epoch = self._resume(epochs)
        remaining_epochs = range(last_epoch + 1, epochs + 1)
        trained_epochs = single_threaded(train_epochs(remaining_epochs))
        for epoch in progress(trained_epochs, name=name, total=len(remaining_epochs)):
            self.curves.step(epoch)
            self._measure(epoch)
            # The checkpoint comes last, so that a training killed before this line repeats the whole epoch.
            self.checkpoints.step(epoch)
            if after_epoch is not None:
                after_epoch(epoch)

    def _resume(self, epochs: int) -> int:
        """Load the last state, measure the epochs that lost their rows, and return the last epoch, at most `epochs`."""
        last_epoch = self.checkpoints.resume()
        if last_epoch > epochs:
            raise damaged_file(self.checkpoints.latest, f"it is of epoch {last_epoch}, after the last one, {epochs}")
        self.curves.resume(last_epoch)
        lost_epochs = [] if self.monitor is None else self.monitor.unmeasured_epochs(last_epoch)
        for epoch in lost_epochs:
            self.checkpoints.load_model(epoch)
            self._measure(epoch)
        return self.checkpoints.resume() if lost_epochs else last_epoch

    def _measure(self, epoch: int) -> None:
        if self.monitor is not None and epoch in self.monitor.at:
            with self.phase("measurements"):
                self.monitor.step(epoch)
