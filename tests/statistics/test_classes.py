"""Class numbers from labels."""

import numpy as np
import pytest
import torch

from layerbits.statistics import class_numbers


@pytest.mark.parametrize("labels", [torch.tensor([7, -2, 7, 9]), np.array([1, 0, 1, 5], np.uint8)])
def test_classes_are_numbered_from_zero_without_gaps(labels):
    assert class_numbers(labels, 4).tolist() == [1, 0, 1, 2]


def test_labels_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match=r"labels: got dtype torch\.float32, wanted integers"):
        class_numbers(torch.ones(3), 3)


@pytest.mark.parametrize("shape", [(2,), (3, 1)])
def test_labels_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"labels: got shape .*, wanted \(3,\)"):
        class_numbers(torch.ones(shape, dtype=torch.long), 3)
