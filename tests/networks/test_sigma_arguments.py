"""Values of `sigma` that are no noise are refused by name; the smallest and the largest sigma are accepted."""

import numpy as np
import pytest
import torch

from layerbits import DropoutNoise, noise_of, noisify
from tests.support.networks import tanh_mlp

INPUTS = torch.zeros(2, 4)
ONES = torch.ones(3)

REFUSED = {
    "too large": (1e300, ValueError, r"got a standard deviation of 1e\+300, wanted one from 1e-37 to 1e\+37"),
    "too small": (1e-46, ValueError, "got a standard deviation of 1e-46, wanted one from 1e-37"),
    "unit too large": (torch.tensor([1, 1, 1e38]), ValueError, r"got a standard deviation of 1e\+38, wanted one"),
    "unit too small": (np.array([1, 1, 1e-300]), ValueError, "got a standard deviation of 1e-300, wanted one"),
    "variance too large": (1e90 * torch.eye(3, dtype=torch.float64), ValueError, r"standard deviation of 1e\+45"),
    "sparse": (ONES.to_sparse(), TypeError, r"layout torch.sparse_coo, wanted a dense one; pass .*to_dense\(\)"),
    "meta": (ONES.to("meta"), ValueError, "on the device meta, wanted a tensor that holds values"),
    "quantized": (lambda: torch.quantize_per_tensor(ONES, 1, 0, torch.qint8), TypeError, r"qint8, .*dequantize\("),
    "complex": (ONES + 0j, TypeError, "a tensor of torch.complex64, wanted floating-point numbers; pass .*real"),
    "integers": (ONES.int(), TypeError, r"a tensor of torch.int32, wanted floating-point numbers; pass .*float\(\)"),
    "nested": (lambda: torch.nested.nested_tensor([ONES, ONES[:2]]), TypeError, "got a nested tensor, wanted"),
    "integer array": (np.ones(3, int), TypeError, r"an array of int64, .*; pass .*astype\(float\)"),
    "strings": (np.array(["0.1"]), TypeError, r"an array of <U3, wanted floating-point numbers"),
    "list": ([0.1, 0.2, 0.3], TypeError, "got list, wanted a number, a tensor or an array; use torch.tensor"),
    "no axis": (torch.tensor(0.1), ValueError, r"got shape \(\), wanted a float, .*; pass float\(sigma"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(("sigma", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_sigma_that_is_no_noise_is_refused_in_one_line(sigma, error, message):
    sigma = sigma() if callable(sigma) else sigma
    with pytest.raises(error, match=f"^sigma: .*{message}") as raised:
        noisify(tanh_mlp(4, 3, 2), sigma=sigma)
    assert "\n" not in str(raised.value)
    model = noisify(tanh_mlp(4, 3, 2), sigma=0.1, inputs=INPUTS)
    with pytest.raises(error, match=rf"^sigma\['1'\]: .*{message}"):
        noise_of(model)["1"] = sigma


@pytest.mark.parametrize("sigma", [1e-37, 1e37])
def test_noise_of_the_smallest_and_the_largest_sigma_is_finite_and_not_zero(sigma):
    model = noisify(torch.nn.Sequential(torch.nn.Identity()), sigma=sigma, layers="0", inputs=INPUTS)
    noise = model(torch.zeros(1000, 4)) / sigma
    # The standard error of the variance of 4000 normal values is (2 / 4000)^(1/2) = 0.022.
    assert abs(float(noise.var()) - 1) < 6 * 0.0224


@pytest.mark.parametrize(
    ("sigma", "got"),
    [
        ("0.1", "str"),
        (None, "NoneType"),
        (True, "bool"),
        (1j, "complex"),
        (abs, "builtin_function_or_method"),
        (DropoutNoise, "the class DropoutNoise"),
    ],
)
def test_error_names_all_accepted_types(sigma, got):
    wanted = f"got {got}, wanted a positive number, a tensor, an array"
    with pytest.raises(TypeError, match=f"^sigma: {wanted}, a DropoutNoise, a RelativeSigma, or a mapping from layers"):
        noisify(tanh_mlp(4, 3, 2), sigma=sigma)
    with pytest.raises(TypeError, match=rf"^sigma\['1'\]: {wanted}, a DropoutNoise or a RelativeSigma$"):
        noisify(tanh_mlp(4, 3, 2), sigma={"1": sigma})
    model = noisify(tanh_mlp(4, 3, 2), sigma=0.1, inputs=INPUTS)
    with pytest.raises(TypeError, match=rf"^sigma\['1'\]: {wanted} or a DropoutNoise$"):
        noise_of(model)["1"] = sigma


DEVIATIONS = np.array([0.1, 0.2, 0.3])
READ_ONLY = np.broadcast_to(0.2, 3)


@pytest.mark.parametrize(
    "sigma",
    [DEVIATIONS[::-1], READ_ONLY, DEVIATIONS.astype(">f8"), np.repeat(DEVIATIONS, 2)[::2]],
    ids=["reversed", "read-only", "byte-swapped", "strided"],
)
@pytest.mark.filterwarnings("error")  # torch warns of read-only memory
def test_arrays_may_have_any_memory(sigma):
    noise = noise_of(noisify(tanh_mlp(4, 3, 2), sigma=sigma, inputs=INPUTS))["1"]
    assert noise.scale.tolist() == sigma.tolist()
