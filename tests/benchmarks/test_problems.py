"""The problems of the benchmarks and their true values."""

import math

import numpy as np
import pytest
import torch

from benchmarks.problems import groups, mixture, trained_layers, true_log_sums
from benchmarks.topics.pruned import true_log_sums_of_all_rows
from layerbits.kernels import reference


def test_true_log_sums_of_groups_equal_the_numpy_reference():
    problem = groups(7)
    true = true_log_sums(problem)
    point_and_center_offsets = problem.point_offsets.numpy(), problem.center_offsets.numpy()
    expected = reference.log_sum_exp_isotropic(
        problem.points.numpy(), problem.centers.numpy(), problem.sigma, groups=point_and_center_offsets
    )
    # Exponents are below 100, so float64 rounds them by less than 100 * 2^-53 * (d + 3).
    np.testing.assert_allclose(true.log_sums.astype(float), expected[true.rows], rtol=0, atol=1e-12)


def test_true_log_sums_of_all_rows_equal_those_in_long_double():
    problem = mixture(64, 300, 3)
    sample, complete = true_log_sums(problem), true_log_sums_of_all_rows(problem)
    assert len(complete.rows) == 300
    # Exponents are below 100, so float64 rounds them by less than 100 * 2^-53 * (d + 3).
    np.testing.assert_allclose(
        complete.log_sums[sample.rows].astype(float), sample.log_sums.astype(float), rtol=0, atol=1e-12
    )
    assert (complete.mean_exponent[sample.rows] >= sample.mean_exponent).all()


def test_layers_come_from_the_network_in_training():
    first, last = trained_layers([1, 3], draws=2, queries=3, layers=[5])
    assert (first.problem.centers.shape, first.problem.points.shape) == ((8192, 3), (12_288, 3))
    assert not torch.equal(first.problem.centers, last.problem.centers)
    noise = (first.problem.points.view(4096, 3, 3)[:, 0] - first.problem.centers.view(4096, 2, 3)[:, 0]) / 0.005
    # Six standard errors of the mean square of standard normal values.
    assert noise.square().mean().item() == pytest.approx(1, abs=6 * math.sqrt(2 / noise.numel()))
