"""Linear layers with given weights, and one Parseval step by its formula."""

import torch
from torch import nn

from tests.support.random_arrays import normal_tensor


def linear(weight):
    """Make a linear layer without bias that has a copy of `weight`, in its dtype."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight.clone())
    return layer


def matrix_of_singular_values(values, rows, columns):
    """Make a matrix with random singular vectors; return it with its left and right singular vectors."""
    left, _ = torch.linalg.qr(normal_tensor(rows, len(values), seed=1))
    right, _ = torch.linalg.qr(normal_tensor(columns, len(values), seed=2))
    return left @ torch.diag(values) @ right.T, left, right


def parseval_step(matrix, strength):
    return (1 + strength) * matrix - strength * matrix @ matrix.mH @ matrix


def assert_close(actual, expected):
    # A few products of matrices of about 10 rows, with entries of order 1, add fewer than 1000 roundings.
    torch.testing.assert_close(actual, expected, atol=1000 * torch.finfo(actual.dtype).eps, rtol=0)


def convolutional_network():
    """Make a network whose modules 0, 4 and 6 have weight matrices; its weights are always the same."""
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3), nn.Tanh(), nn.Linear(3, 2)
    )
    for index in (0, 4, 6):
        nn.init.normal_(model[index].weight, std=0.3, generator=torch.Generator().manual_seed(index))
    return model
