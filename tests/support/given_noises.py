"""Small networks in float64 of many structures, and their passes with given noises."""

import torch
from torch import nn
from torch.nn import functional

from layerbits import DropoutNoise, noisify
from layerbits.networks import GivenNoises, check_rows, noisy_network, read_inputs
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

SIGMA = 0.3

# Rounding errors of passes of a small network in float64, with values of order 1: under 1000 operations of 2.2e-16.
ROUNDING = 1e-12

INPUTS = normal_tensor(6, 4, seed=1)


class Forward(nn.Module):
    """A network in float64 with the forward method of a subclass."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.build()
        self.double()


class Convolutions(Forward):
    def build(self):
        self.first, self.second = nn.Conv2d(1, 3, 2), nn.Conv2d(3, 2, 2)
        self.relu, self.tanh = nn.ReLU(inplace=True), nn.Tanh()

    def forward(self, x):
        return self.tanh(self.second(functional.max_pool2d(self.relu(self.first(x)), 2, stride=1)))


class Branches(Forward):
    def build(self):
        self.maps = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.tanhs = nn.ModuleList(nn.Tanh() for _ in range(3))

    def forward(self, x):
        for linear, tanh in zip(self.maps, self.tanhs, strict=True):
            x = x + tanh(linear(x))
        return x


class Tied(Forward):
    def build(self):
        self.linear, self.tanh = nn.Linear(4, 4), nn.Tanh()

    def forward(self, x):
        for _ in range(3):
            x = self.tanh(self.linear(x))
        return x


class Functional(Forward):
    def build(self):
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return torch.tanh(self.linear(functional.relu(self.linear(x))))


class Recurrent(Forward):
    def build(self):
        self.first, self.second = nn.LSTM(3, 4, batch_first=True), nn.LSTM(4, 2, batch_first=True)

    def forward(self, x):
        return self.second(self.first(x)[0])[0]


class Attention(Forward):
    def build(self):
        self.embedding = nn.Embedding(7, 4)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(4, 2, 6, batch_first=True) for _ in range(2))

    def forward(self, tokens):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return x


COVARIANCE = torch.tensor([[0.2, 0.1, 0.0], [0.1, 0.3, 0.05], [0.0, 0.05, 0.1]], dtype=torch.float64)
IMAGES, SERIES = normal_tensor(5, 1, 5, 5, seed=2), normal_tensor(5, 6, 3, seed=3)
TOKENS = torch.arange(20).reshape(4, 5) % 7

NETWORKS = {
    "mlp": lambda: (noisify(tanh_mlp(4, 3, 5, 2, 2, dtype=torch.float64), sigma=SIGMA), INPUTS, "5"),
    "deviations": lambda: (
        noisify(tanh_mlp(4, 3, 2, 2, dtype=torch.float64), sigma={"1": torch.tensor([0.1, 0.2, 0.3]), "3": 0.2}),
        INPUTS,
        "3",
    ),
    "covariance": lambda: (
        noisify(tanh_mlp(4, 3, 2, 2, dtype=torch.float64), sigma={"1": COVARIANCE, "3": 0.2}),
        INPUTS,
        "3",
    ),
    "dropout": lambda: (
        noisify(tanh_mlp(4, 3, 2, 2, dtype=torch.float64), sigma={"1": DropoutNoise(0.4, 0.1), "3": 0.2}),
        INPUTS,
        "3",
    ),
    "convolutions": lambda: (
        noisify(Convolutions(), sigma={"relu": torch.tensor([0.1, 0.2, 0.3]), "tanh": 0.2}, layers=["relu", "tanh"]),
        IMAGES,
        "tanh",
    ),
    "branches": lambda: (noisify(Branches(), sigma=SIGMA, layers=nn.Tanh), INPUTS, "tanhs.2"),
    "tied": lambda: (noisify(Tied(), sigma=SIGMA, layers="tanh@*"), INPUTS, "tanh@3"),
    "functional": lambda: (noisify(Functional(), sigma=SIGMA, layers=["relu", "tanh"]), INPUTS, "tanh"),
    "recurrent": lambda: (noisify(Recurrent(), sigma=SIGMA, layers=nn.LSTM), SERIES, "second"),
    "attention": lambda: (
        noisify(Attention(), sigma=SIGMA, layers=nn.TransformerEncoderLayer, inputs=TOKENS),
        TOKENS,
        "blocks.1",
    ),
}


def given_noises(noisy, inputs, layer, **options):
    """Return the passes of a noisy network, with signals in float64 as they are."""
    network = noisy_network(noisy, read_inputs(inputs, noisy), **options)
    check_rows(network, (inputs,), network.layer_names)
    return GivenNoises(network, (inputs,), layer, lambda signals, rows: signals.double())


def random_rows(given, m=4):
    return torch.arange(m) % len(given.inputs[0]), normal_tensor(m, given.size, seed=4)
