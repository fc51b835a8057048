"""What all baselines promise alike: one shape of call, honest names, refusals that name the argument."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from layerbits import BaselineEstimate
from layerbits.baselines import (
    kde_entropy,
    kozachenko_leonenko_entropy,
    ksg_information,
    matrix_renyi_entropy,
    pairwise_bounds,
)

ROWS = np.random.default_rng(0).standard_normal((40, 2))
CALLS = {
    "KDE": kde_entropy,
    "Kozachenko-Leonenko": kozachenko_leonenko_entropy,
    "KSG": partial(ksg_information, inputs=np.random.default_rng(1).standard_normal((40, 3))),
    "matrix Renyi": matrix_renyi_entropy,
    "pairwise, lower": lambda rows, **options: pairwise_bounds(rows, sigma=0.3, **options)[0],
    "pairwise, upper": lambda rows, **options: pairwise_bounds(rows, sigma=0.3, **options)[1],
}
ALL = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@ALL
def test_result_names_its_quantity_in_nats_and_needs_no_labels(call):
    found = call(ROWS)
    assert isinstance(found, BaselineEstimate)
    assert found.quantity in {"h(T)", "I(X;T)", "S_alpha(T)", "I(T;T+Z)"}
    assert math.isfinite(found.value)
    assert (found.label_information, found.unit) == (None, "nats")


@ALL
def test_labels_add_information_and_change_nothing_else(call):
    found = call(ROWS, labels=np.arange(40) % 2)
    assert math.isfinite(found.label_information)
    assert found.value == call(ROWS).value


@ALL
def test_one_class_tells_nothing(call):
    assert call(ROWS, labels=np.zeros(40, int)).label_information == pytest.approx(0, abs=1e-13)


@ALL
def test_tensor_gives_what_its_array_gives(call):
    labels = np.arange(40) % 2
    assert call(torch.from_numpy(ROWS).requires_grad_(), labels=torch.from_numpy(labels)) == call(ROWS, labels=labels)


@ALL
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
def test_bad_activations_are_refused(call, rows, error):
    with pytest.raises(error, match=r"^activations: got .*, wanted"):
        call(rows)


@ALL
@pytest.mark.parametrize(("labels", "error"), [(np.zeros(39, int), ValueError), (np.zeros(40), TypeError)])
def test_bad_labels_are_refused(call, labels, error):
    with pytest.raises(error, match=r"^labels: got .*, wanted"):
        call(ROWS, labels=labels)


@pytest.mark.parametrize(
    ("name", "call", "error"),
    [
        ("folds", partial(kde_entropy, folds=1), ValueError),
        ("folds", partial(kde_entropy, folds=41), ValueError),
        ("seed", partial(kde_entropy, seed=-1), ValueError),
        ("neighbours", partial(kozachenko_leonenko_entropy, neighbours=0), ValueError),
        ("neighbours", partial(kozachenko_leonenko_entropy, neighbours=40), ValueError),
        ("neighbours", partial(ksg_information, inputs=ROWS, neighbours=40), ValueError),
        ("neighbours", partial(ksg_information, inputs=ROWS, neighbours=1.0), TypeError),
        ("inputs", partial(ksg_information, inputs=ROWS[1:]), ValueError),
        ("inputs", partial(ksg_information, inputs=None), TypeError),
        ("sigma", partial(pairwise_bounds, sigma=0.0), ValueError),
        ("sigma", partial(pairwise_bounds, sigma="1"), TypeError),
        ("alpha", partial(matrix_renyi_entropy, alpha=1.0), ValueError),
        ("alpha", partial(matrix_renyi_entropy, alpha=-1.0), ValueError),
        ("width", partial(matrix_renyi_entropy, width=0.0), ValueError),
    ],
)
def test_bad_option_is_refused_by_name(name, call, error):
    with pytest.raises(error, match=rf"^{name}: got .*wanted"):
        call(ROWS)


@pytest.mark.parametrize("name", ["Kozachenko-Leonenko", "KSG", "KDE"])
def test_class_that_is_too_small_is_refused(name):
    labels = np.arange(40) == 0
    with pytest.raises(ValueError, match=r"^(neighbours|folds): got .* rows of (one|a) class"):
        CALLS[name](ROWS, labels=labels.astype(int))
