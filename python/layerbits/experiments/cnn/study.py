"""What the studies of a convolutional network on images share: deterministic, noisy and dropout trainings side by side.

All trainings of a seed begin with the same weights and meet the same warped batches. Each has a folder of its own,
such as noisy-0.05-seed-0, with training.csv and checkpoints. Beside them is errors.csv (variant, sigma, seed, errors,
images: of the test images, after the last epoch, noise on). Measures of the representations are in `cnn_measures`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from layerbits._base import UsageError, progress
from layerbits.data import LabelledImages, warp
from layerbits.experiments.framework.configuration import (
    require,
    require_device,
    require_distinct,
    require_positive,
    require_within,
)
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.framework.tables import write_table
from layerbits.kernels import uniform_like
from layerbits.networks import noisify
from layerbits.training import Checkpoints, TrainingCurves, log_spaced, read_training, single_threaded
from layerbits.training import train as train_epochs

Data = tuple[LabelledImages, LabelledImages]  # train, test

_VARIANTS = ("deterministic", "noisy", "dropout")

# Seconds on two cores of Zen 5: of a step, of a pixel in it, of a pixel in an evaluation; of a measured network, of a
# unit of an image there, and of it in a pair; of figures.
_STEP_SECONDS, _PIXEL_SECONDS, _EVALUATED_SECONDS = 9e-4, 6.5e-7, 2e-7
_NETWORK_SECONDS, _UNIT_SECONDS, _PAIR_SECONDS = 0.04, 6e-8, 2.5e-11
_FIGURE_SECONDS = 3.0


class Variant(NamedTuple):
    """A kind of training; `sigma` and `dropout` are 0 where there is none."""

    name: str
    sigma: float = 0.0
    dropout: float = 0.0


@dataclasses.dataclass(frozen=True)
class CnnConfig:
    """Settings. [S]: a secondary account of the paper; what has no tag is ours."""

    seed: int = 0
    device: str = "cpu"  # or cuda, cuda:1
    repeats: int = 3  # trainings of each variant, with the seeds from `seed` on
    variants: tuple[str, ...] = _VARIANTS
    sigmas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5)  # [S] of the noisy variants
    dropout: float = 0.2  # [S]
    channels: tuple[int, ...] = (16, 32)  # [S]
    units: int = 128  # [S]
    epochs: int = 128  # [S]
    batch_size: int = 32  # [S]
    first_learning_rate: float = 5e-3  # [S] of the first epoch
    last_learning_rate: float = 5e-4  # [S] of the last, geometric between
    momentum: float = 0.0  # unknown
    degrees: float = 10.0  # [S]
    shear: float = 10.0  # [S] degrees
    shift: float = 2.0  # [S] pixels of 28
    evaluations: int = 20
    measurements: int = 8
    bins: int = 200

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        require(self, "seed", self.seed >= 0, "at least 0")
        require_device(self)
        known = bool(self.variants) and set(self.variants) <= set(_VARIANTS)
        require(self, "variants", known, f"some of {', '.join(_VARIANTS)}")
        require(self, "variants", "deterministic" in self.variants, "deterministic among them, to compare with")
        require_positive(self, "epochs", "first_learning_rate", "last_learning_rate")
        require_distinct(self, "variants", "sigmas")
        require_within(
            self, repeats=(1, 1000), sigmas=(1e-30, 10**6), channels=(1, 256), units=(1, 10_000),
            first_learning_rate=(0, 1000), last_learning_rate=(0, 1000), shift=(0, 28), evaluations=(2, 10_000),
            measurements=(2, 10_000), bins=(1, 10_000),
        )  # fmt: skip
        require(self, "channels", len(self.channels) <= 3, "at most 3, for each layer halves the image")
        require(self, "batch_size", self.batch_size >= 2, "at least 2, for batch norm")
        require(self, "dropout", 0 < self.dropout < 1, "a number between 0 and 1")
        require(self, "momentum", 0 <= self.momentum < 1, "a number from 0 to 1, without 1")
        for name in ("degrees", "shear"):
            require(self, name, 0 <= getattr(self, name) < 90, "a number from 0 to 90, without 90")

    @property
    def trained(self) -> tuple[Variant, ...]:
        """The variants that are trained, the deterministic one first."""
        each = {
            "deterministic": [Variant("deterministic")],
            "noisy": [Variant(f"noisy-{sigma:g}", sigma=sigma) for sigma in self.sigmas],
            "dropout": [Variant("dropout", dropout=self.dropout)],
        }
        return tuple(itertools.chain.from_iterable(each[name] for name in _VARIANTS if name in self.variants))

    @property
    def trainings(self) -> list[tuple[int, Variant]]:
        """Seed and variant of each training."""
        return list(itertools.product(self.seeds, self.trained))

    @property
    def seeds(self) -> range:
        """The seeds of the trainings of a variant."""
        return range(self.seed, self.seed + self.repeats)

    @property
    def measured_epochs(self) -> tuple[int, ...]:
        """Epochs of which the representations are measured."""
        return log_spaced(1, self.epochs, self.measurements)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are measured, before their pooling."""
        return tuple(f"tanh{place}" for place in range(1, len(self.channels) + 2))


