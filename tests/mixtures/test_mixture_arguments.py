"""Arguments that the public functions of mixtures refuse, by errors that name them."""

import math

import numpy as np
import pytest
import torch

from layerbits import mixture_entropy, mixture_entropy_bounds, mixture_information, mixture_log_density
from tests.support.random_arrays import normal_array

PAIR = np.array([[-1.0], [1.0]])

FUNCTIONS = {
    "log_density": lambda centers=PAIR, sigma=1.0, weights=None: mixture_log_density(
        PAIR, centers, sigma, weights=weights
    ),
    "information": lambda centers=PAIR, sigma=1.0, weights=None: mixture_information(centers, sigma, weights=weights),
    "entropy": lambda centers=PAIR, sigma=1.0, weights=None: mixture_entropy(centers, sigma, weights=weights),
    "bounds": lambda centers=PAIR, sigma=1.0, weights=None: mixture_entropy_bounds(centers, sigma, weights=weights),
}
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@every_function
@pytest.mark.parametrize(
    ("centers", "error"),
    [
        (None, TypeError),
        ([[1.0], [2.0]], TypeError),
        (np.array([["a"]]), TypeError),
        (PAIR.astype(complex), TypeError),
        (PAIR.astype(int), TypeError),
        (PAIR.astype(np.float16), TypeError),
        (torch.from_numpy(PAIR).bfloat16(), TypeError),
        (torch.zeros(2, 1, dtype=torch.float64, device="meta"), ValueError),
        (torch.from_numpy(PAIR).to_sparse(), ValueError),
        (np.zeros(3), ValueError),
        (np.zeros((0, 1)), ValueError),
        (np.zeros((2, 0)), ValueError),
    ],
)
def test_bad_centers_are_named(function, centers, error):
    with pytest.raises(error, match=r"^centers: got .*, wanted "):
        function(centers=centers)


@pytest.mark.parametrize("name", ["information", "entropy"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_information_of_centers_that_are_not_finite_is_refused(name, value):
    with pytest.raises(ValueError, match=r"^centers: got NaN or infinity"):
        FUNCTIONS[name](centers=np.array([[0.0], [value]]))


@every_function
@pytest.mark.parametrize("sigma", [0, -1.0, math.nan, math.inf, torch.tensor(-1.0), torch.tensor(math.nan)])
def test_sigma_out_of_range_is_named_with_its_value(function, sigma):
    with pytest.raises(ValueError, match=rf"^sigma: got {float(sigma):g}"):
        function(sigma=sigma)


@every_function
@pytest.mark.parametrize(
    "sigma", ["1", None, True, 1j, np.array(1.0), torch.ones(2), torch.tensor(1), torch.ones((), device="meta")]
)
def test_sigma_that_is_no_number_is_named(function, sigma):
    with pytest.raises(TypeError, match=r"^sigma: got "):
        function(sigma=sigma)


@every_function
@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ([1.0, 1.0], TypeError),
        (np.array([1, 1]), TypeError),
        (np.ones(2, np.float32), TypeError),
        (np.array([1.0, -1.0]), ValueError),
        (np.array([math.nan, 1.0]), ValueError),
        (np.array([math.inf, 1.0]), ValueError),
        (np.array([1e308, 1e308]), ValueError),
        (np.zeros(2), ValueError),
        (np.ones(3), ValueError),
        (np.ones((2, 1)), ValueError),
        (torch.ones(2, dtype=torch.float64, device="meta"), ValueError),
    ],
)
def test_bad_weights_are_named(function, weights, error):
    with pytest.raises(error, match=r"^weights: got .*, wanted "):
        function(weights=weights)


@every_function
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, math.inf], "got an infinite weight, wanted finite weights$"),
        ([1e308, 1e308], "got an infinite total, wanted a finite total; scale the weights down$"),
        ([5e-324, 5e-324], "got a total of 9.88131e-324, wanted at least 1e-292; scale the weights up$"),
    ],
)
def test_only_weights_of_a_finite_normal_total_are_taken(function, weights, message):
    with pytest.raises(ValueError, match=f"^weights: {message}"):
        function(weights=np.array(weights))


@pytest.mark.parametrize("function", [mixture_information, mixture_entropy])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tolerance": 0}, ValueError),
        ({"tolerance": math.nan}, ValueError),
        ({"tolerance": "1"}, TypeError),
        ({"confidence": 0}, ValueError),
        ({"confidence": 1.0}, ValueError),
        ({"confidence": None}, TypeError),
        ({"seed": -1}, ValueError),
        ({"seed": 0.5}, TypeError),
        ({"max_draws": 3}, ValueError),
        ({"max_draws": 10.0}, TypeError),
    ],
)
def test_bad_options_are_named(function, options, error):
    (name,) = options
    with pytest.raises(error, match=rf"^{name}: got "):
        function(PAIR, 1.0, **options)


def test_points_and_centers_of_different_dtype_are_refused():
    with pytest.raises(TypeError, match=r"^centers: got dtype float64, wanted float32 like points"):
        mixture_log_density(PAIR.astype(np.float32), PAIR, 1.0)


def test_points_and_centers_of_different_width_are_refused():
    with pytest.raises(ValueError, match=r"^centers: got shape \(2, 1\), wanted"):
        mixture_log_density(normal_array(3, 2), PAIR, 1.0)


@every_function
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_nested_sigma_is_refused(function):
    with pytest.raises(TypeError, match=r"^sigma: got a nested tensor, wanted one floating-point number"):
        function(sigma=torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]))
