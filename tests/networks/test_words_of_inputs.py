"""Refusals of inputs whose words name the cause and the remedy."""

import numpy as np
import pytest
import scipy.sparse
import torch
import xarray
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler, TensorDataset

import layerbits as lb
from layerbits.networks import read_inputs
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS, LABELS = normal_tensor(30, 4, seed=3).float(), torch.arange(30) % 3
MODEL = tanh_mlp(4, 3, 2)


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.coo_array])
@pytest.mark.parametrize(
    ("argument", "measure"),
    [
        ("inputs", lambda matrix: read_inputs(matrix, MODEL)),
        ("inputs", lambda matrix: read_inputs((INPUTS, matrix), MODEL)),
        ("inputs", lambda matrix: read_inputs([{"input": matrix}], MODEL)),
        ("inputs", lambda matrix: lb.layers(MODEL, matrix)),
        ("labels", lambda matrix: read_inputs(INPUTS, MODEL, matrix)),
        ("labels", lambda matrix: read_inputs([(INPUTS, matrix)], MODEL, 1)),
        ("signals", lambda matrix: lb.information(matrix, 0.5)),
        ("labels", lambda matrix: lb.information(INPUTS, 0.5, matrix)),
    ],
)
def test_a_sparse_matrix_of_scipy_is_refused(kind, argument, measure):
    with pytest.raises(TypeError, match=rf"^{argument}: got {kind.__name__}, a sparse matrix, .* it by \.toarray\(\)$"):
        measure(kind(np.eye(30, 4)))


def test_a_list_of_signals_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"^signals: got list, wanted .*; convert it by torch\.tensor or numpy\.array$"):
        lb.information([[0.0], [1.0]], 0.5)


def test_a_pass_of_the_first_rows_says_how_many_it_has():
    with pytest.raises(ValueError, match=r"^inputs: got torch.float32 of shape \(2, 5\) in a pass of 2 rows, which"):
        lb.layer_information(MODEL, torch.zeros(30, 5), sigma=0.5)


def test_a_message_on_units_has_no_number_of_observed_rows():
    with pytest.raises(ValueError, match=r"^sigma: got noise of 7 units .* for its signal of shape \(n, 3\)$"):
        lb.layer_information(MODEL, INPUTS, sigma=torch.ones(7))


@pytest.mark.parametrize("empty", [(), {}, [()], [{}]], ids=str)
def test_arguments_without_an_item_are_named_empty(empty):
    with pytest.raises(TypeError, match=r"^inputs: got an empty (tuple|dict), wanted .*; pass at least one input$"):
        read_inputs(empty, MODEL)


class Empty(IterableDataset):
    def __iter__(self):
        return iter(())


ROWS = TensorDataset(INPUTS)
BATCHES = BatchSampler(SequentialSampler(ROWS), 100, drop_last=True)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            DataLoader(ROWS, 100, drop_last=True),
            r", because drop_last=True leaves out all 30 rows .*smaller batch_size$",
        ),
        (DataLoader(ROWS, batch_sampler=BATCHES), r", because drop_last=True leaves out all 30 rows of the loader"),
        (DataLoader(TensorDataset(INPUTS[:0])), r", because the DataLoader is empty, .*; pass at least one input$"),
        (TensorDataset(INPUTS[:0]), r", because the TensorDataset is empty"),
        ([], r", because the list is empty"),
        (iter([]), r", wanted at least one; a generator can be read once only$"),
        (DataLoader(Empty()), r", wanted at least one; a generator can be read once only$"),
    ],
    ids=["drop_last", "batch_sampler", "loader", "data set", "list", "iterator", "iterable data set"],
)
@pytest.mark.parametrize("read", [read_inputs, lambda inputs, model: lb.layers(model, inputs)], ids=["read", "layers"])
def test_inputs_without_a_batch_have_their_reason(inputs, words, read):
    with pytest.raises(ValueError, match=f"^inputs: got no batch{words}"):
        read(inputs, MODEL)


@pytest.mark.parametrize("limit", [None, 5])
def test_labels_of_rows_that_a_loader_drops_name_drop_last(limit):
    with pytest.raises(ValueError, match=r"^labels: got 30 labels for the 24 rows of a loader whose drop_last=True"):
        read_inputs(DataLoader(ROWS, 8, drop_last=True), MODEL, LABELS, limit=limit)


def test_more_labels_than_rows_of_the_data_set_do_not_blame_drop_last():
    with pytest.raises(ValueError, match=r"^labels: got ") as refusal:
        read_inputs(DataLoader(ROWS, 10, drop_last=True), MODEL, torch.arange(31) % 3)
    assert "drop_last" not in str(refusal.value)


class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.act, self.head = nn.Embedding(9, 4), nn.Tanh(), nn.Linear(4, 2)

    def forward(self, tokens):
        return self.head(self.act(self.embedding(tokens)).mean(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16], ids=str)
def test_tokens_that_are_no_int64_have_remedies_that_work(dtype):
    tokens = torch.randint(9, (30, 5)).to(dtype)
    with pytest.raises(ValueError, match=r"; convert whole numbers, .* by \.long\(\), arrays by \.astype\(int\)$"):
        lb.layer_activations(Embedded(), tokens)
    for converted in (tokens.long(), tokens.numpy().astype(int)):
        lb.layer_activations(Embedded(), converted)