class Errors(NamedTuple):
    """A row of errors.csv."""

    variant: str
    sigma: float
    seed: int
    errors: int
    images: int


def expected_seconds(config: CnnConfig, *, train: int, test: int, pixels: int) -> float:
    """Return about how many seconds a run takes on two cores, with so many images, each of so many pixels.

    Raises
    ------
    UsageError
        If an epoch ended with a batch of one image.
    """
    steps = config.epochs * math.ceil(train / config.batch_size)
    if train % config.batch_size == 1:
        raise UsageError(
            f"batch_size: got {config.batch_size}, which leaves one of {train} images for the last batch, and batch "
            "norm needs two; wanted another size"
        )
    training = steps * _STEP_SECONDS + config.epochs * train * pixels * _PIXEL_SECONDS
    evaluation = config.evaluations * (train + test) * pixels * _EVALUATED_SECONDS
    units = config.units + sum(channels * pixels / 4**place for place, channels in enumerate(config.channels))
    of_one = _NETWORK_SECONDS + test * units * (_UNIT_SECONDS + test / 2 * _PAIR_SECONDS)
    return float(len(config.trainings) * (training + evaluation + config.measurements * of_one) + _FIGURE_SECONDS)


class Dropout(nn.Module):
    """Dropout with random numbers of its own, a function of seed and layer and of how many passes there were before.

    That of torch draws from the global generator, whose state no checkpoint holds.
    """

    def __init__(self, probability: float, *, seed: int, layer: int) -> None:
        super().__init__()
        self.probability, self.seed, self.layer = probability, seed, layer
        self.passes: Tensor
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, signal: Tensor) -> Tensor:
        """Drop units, in training only."""
        if not self.training:
            return signal
        kept = uniform_like(signal, self.seed, self.layer, int(self.passes)) >= self.probability
        self.passes += 1
        return signal * kept.to(signal) / (1 - self.probability)


