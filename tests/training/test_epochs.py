"""Choice of the epochs at which a network is measured."""

import math

import numpy as np
import pytest
import torch

from layerbits.training import log_spaced, nearest_epochs
from layerbits.training.epochs import checked_epoch, checked_epochs


@pytest.mark.parametrize(("first", "last", "count"), [(1, 10_000, 40), (1, 5, 40), (3, 3, 2), (7, 1000, 2), (1, 2, 9)])
def test_log_spaced_epochs_ascend_from_first_to_last(first, last, count):
    epochs = log_spaced(first, last, count)
    assert (epochs[0], epochs[-1]) == (first, last)
    assert list(epochs) == sorted(set(epochs))
    assert len(epochs) <= count


def test_log_spaced_epochs_are_plain_integers_at_equal_ratios():
    assert log_spaced(1, 1000, 4) == (1, 10, 100, 1000)
    assert {type(epoch) for epoch in log_spaced(1, 1000, 4)} == {int}


@pytest.mark.parametrize("arguments", [(0, 10, 5), (5, 4, 3), (1, 10, 1), (1, 2**80, 3)])
def test_log_spaced_refuses_values_out_of_range(arguments):
    with pytest.raises(ValueError, match="got"):
        log_spaced(*arguments)


@pytest.mark.parametrize("arguments", [(1.5, 9, 3), (True, 5, 3), (1, math.inf, 3), (1, 9, 2.5)])
def test_log_spaced_refuses_numbers_that_are_not_whole(arguments):
    with pytest.raises(TypeError, match="got"):
        log_spaced(*arguments)


def test_nearest_epochs_are_nearest_on_a_logarithmic_axis_without_repeats():
    # 28 is nearer to 10 than to 100 in ratio, 40 to 100.
    assert nearest_epochs((1, 10, 100, 1000), (40, 1, 2, 28, 10_000)) == (1, 10, 100, 1000)


@pytest.mark.parametrize("epoch", [torch.tensor(3), torch.tensor([3]), np.array(3)], ids=repr)
def test_an_epoch_that_is_an_array_has_a_remedy_that_works(epoch):
    with pytest.raises(TypeError, match=r"^epoch: got (Tensor|ndarray), wanted a whole number; pass \.item\(\)"):
        checked_epoch("epoch", epoch)
    with pytest.raises(TypeError, match=r"^at: got (Tensor|ndarray), .* pass \.item\(\)"):
        checked_epochs([epoch])
    assert checked_epoch("epoch", epoch.item()) == 3


def test_epochs_that_are_a_tensor_have_a_remedy_that_works():
    epochs = torch.tensor([0, 2])
    with pytest.raises(TypeError, match=r"^at: got Tensor, wanted whole numbers; pass at\.tolist\(\)$"):
        checked_epochs(epochs)
    assert checked_epochs(epochs.tolist()) == (0, 2)
