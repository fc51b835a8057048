"""A tiny noisy classifier before training, its optimizer, and data for it."""

import torch
from torch import nn

from layerbits import noisify

INPUTS = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] > 0).long()


def noisy_classifier(sigma=0.1):
    """Make the network; its weights are always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    return noisify(model, sigma=sigma)


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=0.01, fused=True)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