def network(config: CnnConfig, variant: Variant, *, seed: int, size: tuple[int, int]) -> nn.Module:
    """Make the untrained network for images of `size`, (h, w): a `NoisyModule` for a noisy variant.

    Blocks of convolution, batch norm, tanh, noise or dropout, and pooling; one of a dense layer without pooling; ten
    logits. Weights and biases are uniform up to 1 / sqrt(inputs of a unit), torch's own way, whatever the variant.
    """
    generator = torch.Generator().manual_seed(seed)
    layers: dict[str, nn.Module] = {}
    for place, (before, after) in enumerate(itertools.pairwise((1, *config.channels)), start=1):
        convolution: nn.Conv2d = skip_init(nn.Conv2d, before, after, 5, padding=2)  # type: ignore[no-untyped-call]
        layers[f"conv{place}"] = _started(convolution, generator)
        layers |= _activation(place, nn.BatchNorm2d(after), variant, seed)
        layers[f"pool{place}"] = nn.MaxPool2d(2)
    width = config.channels[-1] * math.prod(side // 2 ** len(config.channels) for side in size)
    dense, logits = (
        _started(skip_init(nn.Linear, before, after), generator)  # type: ignore[no-untyped-call]
        for before, after in ((width, config.units), (config.units, 10))
    )
    layers |= {"flatten": nn.Flatten(), "dense": dense}
    layers |= _activation(len(config.channels) + 1, nn.BatchNorm1d(config.units), variant, seed)
    layers["logits"] = logits
    model = nn.Sequential(OrderedDict(layers))
    return noisify(model, sigma=variant.sigma, layers=config.layers, seed=seed) if variant.sigma else model


def repeatable_convolutions() -> AbstractContextManager[None]:
    """Keep cuDNN, within a ``with`` block, from rounding to ten bits (TF32) and from sums in an order of the moment."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


def _activation(place: int, norm: nn.Module, variant: Variant, seed: int) -> dict[str, nn.Module]:
    dropout = {f"dropout{place}": Dropout(variant.dropout, seed=seed, layer=place)} if variant.dropout else {}
    return {f"norm{place}": norm, f"tanh{place}": nn.Tanh(), **dropout}


def _started(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> nn.Module:
    limit = 1 / math.sqrt(layer.weight[0].numel())
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -limit, limit, generator=generator)
    return layer


def train(config: CnnConfig, folder: RunFolder, data: Data) -> None:
    """Train each variant with each seed; leaves the folders of the trainings and errors.csv."""
    errors: list[Errors] = []
    here = data[0].to(config.device), data[1].to(config.device)
    epochs = itertools.chain.from_iterable(
        _train_one(config, folder, here, variant, seed, errors) for seed, variant in config.trainings
    )
    with folder.phase("training"), repeatable_convolutions():
        for _ in progress(single_threaded(epochs), name="epochs", total=config.epochs * len(config.trainings)):
            pass
    for variant in config.trained:
        counts = [row.errors for row in errors if row.variant == variant.name]
        folder.summary[f"errors_{variant.name}"] = float(np.mean(counts))
        if len(counts) > 1:
            folder.summary[f"errors_{variant.name}_standard_deviation"] = float(np.std(counts, ddof=1))


def _train_one(
    config: CnnConfig, folder: RunFolder, data: Data, variant: Variant, seed: int, errors: list[Errors]
) -> Iterator[int]:
    """Yield each epoch when it is over, also those of an earlier part of the run."""
    train_data, test_data = data
    path = training_folder(folder.path, variant, seed)
    model = network(config, variant, seed=seed, size=test_data.size).to(config.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=config.first_learning_rate, momentum=config.momentum)
    checkpoints = Checkpoints(model, optimizer, at=config.measured_epochs, directory=path)
    resumed = checkpoints.resume()
    yield from range(1, resumed + 1)
    curves = TrainingCurves(
        model,
        {name: (part.inputs, part.labels) for name, part in (("train", train_data), ("test", test_data))},
        at=log_spaced(1, config.epochs, config.evaluations),
        directory=path,
        resumed_from=resumed,
    )

    def transform(inputs: Tensor, random: np.random.Generator) -> Tensor:
        return warp(inputs, random, degrees=config.degrees, shear=config.shear, shift=config.shift)

    def epochs() -> Iterator[int]:
        for epoch in range(resumed + 1, config.epochs + 1):
            optimizer.param_groups[0]["lr"] = _learning_rate(config, epoch)
            yield epoch

    for epoch in train_epochs(
        model, optimizer, train_data.inputs, train_data.labels,
        epochs=epochs(), batch_size=config.batch_size, seed=seed, transform=transform,
    ):  # fmt: skip
        curves.step(epoch)
        # Last, so that a run killed before it does all of this epoch again.
        checkpoints.step(epoch)
        yield epoch
    accuracy = read_training(path / "training.csv")[-1].accuracy
    images = len(test_data)
    errors.append(Errors(variant.name, variant.sigma, seed, round((1 - accuracy) * images), images))
    write_table(folder.path / "errors.csv", Errors, errors)


def _learning_rate(config: CnnConfig, epoch: int) -> float:
    done = (epoch - 1) / max(1, config.epochs - 1)
    return float(config.first_learning_rate ** (1 - done) * config.last_learning_rate**done)


def training_folder(path: Path, variant: Variant, seed: int) -> Path:
    """Return the folder of a training in the folder of its run."""
    return path / f"{variant.name}-seed-{seed}"
