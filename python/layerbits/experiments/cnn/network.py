"""The convolutional network of the experiments, without noise, with noise, or with dropout."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from layerbits.experiments.cnn.settings import CnnConfig, Variant
from layerbits.kernels import RandomStream, uniform_like
from layerbits.networks import noisify

_CLASSES = 10
_KERNEL_SIZE = 5


class Dropout(nn.Module):
    """Dropout by random numbers that depend on the seed, the layer and the number of earlier training passes alone.

    The CPU and a CUDA device have different numbers. The passes of a measurement, or of another network, do not change
    these numbers. The number of training passes is a buffer, so that checkpoints contain it.

    Parameters
    ----------
    probability : float
        Probability of dropping a unit.
    seed, layer : int
        Key of the random numbers.
    """

    def __init__(self, probability: float, *, seed: int, layer: int) -> None:
        super().__init__()
        self.probability, self.seed, self.layer = probability, seed, layer
        self.passes: Tensor
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, activations: Tensor) -> Tensor:
        """Drop units in training mode; return the activations unchanged in evaluation mode."""
        if not self.training:
            return activations
        uniform = uniform_like(activations, self.seed, RandomStream.DROPOUT, self.layer, int(self.passes))
        self.passes += 1
        return activations * (uniform >= self.probability).to(activations) / (1 - self.probability)


def build_network(config: CnnConfig, variant: Variant, *, seed: int, size: tuple[int, int]) -> nn.Module:
    """Return the untrained network.

    Blocks of convolution, batch norm, tanh and pooling are followed by a dense layer with batch norm and tanh, and by
    ten logits. Noise or dropout follows each tanh. Weights and biases are uniform between -l and l, where
    l = 1 / sqrt(inputs of a unit), as in torch, and are the same for all variants.

    Parameters
    ----------
    config : CnnConfig
        Widths of the layers.
    variant : Variant
        Noise and dropout.
    seed : int
        Seed of the weights and the dropout.
    size : tuple of int
        Height and width of an image.

    Returns
    -------
    torch.nn.Module
        The network; with noise for a noisy variant.
    """
    generator = torch.Generator().manual_seed(seed)
    layers: dict[str, nn.Module] = {}
    for number, (inputs, outputs) in enumerate(itertools.pairwise((1, *config.channels)), start=1):
        convolution: nn.Conv2d = skip_init(  # type: ignore[no-untyped-call]
            nn.Conv2d, inputs, outputs, _KERNEL_SIZE, padding=_KERNEL_SIZE // 2
        )
        layers[f"conv{number}"] = _initialized(convolution, generator)
        layers |= _normalized_tanh(number, nn.BatchNorm2d(outputs), variant, seed)
        layers[f"pool{number}"] = nn.MaxPool2d(2)
    flat_width = config.channels[-1] * math.prod(side // 2 ** len(config.channels) for side in size)
    dense_layer: nn.Linear = skip_init(nn.Linear, flat_width, config.units)  # type: ignore[no-untyped-call]
    logits: nn.Linear = skip_init(nn.Linear, config.units, _CLASSES)  # type: ignore[no-untyped-call]
    layers |= {"flatten": nn.Flatten(), "dense": _initialized(dense_layer, generator)}
    layers |= _normalized_tanh(len(config.channels) + 1, nn.BatchNorm1d(config.units), variant, seed)
    layers["logits"] = _initialized(logits, generator)
    model = nn.Sequential(OrderedDict(layers))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a step takes 0.8 of the time
    if variant.sigma:
        noisify(model, sigma=variant.sigma, layers=config.layers, inputs=torch.zeros(1, 1, *size))
    return model


def deterministic_convolutions() -> AbstractContextManager[None]:
    """Return a context in which cuDNN neither rounds to ten bits (TF32) nor sums in an order that varies."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


def _normalized_tanh(number: int, norm: nn.Module, variant: Variant, seed: int) -> dict[str, nn.Module]:
    layers: dict[str, nn.Module] = {f"norm{number}": norm, f"tanh{number}": nn.Tanh()}
    if variant.dropout:
        layers[f"dropout{number}"] = Dropout(variant.dropout, seed=seed, layer=number)
    return layers


def _initialized(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> nn.Module:
    limit = 1 / math.sqrt(layer.weight[0].numel())
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -limit, limit, generator=generator)
    return layer
