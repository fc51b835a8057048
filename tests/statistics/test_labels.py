"""Class numbers from labels."""

import numpy as np
import pandas
import pytest
import torch

from layerbits.statistics import class_numbers


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor([7, -2, 7, 9]),
        np.array([1, 0, 1, 5], np.uint8),
        [7, -2, 7, 9],
        [True, False, True, 2],
        torch.tensor([1.0, 0.0, 1.0, 5.0]),
        torch.tensor([1.0, 0.0, 1.0, 5.0], dtype=torch.bfloat16),
        ["dog", "cat", "dog", "eel"],
        np.array(["dog", "cat", "dog", "eel"], object),
        pandas.Series([7, -2, 7, 9], index=[3, 1, 2, 0]),
        pandas.Series(["dog", "cat", "dog", "eel"], dtype="category"),
        pandas.cut(pandas.Series([4, 2, 5, 8]), [0, 3, 6, 9]),
        pandas.cut([4, 2, 5, 8], [0, 3, 6, 9]),
        np.array([2, 1, 2, 5], object),
        torch.tensor([[1], [0], [1], [5]]),
        torch.tensor([[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        np.array([[0, 1.0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    ],
    ids=[
        "tensor", "array", "list", "booleans", "whole floats", "bfloat16", "strings", "objects", "series", "categories",
        "intervals", "array of intervals", "objects that are numbers", "column", "one-hot rows", "one-hot floats",
    ],
)  # fmt: skip
def test_classes_are_numbered_from_zero_without_gaps(labels):
    assert class_numbers(labels, 4).tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.full((3,), 0.5), ValueError, "not whole, wanted classes; for a continuous Y, bin it"),
        (np.array([0, np.nan, 1]), ValueError, "got NaN or infinity"),
        (["cat", None, "dog"], TypeError, "got strings and other values"),
        (np.array(["cat", None, "dog"], dtype=object), ValueError, "got missing values in 1 of 3 rows"),
        (pandas.Series(["cat", "dog", pandas.NA], dtype="string"), ValueError, "got missing values in 1 of 3 rows"),
        (pandas.cut(pandas.Series([1, 5, 12]), [0, 3, 10]), ValueError, "got missing values in 1 of 3 rows"),
        (pandas.Series(["cat", "dog", np.nan], dtype="category"), ValueError, "got missing values in 1 of 3 rows"),
        (
            np.array([(1,), "a", 2], dtype=object),
            TypeError,
            "not all strings, such as tuple, .*; convert",
        ),
        (pandas.Series(pandas.date_range("2020", periods=3)), TypeError, "got dtype datetime64.*; convert other"),
        (torch.ones(3) * 1j, TypeError, "got dtype complex64"),
        (torch.ones(3).to_sparse(), ValueError, "sparse"),
        (torch.tensor([0, -100, 1]), ValueError, "got -100, which torch's cross entropy ignores"),
        (torch.arange(3).double() - 100, ValueError, "got -100"),
        (np.array([[0, 1], [1, 1], [1, 0]]), ValueError, r"got shape \(3, 2\), .*one-hot"),
        (np.array([[0, 2], [2, 0], [2, 0]]), ValueError, r"got shape \(3, 2\), .*one-hot"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, error, message):
    with pytest.raises(error, match=f"^labels: .*{message}"):
        class_numbers(labels, 3)


@pytest.mark.parametrize("shape", [(2,), (3, 3)])
def test_labels_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"labels: got shape .*, wanted \(3,\)"):
        class_numbers(torch.ones(shape, dtype=torch.long), 3)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_nested_tensors_are_refused():
    with pytest.raises(ValueError, match=r"^labels: got a nested tensor, wanted a dense one"):
        class_numbers(torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), 2)
