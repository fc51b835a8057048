"""Noise that is scaled by a number, and changes of the mapping of noise that are refused."""

import pytest
import torch

from layerbits import DropoutNoise, RelativeSigma, noise_of, noisify
from tests.support.networks import tanh_mlp

INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)
COVARIANCE = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 4.0]]).double()


def noisy_mlp(sigma):
    return noisify(tanh_mlp(4, 3, 3, 2), sigma=sigma, inputs=INPUTS)


@pytest.mark.parametrize(
    ("sigma", "half"),
    [
        (0.5, 0.25),
        (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 1.0, 1.5])),
        (COVARIANCE, COVARIANCE / 4),
        (DropoutNoise(0.5, 0.25), DropoutNoise(0.25, 0.125)),
    ],
    ids=["float", "deviations", "covariance", "dropout"],
)
def test_noise_times_a_number_has_that_many_times_the_deviations(sigma, half):
    noise = noise_of(noisy_mlp(sigma))
    noise["1"] *= 0.5
    noise["3"] = 0.5 * noise["3"]
    expected = noise_of(noisy_mlp(half))  # halves of binary numbers are exact, and so are their squares
    assert dict(noise) == dict(expected)
    assert noise["1"].least_deviation == expected["1"].least_deviation


@pytest.mark.parametrize(
    ("factor", "error"), [(0, ValueError), (-1.0, ValueError), (float("nan"), ValueError), ("2", TypeError)]
)
@pytest.mark.parametrize("sigma", [0.5, DropoutNoise(0.5, 0.25)], ids=["gaussian", "dropout"])
def test_factor_that_is_no_positive_number_is_refused(sigma, factor, error):
    noise = noise_of(noisy_mlp(sigma))
    with pytest.raises(error, match=r"^factor: got"):
        noise["1"] *= factor


@pytest.mark.parametrize("sigma", [0.5, torch.tensor([1.0, 2.0, 3.0]), COVARIANCE], ids=["float", "units", "matrix"])
@pytest.mark.parametrize("factor", [1e-38, 1e38])
def test_noise_beyond_the_accepted_range_is_refused(sigma, factor):
    with pytest.raises(ValueError, match=r"^sigma: got a standard deviation of .*, wanted one from 1e-37 to 1e\+37"):
        noise_of(noisy_mlp(sigma))["1"] * factor


def test_float_of_noise_is_its_one_standard_deviation():
    noise = noise_of(noisy_mlp({"1": 0.25, "3": torch.ones(3)}))
    assert float(noise["1"]) == 0.25
    with pytest.raises(TypeError, match=r"^noise: got GaussianNoise\(deviations of 3 units\), wanted noise with one"):
        float(noise["3"])


def test_deleted_noise_is_refused_with_the_functions_that_remove_noise():
    model = noisy_mlp(0.25)
    with pytest.raises(
        TypeError, match=r"^layer: got '1' to delete, .* noise_off, or remove all noise by remove_noise"
    ):
        del noise_of(model)["1"]
    assert list(noise_of(model)) == ["1", "3"]


def test_relative_sigma_of_one_layer_is_refused_with_a_call_that_gives_it():
    model = noisy_mlp(0.25)
    with pytest.raises(TypeError, match=r"^sigma\['1'\]: got a RelativeSigma, .*; or noisify\(") as error:
        noise_of(model)["1"] = RelativeSigma(0.5)
    call = str(error.value).partition("; or ")[2].replace("inputs=...", "inputs=INPUTS")
    eval(call)
    assert noise_of(model)["3"] == noise_of(noisy_mlp(0.25))["3"]
    assert noise_of(model)["1"] != noise_of(model)["3"]
