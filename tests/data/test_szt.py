"""The SZT data against properties of the published file."""

import itertools
import math

import numpy as np
import pytest
import torch

from layerbits import DataError
from layerbits.data import szt, szt_dataset

DATA = szt_dataset()
BITS, LABELS = DATA.inputs.long().numpy(), DATA.labels.numpy()


def information_in_bits(x, y):
    """Compute I(X;Y) by counting, with all rows equally likely."""
    joint = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(joint, (x, y), 1 / len(x))
    product_of_marginals = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    is_positive = joint > 0
    return math.fsum(joint[is_positive] * np.log2(joint[is_positive] / product_of_marginals[is_positive]))


def test_inputs_are_zeros_and_ones_as_float32():
    assert DATA.inputs.dtype == torch.float32
    assert set(DATA.inputs.unique().tolist()) == {0.0, 1.0}


def test_row_k_is_k_in_binary():
    assert [int("".join(map(str, row)), 2) for row in BITS] == list(range(4096))


def test_labels_are_int64_with_2118_ones():
    assert DATA.labels.dtype == torch.int64
    assert DATA.labels.bincount().tolist() == [4096 - 2118, 2118]


def test_label_entropy_is_that_of_the_published_file():
    assert information_in_bits(LABELS, LABELS) == pytest.approx(0.9991571208502711, abs=1e-12)


def test_information_of_the_number_of_ones_is_that_of_the_published_file():
    assert information_in_bits(BITS.sum(1), LABELS) == pytest.approx(0.6276412392160222, abs=1e-12)


def test_information_of_each_bit_is_that_of_the_published_file():
    information = [information_in_bits(bit, LABELS) for bit in BITS.T]
    assert information == pytest.approx([0.03390625790244295] * 12, abs=1e-12)


def test_labels_are_invariant_under_symmetries_of_the_icosahedron():
    vertices = szt._ICOSAHEDRON
    basis = [0, 1, 4]
    gram = vertices[basis] @ vertices[basis].T
    symmetries = 0
    for images in itertools.permutations(range(12), 3):
        image = vertices[list(images)]
        if np.allclose(image @ image.T, gram):
            moved = vertices @ np.linalg.solve(vertices[basis], image)
            permutation = (moved @ vertices.T).argmax(1)
            assert np.array_equal(LABELS[BITS[:, permutation] @ (1 << np.arange(12)[::-1])], LABELS)
            symmetries += 1
    assert symmetries == 120


def test_labels_that_differ_from_the_published_ones_are_refused(monkeypatch):
    monkeypatch.setattr(szt, "_BITS", 11)
    monkeypatch.setattr(szt, "_ICOSAHEDRON", szt._ICOSAHEDRON[:11])
    with pytest.raises(DataError, match="sha256"):
        szt_dataset()
