"""Labels that come apart from the inputs belong to their rows: loaders that shuffle are refused."""

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
)

import layerbits as lb
from layerbits.networks import read_inputs
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(30, 4, seed=3).float()
LABELS = torch.arange(30) % 3
ROWS, PAIRS = TensorDataset(INPUTS), TensorDataset(INPUTS, LABELS)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(INPUTS)


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(ROWS, batch_size=7, shuffle=True),
        DataLoader(ROWS, batch_size=7, sampler=SubsetRandomSampler(range(30))),
        DataLoader(ROWS, batch_sampler=BatchSampler(RandomSampler(ROWS), 7, drop_last=False)),
        DataLoader(ROWS, batch_sampler=[[*range(15, 30)], [*range(15)]]),
        DataLoader(ROWS, batch_size=None, sampler=BatchSampler(RandomSampler(ROWS), 7, drop_last=False)),
    ],
    ids=["shuffle", "sampler", "batch sampler", "batches of its own", "batches from a sampler"],
)
@pytest.mark.parametrize("labels", [LABELS, {"digit": LABELS, "other": 0}], ids=["array", "mapping"])
def test_labels_apart_from_a_loader_that_shuffles_are_refused(loader, labels):
    with pytest.raises(ValueError, match=r"^labels: got an array, whose order .*labels=1; or .*shuffle=False"):
        lb.layer_information(tanh_mlp(4, 3, 2), loader, labels, sigma=0.2)


def test_labels_in_the_batches_of_a_loader_that_shuffles_belong_to_their_rows():
    data = read_inputs(DataLoader(PAIRS, batch_size=7, shuffle=True), tanh_mlp(4, 3, 2), 1)
    rows = [int((row == INPUTS).all(1).nonzero()) for row in data.tensors[0]]
    assert rows != sorted(rows)
    assert data.labels["Y"].tolist() == LABELS[rows].tolist()


@pytest.mark.parametrize("data", [ROWS, Stream()], ids=["in order", "iterable data set"])
def test_labels_apart_from_a_loader_in_order_are_taken(data):
    loader = DataLoader(data, batch_size=7)
    assert read_inputs(loader, tanh_mlp(4, 3, 2), LABELS).labels["Y"].tolist() == LABELS.tolist()
