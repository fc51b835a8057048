"""Rows that act on one another by little, in a network with random numbers, are refused; healthy networks are not."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import layerbits as lb
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(60, 6, seed=3).float()


class Hidden(nn.Module):
    """A function of hidden values (n, 6), returned by the layer act."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.function, self.act = nn.Linear(6, 6), function, nn.Identity()

    def forward(self, x):
        return self.act(self.function(self.linear(x)))


def noisy(h):
    return h + 0.1 * torch.randn_like(h)


def contrasted(h):
    """Add a thousandth of the rows, weighted by their similarity, as a contrastive head compares them."""
    directions = functional.normalize(h, dim=1)
    return noisy(h) + 1e-3 * (directions @ directions.T).softmax(1) @ h


def best_rows(h):
    """Return the rows of the 16 largest scores, and 0 for the others, as experts of a capacity."""
    ranks = (h[:, 0] + torch.randn(len(h))).argsort(descending=True).argsort()
    return h * (ranks < 16)[:, None]


COUPLED = {
    "mean": lambda h: noisy(h) - 1e-3 * h.mean(0),
    "weaker mean": lambda h: noisy(h) - 1e-4 * h.mean(0),
    "mean of noise": lambda h: h + (noise := torch.randn_like(h)) - 1e-3 * noise.mean(0),
    "sorted": lambda h: noisy(h).sort(0).values,
    "one sorted unit": lambda h: torch.cat([noisy(h[:, :1]).sort(0).values, h[:, 1:]], 1),
    "mixed": lambda h: h + 1e-3 * h[torch.rand(len(h)).argsort()],
    "rank": lambda h: noisy(h) + 1e-2 * h[:, :1].argsort(0).argsort(0),
    "norm": lambda h: noisy(h) / (1 + 1e-3 * h.norm()),
    "threshold": lambda h: noisy(h) + 1e-2 * (h.max() > 4),
    "contrast": contrasted,
    "capacity": best_rows,
}

HEALTHY = {
    "dropout": lambda h: functional.dropout(h, 0.5, training=True),
    "dropped rows": lambda h: h * torch.empty(len(h), 1).bernoulli_(0.9),
    "Gumbel": lambda h: functional.gumbel_softmax(h, dim=1, hard=True),
    "classes": lambda h: functional.one_hot(torch.multinomial(h.softmax(1), 1)[:, 0], 6).float(),
    "router": lambda h: h * (noisy(h) > noisy(h).mean(1, keepdim=True)),
    "permuted units": lambda h: h.gather(1, torch.rand_like(h).argsort(1)),
}


@pytest.mark.parametrize("function", COUPLED.values(), ids=COUPLED)
def test_weakly_coupled_rows_are_refused(function):
    with pytest.raises(ValueError, match=r"^inputs: got (rows that act on one|a network whose rows share random)"):
        lb.layer_activations(Hidden(function), INPUTS, layers="act")


@pytest.mark.parametrize("function", HEALTHY.values(), ids=HEALTHY)
def test_rows_that_are_independent_are_measured(function):
    assert lb.layer_activations(Hidden(function), INPUTS, layers="act")["act"].shape == (60, 6)
