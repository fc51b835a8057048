"""Derivatives of log_sum_exp_isotropic by torch.autograd."""

import pytest
import torch

from layerbits.kernels import log_sum_exp_isotropic
from tests.support.random_arrays import normal_tensor


def random_tensors(m, n, d):
    """Return points, centers, sigma and weights that require gradients."""
    weights = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    sigma = torch.tensor(0.8, dtype=torch.float64)
    tensors = normal_tensor(m, d), normal_tensor(n, d, seed=1), sigma, weights
    return [tensor.requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("argument", range(4), ids=["points", "centers", "sigma", "weights"])
def test_derivative_by_one_argument_agrees_with_finite_differences(argument):
    inputs = [tensor.detach() for tensor in random_tensors(4, 6, 3)]
    inputs[argument].requires_grad_()
    assert torch.autograd.gradcheck(lambda p, c, s, w: log_sum_exp_isotropic(p, c, s, weights=w), inputs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_derivatives_by_all_arguments_agree_with_finite_differences(weighted, ragged):
    inputs = random_tensors(6, 8, 2)[: 4 if weighted else 3]
    offsets = {"point_offsets": torch.tensor([0, 2, 6]), "center_offsets": torch.tensor([0, 5, 8])} if ragged else {}
    assert torch.autograd.gradcheck(
        lambda p, c, s, w=None: log_sum_exp_isotropic(p, c, s, weights=w, **offsets), inputs
    )


def test_gradient_of_an_expanded_tensor_has_its_shape():
    _, centers, sigma, _ = random_tensors(1, 6, 3)
    rows = normal_tensor(1, 3).expand(5, 3).requires_grad_()
    log_sum_exp_isotropic(rows, centers, sigma).sum().backward()
    assert rows.grad.shape == (5, 3)
