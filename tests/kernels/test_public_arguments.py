"""Refused arguments of mixture_log_density, and the memory layouts that as_tensor accepts."""

import numpy as np
import pytest
import torch

from layerbits import mixture_log_density
from layerbits.kernels import as_tensor

POINTS, CENTERS = np.zeros((5, 3)), np.ones((4, 3))

NUMBERS = np.arange(12.0).reshape(4, 3)
READ_ONLY = NUMBERS.copy()
READ_ONLY.flags.writeable = False
LAYOUTS = {
    "read-only": READ_ONLY,
    "byte-swapped": NUMBERS.astype(">f8"),
    "negative strides": NUMBERS[::-1, ::-1],
    "zero stride": np.broadcast_to(NUMBERS[0], (4, 3)),
    "integer": NUMBERS.astype(np.int16),
}


@pytest.mark.parametrize("sigma", [True, "1", None, [1.0], 1j, torch.tensor(1), torch.tensor([1.0, 2.0])])
def test_sigma_that_is_no_number_is_refused(sigma):
    with pytest.raises(TypeError, match=r"^sigma: "):
        mixture_log_density(POINTS, CENTERS, sigma)


@pytest.mark.parametrize("name", ["points", "centers", "weights"])
@pytest.mark.parametrize(
    "value", [[0.0], "x", 3, np.array(["a"]), np.array([1j])], ids=lambda value: type(value).__name__
)
def test_argument_that_is_no_array_of_numbers_is_refused(name, value):
    arguments = {"points": POINTS, "centers": CENTERS, "weights": None} | {name: value}
    with pytest.raises(TypeError, match=f"^{name}: "):
        mixture_log_density(arguments["points"], arguments["centers"], 1.0, weights=arguments["weights"])


@pytest.mark.parametrize("name", ["points", "centers"])
def test_none_for_a_required_array_is_refused(name):
    arguments = {"points": POINTS, "centers": CENTERS} | {name: None}
    with pytest.raises(TypeError, match=f"^{name}: "):
        mixture_log_density(arguments["points"], arguments["centers"], 1.0)


@pytest.mark.parametrize("array", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_numpy_array_of_each_layout_becomes_a_tensor_of_the_same_values(array):
    assert as_tensor("points", array).tolist() == array.tolist()


def test_masked_values_are_refused():
    masked = np.ma.masked_greater(np.arange(6.0).reshape(3, 2), 4)
    with pytest.raises(ValueError, match=r"^points: got masked values, wanted values alone; leave those rows out"):
        as_tensor("points", masked)
    assert as_tensor("points", np.ma.masked_greater(masked.data, 9)).tolist() == masked.data.tolist()
