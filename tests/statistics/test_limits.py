"""Upper limits of information against closed forms."""

import math

import numpy as np
import pytest

from layerbits.statistics import ceilings, largest_terms

CLASSES = np.array([0] * 6 + [1] * 2)  # their probabilities are 3/4 and 1/4
CLASS_ENTROPY = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)


def test_ceilings_are_entropies():
    truth = {"I(X;T)": math.log(8), "I(T;Y)": CLASS_ENTROPY, "I(X;T|Y)": math.log(8) - CLASS_ENTROPY}
    assert ceilings(8, CLASSES) == pytest.approx(truth)


def test_only_information_about_the_input_has_limits_without_classes():
    assert ceilings(8, None) == {"I(X;T)": math.log(8)}
    assert largest_terms(8, None) == pytest.approx({"I(X;T)": math.log(8)})


@pytest.mark.parametrize(
    ("classes", "class_term", "term_given_class"),
    [(CLASSES, math.log(4), math.log(6)), (np.zeros(8, int), 0.0, math.log(8)), (np.arange(8), math.log(8), 0.0)],
)
def test_largest_terms_are_those_of_the_smallest_and_of_the_largest_class(classes, class_term, term_given_class):
    truth = {"I(X;T)": math.log(8), "I(T;Y)": class_term, "I(X;T|Y)": term_given_class}
    assert largest_terms(8, classes) == pytest.approx(truth, abs=1e-12)


def test_weights_of_inputs_determine_the_limits():
    """Probabilities 1/2, 1/4, 1/4, 0; the second class holds the last three inputs."""
    weights, classes = np.array([2.0, 1, 1, 0]), np.array([0, 1, 1, 1])
    entropies = {"I(X;T)": 1.5, "I(T;Y)": 1.0, "I(X;T|Y)": 0.5}  # bits
    assert ceilings(4, classes, weights) == pytest.approx({name: b * math.log(2) for name, b in entropies.items()})
    terms = {"I(X;T)": 2.0, "I(T;Y)": 1.0, "I(X;T|Y)": 1.0}  # bits
    assert largest_terms(4, classes, weights) == pytest.approx({name: b * math.log(2) for name, b in terms.items()})


def test_ratio_of_weights_may_exceed_the_largest_number():
    assert largest_terms(2, None, np.array([1e-320, 1.0]))["I(X;T)"] == pytest.approx(320 * math.log(10), rel=1e-5)


@pytest.mark.parametrize("classes", [CLASSES, np.zeros(8, int), np.arange(8)])
def test_no_ceiling_is_above_the_largest_term(classes):
    terms = largest_terms(8, classes)
    assert all(ceiling <= terms[name] + 1e-12 for name, ceiling in ceilings(8, classes).items())
