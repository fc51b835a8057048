"""The interface that all baselines share: arguments, result type, names, errors."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from layerbits import BaselineEstimate
from layerbits.baselines import (
    infonce,
    infonce_information,
    kde_entropy,
    kozachenko_leonenko_entropy,
    ksg_information,
    matrix_renyi_entropy,
    pairwise_bounds,
    sliced_ksg_information,
)
from tests.support.random_arrays import normal_array

ROWS = normal_array(40, 2)
ESTIMATORS = {
    "KDE": kde_entropy,
    "Kozachenko-Leonenko": kozachenko_leonenko_entropy,
    "KSG": partial(ksg_information, inputs=normal_array(40, 3, seed=1)),
    "sliced KSG": partial(sliced_ksg_information, inputs=normal_array(40, 3, seed=1), slices=4),
    "InfoNCE": partial(infonce_information, inputs=normal_array(40, 3, seed=1), batch=16),
    "matrix Renyi": matrix_renyi_entropy,
    "pairwise, lower": lambda rows, **options: pairwise_bounds(rows, sigma=0.3, **options)[0],
    "pairwise, upper": lambda rows, **options: pairwise_bounds(rows, sigma=0.3, **options)[1],
}
EVERY_ESTIMATOR = pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Train the critic of InfoNCE for a few steps: its interface does not depend on them."""
    monkeypatch.setattr(infonce, "_STEPS", 3)


@EVERY_ESTIMATOR
def test_result_has_a_quantity_in_nats_and_no_label_information(estimate):
    result = estimate(ROWS)
    assert isinstance(result, BaselineEstimate)
    assert result.quantity in {"h(T)", "I(X;T)", "SI(X;T)", "S_alpha(T)", "I(T;T+Z)"}
    assert math.isfinite(result.value)
    assert (result.label_information, result.unit) == (None, "nats")


@EVERY_ESTIMATOR
def test_labels_add_label_information_and_keep_the_value(estimate):
    result = estimate(ROWS, labels=np.arange(40) % 2)
    assert math.isfinite(result.label_information)
    assert result.value == estimate(ROWS).value


@EVERY_ESTIMATOR
def test_single_class_has_no_label_information(estimate):
    assert estimate(ROWS, labels=np.zeros(40, int)).label_information == pytest.approx(0, abs=1e-13)


@EVERY_ESTIMATOR
def test_tensor_and_array_give_the_same_result(estimate):
    labels = np.arange(40) % 2
    tensor = torch.from_numpy(ROWS).requires_grad_()
    assert estimate(tensor, labels=torch.from_numpy(labels)) == estimate(ROWS, labels=labels)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (ROWS.tolist(), TypeError),
        (ROWS.astype(int), TypeError),
        (ROWS[0], ValueError),
        (ROWS[:, :0], ValueError),
        (ROWS[:0], ValueError),
        (np.where(ROWS > 2, np.nan, ROWS), ValueError),
        (np.where(ROWS > 2, np.inf, ROWS), ValueError),
    ],
    ids=["list", "integers", "vector", "no units", "no rows", "NaN", "infinity"],
)
def test_invalid_activations_are_named(rows, error):
    with pytest.raises(error, match=r"^activations: got .*, wanted"):
        kde_entropy(rows)


@EVERY_ESTIMATOR
def test_activations_are_checked(estimate):
    with pytest.raises(ValueError, match=r"^activations: got NaN or infinity, wanted"):
        estimate(np.where(ROWS > 2, np.nan, ROWS))


@EVERY_ESTIMATOR
@pytest.mark.parametrize(("labels", "error"), [(np.zeros(39, int), ValueError), ([None] * 40, ValueError)])
def test_invalid_labels_are_named(estimate, labels, error):
    with pytest.raises(error, match=r"^labels: got .*, wanted"):
        estimate(ROWS, labels=labels)


@pytest.mark.parametrize(
    ("name", "estimate", "error"),
    [
        ("folds", partial(kde_entropy, folds=1), ValueError),
        ("folds", partial(kde_entropy, folds=41), ValueError),
        ("seed", partial(kde_entropy, seed=-1), ValueError),
        ("neighbours", partial(kozachenko_leonenko_entropy, neighbours=0), ValueError),
        ("neighbours", partial(kozachenko_leonenko_entropy, neighbours=40), ValueError),
        ("neighbours", partial(ksg_information, inputs=ROWS, neighbours=40), ValueError),
        ("neighbours", partial(ksg_information, inputs=ROWS, neighbours=1.0), TypeError),
        ("neighbours", partial(sliced_ksg_information, inputs=ROWS, neighbours=40), ValueError),
        ("slices", partial(sliced_ksg_information, inputs=ROWS, slices=0), ValueError),
        ("seed", partial(sliced_ksg_information, inputs=ROWS, seed=-1), ValueError),
        ("batch", partial(infonce_information, inputs=ROWS, batch=21), ValueError),
        ("batch", partial(infonce_information, inputs=ROWS, batch=1), ValueError),
        ("seed", partial(infonce_information, inputs=ROWS, batch=2, seed=-1), ValueError),
        ("inputs", partial(ksg_information, inputs=ROWS[1:]), ValueError),
        ("inputs", partial(sliced_ksg_information, inputs=ROWS[1:]), ValueError),
        ("inputs", partial(infonce_information, inputs=ROWS[1:]), ValueError),
        ("inputs", partial(ksg_information, inputs=None), TypeError),
        ("sigma", partial(pairwise_bounds, sigma=0.0), ValueError),
        ("sigma", partial(pairwise_bounds, sigma="1"), TypeError),
        ("alpha", partial(matrix_renyi_entropy, alpha=1.0), ValueError),
        ("alpha", partial(matrix_renyi_entropy, alpha=-1.0), ValueError),
        ("width", partial(matrix_renyi_entropy, width=0.0), ValueError),
    ],
)
def test_invalid_option_is_named(name, estimate, error):
    with pytest.raises(error, match=rf"^{name}: got .*wanted"):
        estimate(ROWS)


@pytest.mark.parametrize("name", ["Kozachenko-Leonenko", "KSG", "sliced KSG", "KDE"])
def test_class_with_too_few_rows_is_refused(name):
    labels = np.arange(40) == 0
    with pytest.raises(ValueError, match=r"^(neighbours|folds): got .* rows of .*a class"):
        ESTIMATORS[name](ROWS, labels=labels.astype(int))
