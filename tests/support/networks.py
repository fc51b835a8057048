"""Small networks that several test files measure."""

from itertools import pairwise

import torch
from torch import nn

from layerbits import noisify


def tanh_mlp(*widths, seed=1, dtype=torch.float32):
    """Make linear layers of these widths with tanh between them; the modules are named 0, 1, 2, ..."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for inputs, outputs in pairwise(widths):
        linear = nn.Linear(inputs, outputs, dtype=dtype)
        with torch.no_grad():
            for parameter in linear.parameters():
                parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def noisy_identities(count, sigma, **options):
    """Make layers that only add noise: each signal is the input plus the noise of the layers before."""
    return noisify(nn.Sequential(*(nn.Identity() for _ in range(count))), sigma=sigma, layers=nn.Identity, **options)


def dense(weight):
    """Make a linear layer in float64 with these weights and no bias."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weight))
    return layer


class Twice(nn.Module):
    """Calls one module twice."""

    def __init__(self):
        super().__init__()
        self.module = nn.Tanh()

    def forward(self, x):
        return self.module(self.module(x))
