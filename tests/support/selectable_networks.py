"""Networks for tests of the selection of layers by name, and their inputs."""

import torch
from torch import Tensor, nn

INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)


def mlp():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(dim=1))


class Reusing(nn.Module):
    """Calls one activation function three times; the last call is the output."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Tanh()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.linear(self.act(self.linear(self.act(x)))))


def with_names(*names):
    model = nn.Sequential()
    for name in names:
        model.add_module(name, nn.Tanh())
    model.add_module("head", nn.Linear(4, 2))
    return model