@pytest.mark.parametrize("layers", [None, "0"])
def test_a_network_without_a_named_layer_has_a_remedy_that_works(layers):
    with pytest.raises(lb.LayerSelectionError, match=r"available: none; .* pass torch\.nn\.Sequential\(model\)"):
        lb.layer_activations(MODEL[0], INPUTS, layers=layers)
    lb.layer_activations(nn.Sequential(MODEL[0]), INPUTS, layers="0")


SAMPLES = DataLoader(TensorDataset(INPUTS, LABELS), batch_size=None)


def test_labels_of_a_loader_of_samples_name_its_batch_size():
    with pytest.raises(ValueError, match=r"; a loader with batch_size=None .* pass batch_size=100 to it$"):
        read_inputs(SAMPLES, MODEL, 1)


@pytest.mark.parametrize("value", [torch.inf, -torch.inf])
@pytest.mark.parametrize("as_array", [False, True], ids=["tensor", "array"])
def test_infinite_inputs_are_refused_with_a_remedy_that_works(value, as_array):
    infinite = INPUTS.masked_fill(INPUTS > 1, value)
    with pytest.raises(ValueError, match=r"^inputs: got infinity, .* for instance by inputs\.clamp\(-100, 100\)"):
        read_inputs(infinite.numpy() if as_array else infinite, MODEL)
    read_inputs(infinite.clamp(-100, 100), MODEL)


def test_a_mask_of_inf_is_refused_and_one_of_minus_inf_is_not():
    mask = torch.zeros(30, 4).masked_fill(INPUTS > 1, -torch.inf)
    assert read_inputs((INPUTS, mask), nn.Bilinear(4, 4, 2)).tensors[1].equal(mask)
    with pytest.raises(ValueError, match=r"^inputs: got infinity"):
        read_inputs((INPUTS, -mask), nn.Bilinear(4, 4, 2))


@pytest.mark.parametrize("n_axes", [1, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_samples_of_a_loader_without_a_batch_size_are_not_read_as_batches(shuffle, n_axes):
    """Each sample of L tokens would be L rows of one token."""
    samples = [torch.full((5,) * n_axes, index) for index in range(9)]
    loader = DataLoader(samples, batch_size=None, shuffle=shuffle)
    with pytest.raises(
        ValueError, match=r"^inputs: got 9 items, .* batch_size=100 to the DataLoader if they are sampl"
    ):
        read_inputs(loader, Embedded())
    assert len(read_inputs(DataLoader(samples, batch_size=100, shuffle=shuffle), Embedded())) == 9
    assert len(read_inputs(iter(loader), Embedded())) == 45


def test_labels_apart_tell_that_a_loader_without_a_batch_size_holds_batches():
    batches = DataLoader(list(INPUTS.view(5, 6, 4)), batch_size=None)
    assert len(read_inputs(batches, MODEL, LABELS)) == 30
    with pytest.raises(ValueError, match=r"^inputs: got 5 items"):
        read_inputs(batches, MODEL)


def test_a_loader_that_makes_batches_itself_is_read():
    sampler = BatchSampler(SequentialSampler(ROWS), 10, drop_last=False)
    assert len(read_inputs(DataLoader(ROWS, sampler=sampler, batch_size=None), MODEL)) == 30
    loader = DataLoader(list(INPUTS), batch_size=None, collate_fn=lambda row: torch.as_tensor(row)[None])
    assert len(read_inputs(loader, MODEL)) == 30


class TokenNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.layers = nn.Embedding(9, 4), tanh_mlp(4, 3, 2)

    def forward(self, input_ids):
        return self.layers(self.embedding(input_ids).mean(1))


class NetworkOfSizes(TokenNetwork):
    def forward(self, input_ids):
        return super().forward(input_ids.view(input_ids.size(0), -1))


@pytest.mark.parametrize("network", [TokenNetwork, NetworkOfSizes])
@pytest.mark.parametrize("form", [list, DataLoader])
def test_rows_of_python_lists_are_refused_with_a_remedy_that_works(network, form):
    transformers = pytest.importorskip("transformers")
    rows = [{"input_ids": [i % 9, 2, 3], "labels": i % 2} for i in range(6)]
    with pytest.raises((TypeError, ValueError), match=r"Python lists.*collate_fn=transformers\.default_data_collator"):
        lb.layer_information(network(), form(rows), "labels", sigma=0.5)
    with pytest.raises(ValueError, match=r"^inputs: got 4 times torch.int64 of shape \(2,\) in a pass"):
        lb.layer_information(network(), DataLoader(rows, batch_size=2), sigma=0.5)
    loader = DataLoader(rows, batch_size=100, collate_fn=transformers.default_data_collator)
    assert len(lb.layer_information(network(), loader, "labels", sigma=0.5, queries=4)) == 5


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (iter([{"input": INPUTS}, {"inputs": INPUTS}]), r"arguments \['input'\] and \['inputs'\], wanted the same"),
        (
            iter([{"input": INPUTS, "name": ["a"]}, {"input": INPUTS, "name": ["b"]}]),
            r"\['name'\]\[0\] is 'a' and 'b'.*leave",
        ),
        (xarray.DataArray(INPUTS.numpy()), r"got DataArray among the arguments.*convert it by \.to_numpy\(\)"),
    ],
)
def test_refusals_name_the_argument(inputs, words):
    with pytest.raises((TypeError, ValueError), match=rf"^inputs: .*{words}"):
        read_inputs(inputs, MODEL)
