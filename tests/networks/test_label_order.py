"""Labels that come apart belong to their rows: loaders that shuffle, other indices and masks are refused."""

import pandas
import pytest
import torch
from torch import nn
from torch.masked import masked_tensor
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


class Shuffled:
    """Batches in another order in each iteration, which torch's generator gives, and the iterator of a data set too."""

    def __init__(self, batch_size):
        self.batch_size = batch_size

    def __iter__(self):
        rows = torch.randperm(30)
        return iter(INPUTS[rows] if self.batch_size is None else INPUTS[rows].split(self.batch_size))


class ShuffledStream(Shuffled, IterableDataset):
    pass


@pytest.mark.parametrize(
    "data",
    [
        DataLoader(Stream(), batch_size=7, num_workers=2),
        DataLoader(ROWS, batch_size=7, num_workers=2, in_order=False),
        ShuffledStream(None),
        DataLoader(ShuffledStream(None), batch_size=7),
        Shuffled(7),
    ],
    ids=["workers", "not in order", "data set", "its loader", "iterable"],
)
def test_labels_apart_from_iterables_of_another_order_are_refused(data):
    model, state = tanh_mlp(4, 3, 2), torch.get_rng_state()
    with pytest.raises(ValueError, match=r"^labels: got an array, whose order is not that of the rows of "):
        read_inputs(data, model, LABELS)
    assert torch.get_rng_state().equal(state)


def test_labels_apart_from_an_iterable_of_one_order_are_taken():
    class Batches:
        def __iter__(self):
            return iter(INPUTS.split(7))

    assert read_inputs(Batches(), tanh_mlp(4, 3, 2), LABELS).labels["Y"].tolist() == LABELS.tolist()


FRAME = pandas.DataFrame(INPUTS.numpy(), columns=list("abcd"))
SERIES = pandas.Series(LABELS.numpy())


class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, left, right):
        return torch.cat([left, right], 1)


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        (FRAME, SERIES[::-1]),
        (FRAME, {"digit": SERIES, "other": SERIES[::-1]}),
        (FRAME[FRAME["a"] > 0], SERIES[: (FRAME["a"] > 0).sum()]),
        ((FRAME[["a", "b"]], FRAME[["c", "d"]][::-1]), None),
        ((FRAME[["a", "b"]][::-1], FRAME[["c", "d"]][::-1]), SERIES),
        ([FRAME[:15], FRAME[15:]], SERIES[::-1]),
    ],
    ids=["series", "label sets", "filtered", "two frames", "two frames and a series", "batches"],
)
def test_pandas_objects_of_other_indices_are_refused(inputs, labels):
    """Rows are taken in their order, whatever their index."""
    model = Halves() if isinstance(inputs, tuple) else tanh_mlp(4, 3, 2)
    with pytest.raises(ValueError, match=r"^labels: got a Series, .* different indices, .*labels.reindex"):
        read_inputs(inputs, model, labels)


@pytest.mark.parametrize("labels", [SERIES[::-1].reindex(FRAME.index), SERIES, SERIES.tolist(), "d"])
def test_pandas_labels_of_the_same_index_are_taken(labels):
    frame = FRAME.assign(d=LABELS.numpy())
    for inputs in (frame, [frame[:15], frame[15:]]):
        assert read_inputs(inputs, tanh_mlp(4, 3, 2), labels).labels["Y"].tolist() == LABELS.tolist()


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
def test_masked_tensors_are_refused():
    with pytest.raises(TypeError, match=r"^inputs: got a MaskedTensor, wanted a dense tensor; pass .to_tensor\(0\)"):
        read_inputs(masked_tensor(INPUTS, INPUTS > 0), tanh_mlp(4, 3, 2))
    with pytest.raises(ValueError, match=r"^labels: got masked values"):
        read_inputs(INPUTS, tanh_mlp(4, 3, 2), masked_tensor(LABELS, LABELS > 0))
