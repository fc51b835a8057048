"""Classes: how labels become numbers, and what entropies allow."""

import math

import numpy as np
import pytest
import torch

from layerbits.statistics import ceilings, class_numbers, largest_terms

SIZES = np.array([0] * 6 + [1] * 2)  # classes of weights 3/4 and 1/4
ENTROPY = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)


@pytest.mark.parametrize("labels", [torch.tensor([7, -2, 7, 9]), np.array([1, 0, 1, 5], np.uint8)])
def test_classes_are_numbered_from_zero_without_gaps(labels):
    assert class_numbers(labels, 4).tolist() == [1, 0, 1, 2]


def test_ceilings_are_entropies():
    found = ceilings(8, SIZES)
    assert found == pytest.approx({"I(X;T)": math.log(8), "I(T;Y)": ENTROPY, "I(X;T|Y)": math.log(8) - ENTROPY})


def test_without_labels_only_the_input_has_a_ceiling():
    assert ceilings(8, None) == {"I(X;T)": math.log(8)}


@pytest.mark.parametrize(
    ("classes", "of_class", "of_rest"),
    [(SIZES, math.log(4), math.log(6)), (np.zeros(8, int), 0.0, math.log(8)), (np.arange(8), math.log(8), 0.0)],
)
def test_largest_terms_are_those_of_the_rarest_class_and_the_largest(classes, of_class, of_rest):
    found = largest_terms(8, classes)
    assert found == pytest.approx({"I(X;T)": math.log(8), "I(T;Y)": of_class, "I(X;T|Y)": of_rest}, abs=1e-12)


@pytest.mark.parametrize("classes", [SIZES, np.zeros(8, int), np.arange(8)])
def test_no_ceiling_is_above_the_largest_term(classes):
    terms = largest_terms(8, classes)
    assert all(ceiling <= terms[name] + 1e-12 for name, ceiling in ceilings(8, classes).items())
