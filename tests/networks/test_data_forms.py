"""The accepted forms of inputs and labels: the same rows give the same numbers in every form."""

import collections
import math
import random

import numpy as np
import pandas
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import layerbits as lb
from layerbits.networks import read_inputs
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS, LABELS = normal_tensor(30, 4, seed=3).float(), torch.arange(30) % 3
NAMES = np.array(["ant", "bee", "cat"])[LABELS.numpy()]


class Pair(nn.Module):
    """A network with two arguments of rows and a constant, all by position or by name."""

    def __init__(self):
        super().__init__()
        self.mlp = tanh_mlp(4, 3, 2)

    def forward(self, left, right=None, scale=1.0):
        return self.mlp(scale * torch.cat([left, INPUTS.new_zeros(len(left), 2) if right is None else right], dim=1))


class Rows(Dataset):
    """A data set of dicts."""

    def __len__(self):
        return len(INPUTS)

    def __getitem__(self, index):
        return {"input": INPUTS[index], "label": NAMES[index]}


class Endless(Dataset):
    def __getitem__(self, index):
        return INPUTS[index % len(INPUTS)]


class Stream(IterableDataset):
    def __iter__(self):
        return zip(INPUTS, LABELS, strict=True)


def values(model, inputs, labels=None, **options):
    """Return the estimates of a measurement by layer and quantity."""
    table = lb.layer_information(model, inputs, labels, sigma=0.2, queries=3, **options)
    return {(row.layer, row.quantity): (row.value, row.lower, row.upper) for row in table}


@pytest.fixture(scope="module")
def model():
    return tanh_mlp(4, 3, 2)


@pytest.fixture(scope="module")
def expected(model):
    return values(model, INPUTS, LABELS)


FRAME = pandas.DataFrame(INPUTS.double().numpy(), columns=list("abcd"))
BATCHES = [(INPUTS[:7], LABELS[:7]), (INPUTS[7:], LABELS[7:])]


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        ((INPUTS,), LABELS.tolist()),
        ({"input": INPUTS}, NAMES),
        (collections.UserDict(input=INPUTS, label=LABELS), "label"),
        ((INPUTS, LABELS), 1),
        (FRAME, pandas.Series(NAMES)),
        (FRAME.assign(label=NAMES), "label"),
        (BATCHES, 1),
        ((batch for batch in BATCHES), 1),
        ([{"x": INPUTS[:7], "y": LABELS[:7]}, {"x": INPUTS[7:], "y": LABELS[7:]}], "y"),
        (TensorDataset(INPUTS, LABELS), 1),
        (Rows(), "label"),
        (DataLoader(TensorDataset(INPUTS, LABELS), batch_size=7), 1),
        (DataLoader(Stream(), batch_size=7), lambda batch: batch[1]),
        ([INPUTS[:7], INPUTS[7:]], nn.functional.one_hot(LABELS)),
    ],
    ids=[
        "tuple", "mapping", "batch encoding", "tuple with labels", "data frame", "data frame with labels",
        "list of batches", "generator", "list of mappings", "data set", "data set of dicts", "loader",
        "iterable data set", "list of tensors",
    ],
)  # fmt: skip
def test_every_form_gives_the_same_numbers(model, expected, inputs, labels):
    if isinstance(inputs, list) and isinstance(inputs[0], dict):
        model = Renamed(model)
        expected = {(f"mlp.{layer}", quantity): value for (layer, quantity), value in expected.items()}
    assert values(model, inputs, labels) == expected


class Renamed(nn.Module):
    """A network that takes its argument by name alone."""

    def __init__(self, mlp):
        super().__init__()
        self.mlp = mlp

    def forward(self, *, x):
        return self.mlp(x)


def test_arguments_may_be_nested_and_constant():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = tanh_mlp(4, 3, 2)

        def forward(self, parts, mode, mask=None):
            assert mode == "sum"
            assert mask is None
            return self.mlp(torch.cat([parts["left"], parts["others"][0]], dim=1))

    nested = Nested()
    inputs = ({"left": INPUTS[:, :1], "others": [INPUTS[:, 1:]]}, "sum", None)
    expected = values(nested.mlp, INPUTS)
    assert values(nested, inputs) == {
        (f"mlp.{layer}", quantity): value for (layer, quantity), value in expected.items()
    }


def test_tensors_and_arrays_may_be_mixed():
    mixed = {"left": INPUTS[:, :2], "right": INPUTS[:, 2:].double().numpy(), "scale": 2.0}
    network = Pair()
    assert values(network, mixed) == values(network, (2 * INPUTS[:, :2], 2 * INPUTS[:, 2:]))


def test_several_label_sets_are_measured_from_the_same_passes(model, expected):
    parity = np.arange(30) % 2
    table = values(model, (INPUTS, LABELS), {"digit": 1, "parity": parity})
    alone = values(model, INPUTS, parity)
    assert list(table)[:7] == [
        ("1", name)
        for name in ("I(X;T)", "h(T)", "h(T|X)", "I(T;digit)", "I(X;T|digit)", "I(T;parity)", "I(X;T|parity)")
    ]
    for layer, quantity in table:
        name = quantity.replace("digit", "Y").replace("parity", "Y")
        assert table[layer, quantity] == (alone if "parity" in quantity else expected)[layer, name]


