"""`python -m benchmarks.topics.wide_decoders [--quick]`: mean terms of I(X;T) by decoder, in wide layers.

Every row is the third noisy layer of a network. A mean term is a decoder bound without its confidence margin, in nats.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from layerbits import noisify
from layerbits.data import digits_dataset
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoders import decoders
from layerbits.estimators.layer_sample import sample_layers
from layerbits.estimators.log_densities import terms
from layerbits.estimators.problem import Problem
from layerbits.kernels import NormalStream, RandomStream
from layerbits.networks import read_inputs
from layerbits.statistics import QUANTITIES

_NAMES = ("shared Gaussian", "shrunk Gaussian", "low-rank Gaussian", "wide mixture")
_EPOCHS = 60


def random_network(inputs: int) -> tuple[nn.Module, Tensor]:
    """Return a random network of 256 tanh units a layer with sigma = 0.6, and normal inputs of shape (inputs, 20)."""
    torch.manual_seed(0)
    network = _network(20, 256, nn.Tanh)
    return noisify(network, sigma=0.6), torch.randn(inputs, 20)


def digits_network(width: int, activation: type[nn.Module], sigma: float) -> tuple[nn.Module, Tensor]:
    """Return a network that is trained with its noise on digits, and 512 images."""
    torch.manual_seed(0)
    images = digits_dataset(test_fraction=0.2)[0]
    inputs, labels = images.inputs.flatten(1), images.labels
    noisy = noisify(_network(64, width, activation), sigma=sigma)
    optimizer = torch.optim.Adam(noisy.parameters(), 1e-3)
    for _ in range(_EPOCHS):
        for rows in torch.split(torch.randperm(len(inputs)), 128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(noisy(inputs[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return noisy.eval(), inputs[:512]


def _network(dim: int, width: int, activation: type[nn.Module]) -> nn.Sequential:
    hidden = [module for _ in range(2) for module in (nn.Linear(width, width), activation())]
    return nn.Sequential(nn.Linear(dim, width), activation(), *hidden, nn.Linear(width, 10))


def mean_terms(model: nn.Module, inputs: Tensor, draws: int) -> dict[str, float]:
    """Return the mean term of I(X;T) of each decoder, at all queries of the third layer."""
    problem = Problem.of(model, read_inputs(inputs, model))
    layer = problem.layers[2]
    sample = sample_layers(problem, (layer,), draws, None, 0)[layer]
    queries, signals = sample.split(NormalStream(0, RandomStream.QUERIES, 2))
    classes = Classes.of(None, len(inputs))
    return {
        decoder.name: float(terms(QUANTITIES[0], decoder.log_densities(queries)).mean())
        for decoder in decoders(signals, classes, sample.sigma)
    }


def problems(quick: bool) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Yield a title, a network and its inputs."""
    yield "tanh, 256 units, random", *random_network(256 if quick else 1024)
    if not quick:
        yield "tanh, 128 units, digits", *digits_network(128, nn.Tanh, 0.3)
        yield "ReLU, 128 units, digits", *digits_network(128, nn.ReLU, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.topics.wide_decoders", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="one network, fewer inputs, 32 draws")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    print(f"{'':26}{'draws':>6}" + "".join(f"{name:>19}" for name in _NAMES))
    for title, model, inputs in problems(quick):
        for draws in (32,) if quick else (32, 128):
            by_name = mean_terms(model, inputs, draws)
            cells = "".join(f"{by_name[name]:>19.3f}" if name in by_name else f"{'-':>19}" for name in _NAMES)
            print(f"{title:26}{draws:>6}{cells}", flush=True)


if __name__ == "__main__":
    main()
