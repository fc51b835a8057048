"""Each message of docs/troubleshooting.md is raised by the call for which the page explains it."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import layerbits as lb

PAGE = (Path(__file__).parent.parent / "docs/troubleshooting.md").read_text()
PATTERNS = re.findall(r"^\| `(.*?)` \|", PAGE, re.MULTILINE)
INPUTS, LABELS = torch.eye(8), torch.arange(8) % 2


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, rows):
        return self.function(rows)


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.expert = nn.Tanh()

    def forward(self, rows):
        chosen = rows[:, 0] > 0.5
        return rows.masked_scatter(chosen[:, None], self.expert(rows[chosen]))


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Tanh(), nn.Tanh()

    def forward(self, rows):
        return self.second(self.first(rows) + rows)


class Refuse:
    def fit(self, signals, inputs):
        raise ValueError("no")

    def scores(self, queries):
        return queries


class FullTensor(Dataset):
    """Fill one tensor with each row."""

    def __init__(self):
        self.row = torch.zeros(8)

    def __len__(self):
        return len(INPUTS)

    def __getitem__(self, index):
        return self.row.copy_(INPUTS[index])


def network(*layers):
    return nn.Sequential(nn.Linear(8, 4), *layers, nn.Tanh(), nn.Linear(4, 2))


def noisy(model=None, layers=None):
    return lb.noisify(model or network(nn.Tanh(), nn.Linear(4, 4)), sigma=0.5, layers=layers, inputs=INPUTS)


def measure(model, inputs=INPUTS, labels=None, **options):
    return lb.layer_information(model, inputs, labels, **{"sigma": 0.5} | options)


def with_noise_off():
    model = noisy()
    with lb.noise_off(model):
        measure(model, sigma=None)


def monitor(folder="runs", inputs=INPUTS, **options):
    return lb.Monitor(network(), inputs, at=[1, 2], directory=folder, sigma=0.5, **options)


def changed_inputs():
    inputs = INPUTS.clone()
    monitored = monitor(inputs=inputs)
    inputs.add_(1)
    monitored.step(1)


def change_of_single_intervals():
    monitored = monitor()
    monitored.step(1)
    monitored.step(2)
    monitored.history.change("1", "I(X;T)", first=1, last=2)


def other_training():
    model = network()
    monitored = lb.Monitor(model, INPUTS, at=[1], directory="runs", sigma=0.5)
    monitored.step(1)
    nn.init.zeros_(model[0].weight)
    monitored.step(1)


def other_order():
    monitor().step(1)
    monitor(inputs=INPUTS.flip(0))


LOADER = DataLoader(TensorDataset(INPUTS), batch_size=4, shuffle=True)
CALLS = {
    "model: got ..., wanted a network with noise": lambda: measure(network(), sigma=None),
    "model: got a network whose noise is off": with_noise_off,
    "model: got a network that takes random numbers from a generator of Python or NumPy": lambda: measure(
        network(Apply(lambda rows: rows + random.random()))
    ),
    "model: got a network whose signals in ... differ in two passes of the same rows": lambda: measure(
        network(Apply(lambda rows: rows + np.random.default_rng().normal()))
    ),
    "sigma: got a value for a network that has noise of its own": lambda: measure(noisy()),
    "sigma: got ..., near whose largest value the numbers of ... are ... apart": lambda: measure(
        network().bfloat16(), INPUTS.bfloat16(), sigma=1e-3
    ),
    "share: got ..., but the activations of ... are equal, or too close for float64": lambda: lb.suggest_sigma(
        network(), INPUTS[:1].expand(8, -1)
    ),
    "inputs: got rows that act on one another": lambda: measure(network(Apply(lambda rows: rows - rows.mean(0)))),
    "inputs: got a network that draws ... random numbers for ... rows": lambda: measure(
        network(Apply(lambda rows: rows + torch.randn(4)))
    ),
    "inputs: got a network whose rows share random numbers": lambda: measure(
        network(Apply(lambda rows: rows + torch.randn(len(rows), 4).mean(0)))
    ),
    "inputs: got a network whose calls of random functions depend on the rows": lambda: measure(
        network(Apply(lambda rows: rows + torch.stack([torch.randn(4) for _ in rows])))
    ),
    "inputs: got ..., whose rows share the memory of one tensor": lambda: measure(network(), FullTensor()),
    "inputs: got batches of ...": lambda: measure(nn.Tanh(), [torch.eye(3), torch.eye(2)], layers=""),
    "inputs: got no batch": lambda: measure(network(), []),
    "inputs: got NaN": lambda: measure(network(), INPUTS * torch.nan),
    "inputs: got infinity": lambda: measure(network(), INPUTS.log()),
    "inputs: got ..., which the network cannot take": lambda: measure(network(), torch.eye(3)),
    "labels: got numbers that are not whole": lambda: measure(network(), labels=torch.linspace(0, 1, 8)),
    "labels: got a function that computes labels from item ...": lambda: measure(
        network(), [(INPUTS, LABELS)], lambda batch: batch[0][:, 0] > 0
    ),
    "labels: got an array, whose order is not that of the rows of a DataLoader": lambda: measure(
        network(), LOADER, LABELS
    ),
    "layers: ... matches no layer": lambda: measure(network(), layers="fc1"),
    "layers: got None, which selects hidden activation functions": lambda: measure(nn.Linear(8, 2)),
    "layers: got ..., which returns shape ...": lambda: measure(
        nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 8)), Apply(lambda rows: rows.sum(0))), layers="2"
    ),
    "whose rows in a pass are not those of the inputs": lambda: measure(noisy(Experts(), layers="expert"), sigma=None),
    "readout: got ... for ..., whose signal has shape": lambda: measure(network(), readout="mean"),
    "first: got ..., but ... acts on ... by another path too": lambda: lb.information_between_layers(
        noisy(Skip(), layers=["first", "second"]), INPUTS, "first", "second"
    ),
    "draws: got 1, wanted at least 2": lambda: measure(noisy(), sigma=None, draws=1),
    "estimator: got 'known' for ...": lambda: measure(
        noisy(), sigma=None, estimator="known", readout=lb.RandomSlices(1, count=8)
    ),
    "decoders[0]: ...": lambda: measure(noisy(), sigma=None, decoders=[Refuse()]),
    "simultaneous: got ...": change_of_single_intervals,
    "inputs: got tensors whose values have changed": changed_inputs,
    "measures: ...": lambda: monitor(measures=["rank"]),
    "epoch: got ..., which ... holds for a network with other weights or noise": other_training,
    "was measured with other inputs, or the same in another order": other_order,
}


def test_page_lists_the_messages_of_this_file():
    assert list(CALLS) == PATTERNS


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.usefixtures("one_thread")
def test_call_raises_the_message_of_the_page(pattern, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=re.escape(pattern).replace(r"\.\.\.", ".*")):
        CALLS[pattern]()