def test_a_limit_takes_random_rows_with_their_labels(model):
    loader = DataLoader(TensorDataset(INPUTS, LABELS), batch_size=7)
    for inputs, labels in (((INPUTS, LABELS), 1), (loader, 1), (INPUTS, LABELS), (INPUTS, NAMES)):
        data = read_inputs(inputs, model, labels, limit=12, seed=5)
        rows = [int((row == INPUTS).all(1).nonzero()) for row in data.tensors[0]]
        assert rows == sorted(set(rows))
        assert len(rows) == 12
        assert data.labels["Y"].tolist() == LABELS[rows].tolist()
    other = read_inputs(INPUTS, model, LABELS, limit=12, seed=6).tensors[0]
    assert not torch.equal(other, data.tensors[0])


def test_a_limit_takes_every_row_equally_often():
    """Each of 10 rows is in a subset of 4 with probability .4: 1000 seeds, five standard deviations."""
    inputs = torch.arange(10.0)[:, None]
    batches = [inputs[:3], inputs[3:4], inputs[4:]]
    counts = sum(
        np.bincount(read_inputs(iter(batches), nn.Identity(), limit=4, seed=seed).tensors[0][:, 0].long(), minlength=10)
        for seed in range(1000)
    )
    assert np.abs(counts - 400).max() < 5 * np.sqrt(1000 * 0.4 * 0.6)


def test_a_limit_above_the_number_of_rows_takes_all(model, expected):
    assert values(model, INPUTS, LABELS, limit=1000) == expected


def test_a_shuffling_loader_leaves_the_global_generators(model):
    loader = DataLoader(TensorDataset(INPUTS), batch_size=7, shuffle=True)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    values(model, loader)
    assert torch.get_rng_state().equal(states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]  # noqa: NPY002


def test_functions_beside_layer_information_accept_loaders(model, tmp_path):
    loader = DataLoader(TensorDataset(INPUTS), batch_size=7)
    assert lb.layer_activations(model, loader)["1"].equal(lb.layer_activations(model, INPUTS)["1"])
    assert lb.layers(model, loader)["1"].shape == (7, 3)
    noisy = lb.noisify(tanh_mlp(4, 3, 3, 2), sigma=0.2, inputs=loader)
    assert lb.propagate(noisy, loader, draws=2)["3"].equal(lb.propagate(noisy, INPUTS, draws=2)["3"])
    between = [lb.information_between_layers(noisy, data, "1", "3", draws=2) for data in (loader, INPUTS)]
    assert between[0] == between[1]
    first = lb.Monitor(noisy, loader, at=[0], directory=tmp_path).step(0)
    assert lb.Monitor(noisy, INPUTS, at=[0], directory=tmp_path).tables[0] == first


def test_the_first_batch_of_a_loader_of_pairs_gives_two_arguments():
    loader = DataLoader(TensorDataset(INPUTS[:, :2], INPUTS[:, 2:]), batch_size=7)
    assert lb.layers(Pair(), loader)["mlp.1"].shape == (7, 3)


def test_a_monitor_does_not_resume_with_other_label_sets(model, tmp_path):
    options = {"at": [0], "directory": tmp_path, "sigma": 0.2}
    lb.Monitor(model, INPUTS, {"digit": LABELS}, **options).step(0)
    assert lb.Monitor(model, INPUTS, {"digit": LABELS}, **options).tables
    with pytest.raises(lb.UsageError, match="label_sets"):
        lb.Monitor(model, INPUTS, {"parity": LABELS}, **options)


def test_a_monitor_does_not_resume_with_other_constants(tmp_path):
    options = {"at": [0], "directory": tmp_path, "sigma": 0.2}
    inputs = {"left": INPUTS[:, :2], "right": INPUTS[:, 2:]}
    model = Pair()
    lb.Monitor(model, inputs | {"scale": 2.0}, **options).step(0)
    assert lb.Monitor(model, inputs | {"scale": 2.0}, **options).tables
    with pytest.raises(lb.UsageError, match="arguments"):
        lb.Monitor(model, inputs | {"scale": 3.0}, **options)


def test_a_monitor_resumes_noise_that_was_read(tmp_path):
    model = tanh_mlp(4, 3, 3, 2)
    read = lb.noise_of(lb.noisify(tanh_mlp(4, 3, 3, 2), sigma=torch.tensor([0.1, 0.2, 0.3]), inputs=INPUTS))["1"]
    options = {"at": [0], "directory": tmp_path}
    lb.Monitor(model, INPUTS, sigma={"1": read, "3": lb.RelativeSigma(0.2)}, **options).step(0)
    equal = lb.noise_of(lb.noisify(tanh_mlp(4, 3, 3, 2), sigma=torch.tensor([0.1, 0.2, 0.3]), inputs=INPUTS))["1"]
    assert lb.Monitor(model, INPUTS, sigma={"1": equal, "3": lb.RelativeSigma(0.2)}, **options).tables


