"""Refusals of labels that are no labels: the words name `labels` and what to do."""

from fractions import Fraction

import numpy as np
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
