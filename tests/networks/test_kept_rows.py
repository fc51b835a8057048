"""Rows that are kept: those of a limit, and those of batches beyond the budget, in a file, unchanged."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import layerbits as lb
from layerbits.networks import read_inputs
from layerbits.networks.inputs.input_reader import arguments_of_batches
from layerbits.networks.inputs.kept_rows import KeptRows
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

MEBIBYTE = 2**20


def private_memory() -> int:
    """Return the memory of this process that belongs to no file, in bytes."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("the memory of a process is read from /proc/self/status")
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("RssAnon"))


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64], ids=str
)
def test_rows_in_a_file_are_the_rows_that_were_added(dtype):
    rows = normal_tensor(30, 2, 3, seed=1).to(dtype)
    kept = KeptRows()
    for index, batch in enumerate(rows.split(7)):
        kept.add(batch.mT.contiguous().mT)
        if index % 2:  # the last batch is in memory
            kept.move_to_file()
    assert kept.nbytes == rows[28:].nbytes
    assert kept.tensor().dtype == dtype
    assert kept.tensor().equal(rows)


def test_rows_of_a_loader_beyond_the_budget_are_not_kept_in_memory():
    loader = DataLoader(TensorDataset(torch.arange(64.0)), collate_fn=_wide_batch, batch_size=1)
    before = private_memory()
    inputs = read_inputs(loader, torch.nn.Identity(), max_memory=MEBIBYTE)
    assert inputs.tensors[0][:, -1].equal(torch.arange(64.0))
    assert inputs.tensors[0].nbytes == 64 * MEBIBYTE
    assert private_memory() - before < 16 * MEBIBYTE


def _wide_batch(rows):
    """Return a row of one mebibyte for each number."""
    return torch.stack([number.expand(MEBIBYTE // 4) for (number,) in rows])


def test_the_file_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = KeptRows()
    kept.add(torch.eye(3))
    kept.move_to_file()
    assert kept.tensor().equal(torch.eye(3))
    assert not list(tmp_path.iterdir())


def test_a_tensor_beyond_the_budget_is_not_copied():
    inputs = torch.ones(3, 4)
    assert read_inputs(inputs, torch.nn.Identity(), max_memory=0).tensors[0] is inputs


class Counting(TensorDataset):
    """Holds the positions of the rows that were read."""

    def __getitem__(self, index):
        self.read = [*getattr(self, "read", []), index]
        return super().__getitem__(index)


def test_a_limit_reads_the_rows_of_the_subset_alone_of_a_data_set():
    model, inputs, labels = torch.nn.Identity(), torch.arange(30.0)[:, None], torch.arange(30) % 3
    dataset = Counting(inputs, labels)
    data = read_inputs(dataset, model, {"in": 1, "apart": labels.tolist()}, limit=12, seed=5)
    expected = read_inputs((inputs, labels), model, 1, limit=12, seed=5)
    assert len(dataset.read) == 12
    assert data.tensors[0].equal(expected.tensors[0])
    assert data.labels["in"].tolist() == data.labels["apart"].tolist() == expected.labels["Y"].tolist()
    with pytest.raises(ValueError, match=r"^labels: got shape \(12,\), wanted \(30,\)"):
        read_inputs(dataset, model, labels[:12], limit=12)


@pytest.mark.parametrize("limit", [None, 20])
def test_a_measurement_does_not_depend_on_where_rows_are_kept(limit):
    rows, labels = normal_tensor(2**11, 512, seed=2).float(), torch.arange(2**11) % 3
    loader = DataLoader(TensorDataset(rows, labels), batch_size=100)
    model = tanh_mlp(512, 3, 2)
    options = {"limit": limit, "sigma": 0.5, "queries": 2, "layers": "1", "max_memory": MEBIBYTE}
    tables = lb.layer_information(model, loader, 1, **options), lb.layer_information(model, rows, labels, **options)
    from_loader, from_tensor = ([(row.value, row.lower, row.upper) for row in table] for table in tables)
    assert from_loader == from_tensor


@pytest.mark.parametrize("as_arrays", [False, True], ids=["tensors", "arrays"])
def test_batches_in_one_buffer_are_kept(as_arrays):
    inputs, labels = normal_tensor(30, 4, seed=3).float(), torch.arange(30)

    def batches():
        rows, classes = torch.empty(10, 4), torch.empty(10, dtype=torch.int64)
        for start in range(0, 30, 10):
            rows.copy_(inputs[start : start + 10])
            classes.copy_(labels[start : start + 10])
            yield (rows.numpy(), classes.numpy()) if as_arrays else (rows, classes)

    data = read_inputs(batches(), tanh_mlp(4, 3, 2), 1)
    assert data.tensors[0].equal(inputs)
    assert data.labels["Y"].tolist() == labels.tolist()


class OneBuffer(Dataset):
    """Fills one tensor, or one array, with every row that is asked for."""

    def __init__(self, buffer):
        self.rows, self.buffer = normal_tensor(30, 4, seed=1).float(), buffer

    def __len__(self):
        return 30

    def __getitem__(self, index):
        self.buffer[:] = torch.as_tensor(self.rows[index])
        return self.buffer, index % 3


class OneBufferStream(IterableDataset):
    def __iter__(self):
        dataset = OneBuffer(torch.empty(4))
        return (dataset[index] for index in range(30))


@pytest.mark.parametrize("batched", [False, True], ids=["data set", "loader"])
@pytest.mark.parametrize(
    "dataset",
    [OneBuffer(torch.empty(4)), OneBuffer(np.empty(4, np.float32)), Subset(OneBuffer(torch.empty(4)), range(20)),
     OneBufferStream()],
    ids=["tensor", "array", "subset", "stream"],
)  # fmt: skip
def test_data_set_whose_rows_share_one_tensor_is_refused(dataset, batched):
    """A batch of such rows has the last of them many times."""
    inputs = DataLoader(dataset, batch_size=7, shuffle=isinstance(dataset, OneBuffer)) if batched else dataset
    with pytest.raises(ValueError, match=r"^inputs: got \w+, whose rows share the memory of one tensor, .*row.clone"):
        read_inputs(inputs, tanh_mlp(4, 3, 2), 1)
    with pytest.raises(ValueError, match=r"^inputs: got \w+, whose rows share the memory of one tensor"):
        list(arguments_of_batches(inputs, tanh_mlp(4, 3, 2)))


def test_data_set_of_equal_rows_is_taken():
    rows = TensorDataset(torch.ones(30, 4), torch.arange(30) % 3)
    assert read_inputs(DataLoader(rows, batch_size=7), tanh_mlp(4, 3, 2), 1).tensors[0].equal(torch.ones(30, 4))