@pytest.mark.parametrize(
    ("inputs", "labels", "error", "message"),
    [
        ([INPUTS, INPUTS[:5, :3]], None, ValueError, "inputs: .*pad all rows to one length"),
        ([(INPUTS, 1.0), (INPUTS[:5], 2.0)], None, ValueError, "inputs: got .* the argument .1. is 1.0 and 2.0"),
        ([INPUTS, (INPUTS[:5], INPUTS[:5])], None, ValueError, r"inputs: got .* arguments \[0\] and \[0\], \[1\]"),
        (
            {"input_ids": [[1, 2], [3, 4]]},
            None,
            TypeError,
            "inputs: got dict of int, wanted a tensor .* return_tensors",
        ),
        ((INPUTS, object()), None, TypeError, "inputs: got object among the arguments"),
        ((INPUTS, LABELS), None, ValueError, "inputs: .* cannot take: .*; if batches hold labels, .*labels=1"),
        (memoryview(INPUTS.numpy()), None, TypeError, "inputs: got memoryview, wanted a tensor"),
        (["a b"], None, TypeError, "inputs: got str, wanted a tensor .*; convert lists with torch.tensor"),
        (INPUTS[:0], None, ValueError, r"inputs: got shape \(0, 4\), .*; pass at least one input$"),
        ((INPUTS, torch.tensor(2.0)), None, ValueError, "inputs: got shape .*; pass a value that all inputs share"),
        ((INPUTS, INPUTS.T), None, ValueError, "inputs: got shape .*; make the first axis of every tensor that of"),
        ([], None, ValueError, "inputs: got no batch"),
        (iter([]), None, ValueError, "inputs: got no batch"),
        (INPUTS, ["ant", math.nan] * 15, TypeError, "labels: got strings and other values"),
        (INPUTS, np.ma.masked_equal(LABELS.numpy(), 1), ValueError, "labels: got masked values"),
        (np.ma.masked_less(INPUTS.numpy(), 0), None, ValueError, "inputs: got masked values, .* leave those rows out"),
        (INPUTS, {}, ValueError, "labels: got an empty mapping"),
        (INPUTS, {"T": LABELS}, ValueError, "labels: got a label set of the name 'T'"),
        (INPUTS, (label for label in LABELS.tolist()), TypeError, "labels: got generator, wanted a tensor, .*list"),
        (INPUTS, map(int, LABELS), TypeError, "labels: got map, wanted a tensor"),
        (INPUTS, set(LABELS.tolist()), TypeError, "labels: got set, wanted a tensor"),
        (INPUTS, [[0], [1, 2]], ValueError, "labels: got lists of different lengths"),
        (Endless(), None, TypeError, "inputs: got Endless, a Dataset without __len__"),
        (INPUTS[:, :3], None, ValueError, r"inputs: .* cannot be multiplied \(2x3 and 4x3\)$"),
        (INPUTS.to_sparse(), None, TypeError, "inputs: got a tensor of layout torch.sparse_coo"),
        (pack_sequence([INPUTS]), None, TypeError, "inputs: got a PackedSequence, wanted padded rows"),
        ((INPUTS, pack_sequence([INPUTS])), None, TypeError, "inputs: got a PackedSequence, wanted padded rows"),
        (INPUTS.to("meta"), None, ValueError, "inputs: got a tensor on the device meta"),
        ({"input": INPUTS}, "label", ValueError, "labels: got 'label', wanted the key .*: 'input'"),
        (INPUTS, "label", ValueError, "labels: got 'label', .*none, because it is a Tensor"),
        ((INPUTS, LABELS), 2, ValueError, "labels: got 2, wanted .*: 0, 1"),
        (INPUTS, lambda batch: None, ValueError, "labels: got a function that returns None"),
        (INPUTS, LABELS[:5], ValueError, r"labels: got shape \(5,\)"),
        (INPUTS, {1: LABELS}, TypeError, "labels: got a mapping with keys"),
        (INPUTS, {"a": LABELS, "b": INPUTS[:, 0]}, ValueError, r"labels\['b'\]: got numbers that are not whole"),
    ],
)
def test_data_that_cannot_be_measured_are_refused(model, inputs, labels, error, message):
    with pytest.raises(error, match=f"^{message}"):
        lb.layer_information(model, inputs, labels, sigma=0.2)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_refused(model, layout):
    nested = torch.nested.nested_tensor([INPUTS, INPUTS[:5]], layout=layout)
    with pytest.raises(TypeError, match=r"^inputs: got a nested tensor, wanted a dense one; pad"):
        lb.layer_information(model, nested, sigma=0.2)


@pytest.mark.parametrize("limit", [0, 1.5, "all"])
def test_a_limit_that_is_no_number_of_rows_is_refused(model, limit):
    with pytest.raises((TypeError, ValueError), match=r"^limit: got"):
        lb.layer_information(model, INPUTS, sigma=0.2, limit=limit)
