"""Refusals of inputs whose words name the cause and the remedy."""

import numpy as np
import pytest
import scipy.sparse
import torch
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
