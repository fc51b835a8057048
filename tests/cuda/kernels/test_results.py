"""Results of the CUDA kernels; tests.cuda.stand_in also runs tests/kernels on these kernels."""

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu, log_sum_exp, operations, reference
from tests.cuda.support.kernel_tests import BOTH_DTYPES, BOTH_KINDS, kernels_of, module_of, needs_emulation
from tests.support.exact_mixture import error_bound, exact_log_sums


def largest_error(kernels, points, centers, sigma, weights=None):
    """Return the largest error relative to its bound."""
    log_sum = np.full(len(points), 7.0)
    kernels.log_sum_exp_isotropic(points, centers, sigma, log_sum, weights=weights)
    expected, mean_exponent = exact_log_sums(points, centers, sigma, weights=weights)
    return (np.abs(log_sum - expected) / error_bound(mean_exponent, points.shape[1], points.dtype)).max()


@pytest.fixture(params=[-1, 1], ids=["too small", "too large"])
def biased_kernels(request, monkeypatch):
    """Return kernels whose powers of two have errors of one sign, of 3/4 of 2^-22 before they are rounded to float32.

    The special-function unit errs by at most 2^-22 = 2 eps, half of the bound of a log-sum at small exponents.
    """
    monkeypatch.setenv("LAYERBITS_EMULATED_EXP2", str(request.param))
    return kernels_of("emulated")


@needs_emulation
@pytest.mark.parametrize("d", [1, 2, 3, 8, 10, 32, 33, 128])
def test_error_with_biased_powers_is_within_the_bound_in_1_to_128_dimensions(biased_kernels, d):
    generator = np.random.default_rng(d)
    points, centers = (generator.standard_normal((rows, d)).astype(np.float32) for rows in (21, 43))
    assert largest_error(biased_kernels, points, centers, 0.4 * d**0.5) <= 1
    for weights in (generator.random(43), generator.choice([0, 1], 43), generator.choice([1e-30, 1], 43)):
        assert largest_error(biased_kernels, points, centers, 0.4 * d**0.5, weights.astype(np.float32)) <= 1


@needs_emulation
@pytest.mark.parametrize("n", [1000, 20_000])
def test_error_with_biased_powers_is_within_the_bound_for_equal_terms(biased_kernels, n):
    signs = np.random.default_rng(0).choice([-1, 1], size=(n, 5))
    centers = (np.array([0.3, 0.41, 0.17, 0.59, 0.23]) * signs).astype(np.float32)
    assert largest_error(biased_kernels, np.zeros((3, 5), np.float32), centers, 0.7) <= 1


@BOTH_KINDS
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 3, 33, 300])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_histogram_and_largest_distance_equal_those_of_the_cpu(kind, dtype, d, metric):
    if _cpu.level() == "sse2":
        pytest.skip("SSE2 has no fused multiply-add, so its squares have other bits")
    points = np.random.default_rng(d).standard_normal((130, d)).astype(dtype)
    counts, expected, edges = np.full((39, 2), 7), np.full((39, 2), 7), np.linspace(0, 1.5, 38)
    kernels_of(kind).distance_histogram(points, edges, counts, metric=metric)
    _cpu.distance_histogram(points, edges, expected, metric=metric)
    np.testing.assert_array_equal(counts, expected)
    assert kernels_of(kind).largest_distance(points, metric=metric) == _cpu.largest_distance(points, metric=metric)


@BOTH_KINDS
@pytest.mark.parametrize("sizes", [[3, 0, 200, 1], [64] * 3], ids=["ragged", "even"])
def test_log_sum_of_a_point_has_the_centers_of_its_group_alone(kind, sizes):
    generator = np.random.default_rng(1)
    offsets = np.append(0, np.cumsum(sizes))
    points, centers = (generator.standard_normal((offsets[-1], 3)) for _ in range(2))
    log_sum = np.full(len(points), 7.0)
    kernels_of(kind).log_sum_exp_isotropic(points, centers, 0.7, log_sum, point_offsets=offsets, center_offsets=offsets)
    expected = reference.log_sum_exp_isotropic(points, centers, 0.7, groups=(offsets, offsets))
    # The mean |exponent| is the entropy of the softmax weights, at most log 200, minus the log-sum.
    bound = error_bound(np.log(200) + np.abs(expected), 3, points.dtype)
    assert (np.abs(log_sum - expected) <= bound).all()


@BOTH_KINDS
def test_bad_weights_are_refused(kind):
    for weights, message in (
        (np.array([1.0, -1e-10, 1]), "weights: got -1e-10 at index 1"),
        (np.zeros(3), "weights: got all 0"),
    ):
        with pytest.raises(ValueError, match=message):
            kernels_of(kind).log_sum_exp_isotropic(
                np.zeros((2, 2)), np.zeros((3, 2)), 1.0, np.zeros(2), weights=weights
            )


@BOTH_KINDS
@BOTH_DTYPES
def test_weight_of_minus_zero_is_a_weight_of_zero(kind, dtype):
    # The kernel compares weights by their bits as unsigned integers, and the bits of -0 exceed those of any weight.
    points, log_sum = np.zeros((2, 2), dtype), np.full(2, 7.0)
    kernels_of(kind).log_sum_exp_isotropic(points, points, 1.0, log_sum, weights=np.array([-0.0, 2.0], dtype))
    np.testing.assert_allclose(log_sum, np.log(2), rtol=2 * np.finfo(dtype).eps)


class EmulatedOperations:
    """An adapter like CudaOperations, for tensors of the CPU."""

    def __init__(self):
        self.module = module_of("emulated")

    def log_sum_exp_isotropic(self, mixture, accuracy, log_sum):
        self.module.call(
            "log_sum_exp_isotropic", mixture.points, mixture.centers, mixture.sigma, log_sum, weights=mixture.weights
        )

    def log_sum_exp_isotropic_gradient(self, mixture, gradient):
        outputs = {name: getattr(gradient, name) for name in ("d_points", "d_centers", "d_weights", "d_sigma")}
        self.module.call(
            "log_sum_exp_isotropic_gradient",
            mixture.points,
            mixture.centers,
            mixture.sigma,
            gradient.log_sum,
            gradient.upstream,
            weights=mixture.weights,
            **outputs,
        )


@needs_emulation
def test_autograd_uses_the_gradients_of_the_kernels(monkeypatch):
    monkeypatch.setattr(log_sum_exp, "operations_for", lambda tensor: EmulatedOperations())
    generator = torch.Generator().manual_seed(0)
    points, centers = (torch.randn(k, 2, dtype=torch.float64, generator=generator) for k in (3, 4))
    sigma, weights = torch.tensor(0.8, dtype=torch.float64), torch.rand(4, dtype=torch.float64, generator=generator)
    inputs = [tensor.requires_grad_() for tensor in (points, centers, sigma, weights)]
    assert torch.autograd.gradcheck(lambda p, c, s, w: operations.log_sum_exp_isotropic(p, c, s, weights=w), inputs)


@BOTH_KINDS
@BOTH_DTYPES
def test_peak_returns_its_number_of_multiply_adds(kind, dtype):
    values = np.full(100, 0.5, dtype)
    assert kernels_of(kind).peak(values, 3, False) == 100 * 3 * 8
    # Chain c begins with 1/2 + c; three steps x -> x / 2 + 1/2 give x / 8 + 7/8.
    np.testing.assert_array_equal(values, sum((0.5 + c) / 8 + 7 / 8 for c in range(8)))
