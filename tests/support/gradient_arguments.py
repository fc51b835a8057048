"""Calls of the native gradient with valid arguments or one invalid argument."""

import re

import numpy as np
import pytest

from layerbits.kernels import _cpu

ARGUMENTS = {
    "points": np.zeros((5, 3)),
    "centers": np.ones((4, 3)),
    "sigma": 1.0,
    "log_sum": np.zeros(5),
    "upstream": np.ones(5),
    "weights": np.ones(4),
    "point_offsets": np.array([0, 2, 5]),
    "center_offsets": np.array([0, 0, 4]),
    "d_points": np.zeros((5, 3)),
    "d_centers": np.zeros((4, 3)),
    "d_weights": np.zeros(4),
    "d_sigma": np.zeros(5),
}
MATRICES = ["points", "centers", "d_points", "d_centers"]
VECTORS = ["weights", "d_weights", "log_sum", "upstream", "d_sigma"]
OFFSETS = ["point_offsets", "center_offsets"]
OUTPUTS = ["d_points", "d_centers", "d_weights", "d_sigma"]


def call(**changes):
    """Call the gradient with copies of `ARGUMENTS`, with `changes` in place of the arguments of these names."""
    arguments = {name: np.copy(value) if name != "sigma" else value for name, value in ARGUMENTS.items()}
    _cpu.log_sum_exp_isotropic_gradient(**arguments | changes)


def assert_refused(error, name, **changes):
    """Assert that the call raises `error` with the name of the argument."""
    with pytest.raises(error, match=f"^{re.escape(name)}: "):
        call(**changes)
