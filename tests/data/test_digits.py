"""The digits of scikit-learn."""

import importlib.util

import pytest
import torch

from layerbits import DataError
from layerbits.data import digits_dataset


def test_every_image_is_in_one_part():
    train, test = digits_dataset(test_fraction=0.25)
    assert (len(train), len(test)) == (1348, 449)
    images = torch.cat([train.inputs, test.inputs]).flatten(1)
    assert images.shape == (1797, 64)
    # The published count of each digit. No two images are equal.
    counts = torch.cat([train.labels, test.labels]).bincount().tolist()
    assert counts == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert len(images.unique(dim=0)) == 1797


def test_pixels_are_floats_from_0_to_1():
    train, _ = digits_dataset()
    assert train.inputs.shape[1:] == (1, 8, 8)
    assert train.inputs.dtype == torch.float32
    assert (train.inputs.min(), train.inputs.max()) == (0, 1)


def test_seed_determines_the_split():
    inputs = digits_dataset(seed=1)[0].inputs
    assert torch.equal(digits_dataset(seed=1)[0].inputs, inputs)
    assert not torch.equal(digits_dataset(seed=2)[0].inputs, inputs)


def test_missing_scikit_learn_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="scikit-learn"):
        digits_dataset()
