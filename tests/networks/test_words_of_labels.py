"""Refusals of labels that are no labels: the words name `labels` and what to do."""

from fractions import Fraction

import numpy as np
import pandas
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from layerbits.networks import read_inputs
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS, LABELS = normal_tensor(30, 4, seed=3).float(), torch.arange(30) % 3
LOADER = DataLoader(TensorDataset(INPUTS, LABELS), batch_size=10)


@pytest.mark.parametrize(
    "labels",
    [torch.tensor(1), np.array(1), np.int64(1), b"abc", True, 1.0, Fraction(1), {"a": LABELS, "b": 1.0}],
    ids=str,
)
@pytest.mark.parametrize("inputs", [INPUTS, LOADER], ids=["tensor", "loader"])
def test_a_single_value_is_no_label(inputs, labels):
    with pytest.raises(TypeError, match=r"^labels: got a single value of type .*, wanted one label for each input, or"):
        read_inputs(inputs, tanh_mlp(4, 3, 2), labels)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ((INPUTS, LABELS), "a batch with the keys or positions 0, 1,"),
        ({"input": INPUTS, "y": LABELS}, "a batch with the keys or positions 'input', 'y',"),
        (INPUTS, "a batch with the keys or positions none, because it is a Tensor,"),
    ],
    ids=["tuple", "mapping", "tensor"],
)
def test_an_error_of_a_label_function_names_the_labels_and_has_its_cause(batch, words):
    def function(batch):
        raise LookupError("no q")

    with pytest.raises(
        ValueError, match=rf"^labels: got a function that raises LookupError \(no q\) for {words}"
    ) as refusal:
        read_inputs(batch, tanh_mlp(4, 3, 2), function)
    assert isinstance(refusal.value.__cause__, LookupError)


@pytest.mark.parametrize(
    ("batch", "labels", "key"),
    [
        (DataLoader(TensorDataset(INPUTS), batch_size=10), 0, "0"),
        ((LABELS,), lambda batch: batch[0], "0"),
        ({"y": LABELS}, "y", "'y'"),
        (pandas.DataFrame({"y": LABELS}), "y", "'y'"),
    ],
    ids=["loader", "function", "mapping", "data frame"],
)
def test_labels_that_are_the_only_item_leave_nothing_for_the_network(batch, labels, key):
    with pytest.raises(
        ValueError, match=rf"^labels: got {key}, the only item of a batch, so nothing is left for the network"
    ):
        read_inputs(batch, tanh_mlp(4, 3, 2), labels)


@pytest.mark.parametrize("labels", [INPUTS[:, 0], LABELS[:2]])
def test_an_error_names_the_label_set(labels):
    with pytest.raises(ValueError, match=r"^labels\['b'\]: got (numbers that are not whole|shape \(2,\))"):
        read_inputs(INPUTS, tanh_mlp(4, 3, 2), {"a": LABELS, "b": labels})


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m"])
def test_names_of_label_sets_are_printable(name):
    with pytest.raises(TypeError, match=r"^labels: got a mapping with keys .*, wanted printable text"):
        read_inputs(INPUTS, tanh_mlp(4, 3, 2), {name: LABELS})
