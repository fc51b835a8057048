"""Noisy networks on the data set of Shwartz-Ziv and Tishby (SZT)."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from benchmarks.problems.log_sums import PAPER_SIGMA
from layerbits.data import szt_dataset
from layerbits.experiments.szt.szt_tanh import QUICK, Config, network
from layerbits.networks import NoisyModule, noisify
from layerbits.training import single_threaded, train

SZT_WIDTHS = (12, 10, 7, 5, 4, 3, 2)


def noisy_szt_network(n_inputs: int, *, sigma: float = PAPER_SIGMA, seed: int = 0) -> tuple[NoisyModule, Tensor]:
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
    chosen = torch.randperm(len(inputs), generator=generator)[:n_inputs]
    return noisify(nn.Sequential(*modules[:-1]), sigma=sigma, seed=seed), inputs[chosen]


def trained_szt_network(epochs: int) -> tuple[NoisyModule, Tensor, Tensor]:
    """Train the network of szt-tanh with the settings of its quick run; return network, inputs and labels."""
    noisy, data = network(Config()), szt_dataset()
    optimizer = torch.optim.Adam(noisy.parameters(), lr=QUICK["learning_rate"], fused=True)
    batches = train(
        noisy, optimizer, data.inputs, data.labels, epochs=range(epochs), batch_size=QUICK["batch_size"], seed=0
    )
    for _ in single_threaded(batches):
        pass
    return noisy, data.inputs, data.labels
