"""Training of the networks, with measurements before the training and at the chosen epochs."""

from __future__ import annotations

import functools
import itertools
from collections import OrderedDict

import torch
from torch import nn
from torch.nn.utils import skip_init

from layerbits.data import LabelledImages, digits_dataset, mnist_dataset
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.sliced.settings import SlicedConfig
from layerbits.networks import noisify
from layerbits.training import Batches, Checkpoints, Monitor, TrainingCurves, TrainingSession, log_spaced, train

_CLASSES = 10


def read_images(config: SlicedConfig) -> tuple[LabelledImages, LabelledImages]:
    """Return the training images and the test images, as many as the settings say.

    Raises
    ------
    DataError
        The files are missing or damaged; or there is no folder, and scikit-learn is not installed.
    """
    train_images, test_images = mnist_dataset(config.data) if config.data else digits_dataset(seed=config.seed)
    return train_images.first(config.train_images), test_images.first(config.test_images)


def build_network(config: SlicedConfig, variant: str, *, pixels: int) -> nn.Module:
    """Return the untrained network: dense layers with ReLU, and ten logits; noise follows each ReLU if it is noisy.

    Weights and biases are uniform between -l and l, where l = 1 / sqrt(inputs of a unit), as in torch.
    """
    generator = torch.Generator().manual_seed(config.seed)
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    widths = (pixels, *config.hidden_widths)
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
        layers |= {f"linear{number}": _dense(inputs, outputs, generator), f"relu{number}": nn.ReLU()}
    layers["logits"] = _dense(widths[-1], _CLASSES, generator)
    model = nn.Sequential(OrderedDict(layers))
    if variant == "noisy":
        noisify(model, sigma=config.sigma, layers=config.layers, inputs=torch.zeros(1, pixels))
    return model.to(config.device)


def train_network(
    config: SlicedConfig, folder: RunFolder, images: tuple[LabelledImages, LabelledImages], variant: str
) -> None:
    """Train and measure a network, or resume its training; write training.csv, information.csv and checkpoints."""
    train_images, test_images = (part.to(config.device) for part in images)
    path = folder.path / variant
    model = build_network(config, variant, pixels=train_images.inputs[0].numel())
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    run = config.identity(variant)
    checkpoints = Checkpoints(model, optimizer, at=config.measured_epochs, directory=path, run=run)
    splits = {name: (part.inputs, part.labels) for name, part in (("train", train_images), ("test", test_images))}
    curves = TrainingCurves(model, splits, at=log_spaced(1, config.epochs, config.evaluations), directory=path)
    monitor = Monitor(
        model,
        *splits["test"],
        at=config.measured_epochs,
        directory=path,
        layers=config.layers,
        readout=config.readouts,
        # A noisy network has its own noise; the measurement adds noise to a deterministic network.
        sigma=None if variant == "noisy" else config.sigma,
        settings=config.measurement,
    )
    with folder.phase("measurements"):
        monitor.step(0)
    batches = Batches(*splits["train"], batch_size=config.batch_size, seed=config.seed)
    TrainingSession(checkpoints, curves, monitor, phase=folder.phase, seed=config.seed).run(
        functools.partial(train, model, optimizer, batches), epochs=config.epochs, name=f"{variant} epochs"
    )


def _dense(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    layer: nn.Linear = skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
    return layer
