"""Noisy networks on the data set of Shwartz-Ziv and Tishby (SZT)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.problems.log_sums import PAPER_SIGMA
from layerbits.data import szt_dataset
from layerbits.experiments.szt.noisy_network import SZT_TANH
from layerbits.experiments.szt.settings import NoisySettings
from layerbits.networks import noisify
from layerbits.training import Batches, generator_seed, single_threaded, train

SZT_WIDTHS = (12, 10, 7, 5, 4, 3, 2)


def noisy_szt_network(n_inputs: int, *, sigma: float = PAPER_SIGMA, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """Return the tanh network of the SZT task with random weights, and `n_inputs` of its inputs.

    The weights are so large that layers lose information without training.
    """
    generator = torch.Generator().manual_seed(seed)
    modules: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(SZT_WIDTHS):
        linear = nn.Linear(fan_in, fan_out, device="meta").to_empty(device="cpu")
        nn.init.normal_(linear.weight, std=2 / math.sqrt(fan_in), generator=generator)
        nn.init.zeros_(linear.bias)
        modules += [linear, nn.Tanh()]
    inputs = szt_dataset().inputs
    sample = inputs[torch.randperm(len(inputs), generator=generator)[:n_inputs]]
    return noisify(nn.Sequential(*modules[:-1]), sigma=sigma, inputs=sample), sample


def train_szt_network(config: NoisySettings, epochs: Iterable[int]) -> tuple[nn.Module, Iterator[int]]:
    """Return the network of szt-tanh and an iterator that trains it for one epoch at each step, with a run's noise."""
    noisy, data = SZT_TANH.network(config), szt_dataset()
    optimizer = torch.optim.Adam(noisy.parameters(), lr=config.learning_rate, fused=True)
    batches = Batches(data.inputs, data.labels, batch_size=config.batch_size, seed=config.seed)
    return noisy, _seeded(single_threaded(train(noisy, optimizer, batches, epochs)), generator_seed(config.seed))


def _seeded(epochs: Iterable[int], seed: int) -> Iterator[int]:
    """Yield the epochs, trained with random numbers of this seed; torch's generator keeps the caller's state."""
    iterator, state = iter(epochs), torch.Generator().manual_seed(seed).get_state()
    while True:
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(state)
            try:
                epoch = next(iterator)
            except StopIteration:
                return
            state = torch.get_rng_state()
        yield epoch


def trained_szt_network(epochs: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Train the network of szt-tanh with the settings of its quick run; return network, inputs and labels."""
    noisy, training = train_szt_network(SZT_TANH.quick_config(), range(epochs))
    for _ in training:
        pass
    data = szt_dataset()
    return noisy, data.inputs, data.labels
