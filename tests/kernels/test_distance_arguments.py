"""Refused arguments of distance_histogram and largest_distance."""

import re

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu
from layerbits.kernels import largest_distance as public_largest_distance
from tests.support.native_calls import BOTH_DTYPES, distance_histogram
from tests.support.random_arrays import normal_array

EDGES = np.linspace(0, 10, 11)


@BOTH_DTYPES
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_is_refused_with_its_row(dtype, value):
    points = normal_array(140, 3, dtype=dtype)
    points[133, 1] = value
    message = r"^points: got NaN or infinity in row 133, wanted finite numbers"
    with pytest.raises(ValueError, match=message):
        distance_histogram(points, EDGES)
    with pytest.raises(ValueError, match=message):
        _cpu.largest_distance(points)


def test_row_of_zeros_is_refused_under_the_cosine_metric_alone():
    points = normal_array(5, 3)
    points[2] = 0
    assert distance_histogram(points, EDGES).sum() == 10
    with pytest.raises(ValueError, match=r"^points: got only zeros in row 2, which has no direction"):
        distance_histogram(points, EDGES, metric="cosine")


@pytest.mark.parametrize(
    "edges", [[], [1.0], [0, 1, 0.5], [0, np.nan], [-np.inf, 0], [0, np.inf]], ids=lambda edges: str(edges)
)
def test_edges_that_are_too_few_descending_or_not_finite_are_refused(edges):
    with pytest.raises(ValueError, match=r"^edges: got .*, wanted"):
        distance_histogram(normal_array(3, 2), np.array(edges, float))


ARGUMENTS = {
    "points": np.ones((4, 3)),
    "edges": np.array([0.0, 1.0]),
    "counts": np.zeros((3, 2), np.int64),
    "labels": np.zeros(4, np.int64),
}


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("points", [[0.0]], TypeError),
        ("points", np.ones((4, 3), np.int64), TypeError),
        ("points", np.ones(4), ValueError),
        ("points", np.ones((4, 0)), ValueError),
        ("edges", np.zeros(2, np.float32), TypeError),
        ("edges", np.zeros((2, 1)), ValueError),
        ("counts", np.zeros((3, 2)), TypeError),
        ("counts", np.zeros((2, 2), np.int64), ValueError),
        ("counts", np.zeros((3, 3), np.int64), ValueError),
        ("labels", np.zeros(3, np.int64), ValueError),
        ("labels", np.zeros(4, np.int32), TypeError),
    ],
)
def test_wrong_argument_is_refused_by_name(name, value, error):
    with pytest.raises(error, match=f"^{re.escape(name)}: "):
        _cpu.distance_histogram(**ARGUMENTS | {name: value})


@pytest.mark.host_array("a copy on a device is writable")
def test_read_only_counts_are_refused():
    counts = np.zeros((3, 2), np.int64)
    counts.flags.writeable = False
    with pytest.raises(ValueError, match=r"^counts: got a read-only array"):
        _cpu.distance_histogram(**ARGUMENTS | {"counts": counts})


@pytest.mark.parametrize("metric", ["Euclidean", "", "l2"])
def test_unknown_metric_is_refused_by_native_and_public_functions(metric):
    with pytest.raises(ValueError, match=r"^metric: got .*, wanted one of euclidean, cosine"):
        _cpu.distance_histogram(**ARGUMENTS, metric=metric)
    with pytest.raises(ValueError, match=r"^metric: got .*, wanted one of euclidean, cosine"):
        public_largest_distance(torch.ones(3, 2), metric=metric)


def test_failed_call_does_not_change_counts():
    counts = np.full((3, 2), 7)
    with pytest.raises(ValueError, match="points"):
        _cpu.distance_histogram(np.full((4, 3), np.nan), ARGUMENTS["edges"], counts)
    assert (counts == 7).all()
