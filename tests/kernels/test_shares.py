"""Shares of the work of an operation on the CPU give the bits of the whole."""

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu, as_sigma, isotropic_log_sums, log_sum_exp_isotropic, sharding
from layerbits.kernels.shared_operations import choose_method

pytestmark = pytest.mark.cpu_only("processes share the work of the CPU alone")


def random_points(n, dim):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(0))


def clusters(n=4000):
    return 10 * random_points(40, 5).repeat(n // 40, 1) + random_points(n, 5) / 10


@pytest.mark.parametrize(("points", "method"), [(clusters(), "pruned"), (random_points(4000, 5), "dense")])
def test_parts_by_the_chosen_method_have_the_bits_of_the_automatic_one(points, method):
    assert choose_method(points, points, as_sigma(0.1), None) == method
    whole, parts = np.empty(len(points)), np.empty(len(points))
    assert _cpu.log_sum_exp_isotropic(points, points, 0.1, whole) == method
    for rows in np.array_split(np.arange(len(points)), 3):
        _cpu.log_sum_exp_isotropic(points[rows], points, 0.1, parts[rows[0] : rows[-1] + 1], method=method)
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("count", [2, 3, 50])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_counts_of_shares_sum_to_those_of_all_pairs(count, metric):
    points, edges = random_points(700, 3), np.linspace(0, 2, 11)

    def counts(share):
        result = np.empty((12, 2), np.int64)
        _cpu.distance_histogram(points, edges, result, metric=metric, share=share)
        return result

    shares = [(index, count) for index in range(count)]
    np.testing.assert_array_equal(sum(map(counts, shares)), counts((0, 1)))
    largest = [_cpu.largest_distance(points, metric=metric, share=share) for share in shares]
    assert max(largest) == _cpu.largest_distance(points, metric=metric)


@pytest.mark.parametrize("share", [(1, 1), (-1, 2), (0, 0)])
def test_shares_outside_their_number_are_refused(share):
    with pytest.raises(ValueError, match=r"^share: got \(-?\d, \d\), wanted \(index, count\), index < count$"):
        _cpu.largest_distance(random_points(2, 1), share=share)


@pytest.mark.parametrize(("dim", "wanted"), [(2, 1e-7), (3, None)])
def test_log_sums_have_the_tolerance_by_which_processes_choose_a_method(monkeypatch, dim, wanted):
    """Beyond two dimensions `choose_method` assumes the default tolerance."""
    tolerances = []

    def recording(*arguments, tolerance, **options):
        tolerances.append(tolerance)
        return log_sum_exp_isotropic(*arguments, tolerance=tolerance, **options)

    monkeypatch.setattr(sharding, "log_sum_exp_isotropic", recording)
    points = random_points(10, dim)
    isotropic_log_sums(points, points, as_sigma(0.1))
    assert tolerances == [wanted]
