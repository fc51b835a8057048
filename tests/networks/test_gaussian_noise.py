"""Gaussian noise: its covariance, whitening, the information of noisy layers, relative sigmas, refused arguments.

Covariances are compared entry by entry. The entry jk of the mean of x x^T over n samples of N(0, C) has the variance
(C_jj C_kk + C_jk^2) / n (Isserlis), and it is close to normal for these n.
"""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import RelativeSigma, layer_information, noise_of, noisify, propagate
from layerbits.networks.noise.gaussian import gaussian_noise
from tests.support.answers import gaussian_mixture_information, information_in_plane, information_on_line
from tests.support.networks import dense, noisy_identities, tanh_mlp
from tests.support.random_arrays import normal_tensor

STANDARD_ERRORS = 5  # correct code fails one comparison in 1.7 million; seeds are fixed

DEVIATIONS = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.6, -0.2], [0.6, 0.5, 0.1], [-0.2, 0.1, 0.4]], dtype=torch.float64)
KINDS = {"deviations": (DEVIATIONS, DEVIATIONS.square().diag()), "covariance": (COVARIANCE, COVARIANCE)}
each_kind = pytest.mark.parametrize(("sigma", "covariance"), KINDS.values(), ids=KINDS.keys())


def noisy_identity(sigma):
    return noisy_identities(1, sigma)


def mlp():
    return tanh_mlp(4, 3, 3, 2, dtype=torch.float64)


def two_identities():
    return nn.Sequential(nn.Identity(), nn.Identity())


def seeded(model, x):
    """Return the output of a pass after torch.manual_seed(1)."""
    torch.manual_seed(1)
    return model(x)


def assert_covariance_is(noise, covariance):
    n, diagonal = len(noise), covariance.diagonal()
    error = ((diagonal[:, None] * diagonal + covariance.square()) / n).sqrt()
    assert ((noise.mT @ noise / n - covariance).abs() <= STANDARD_ERRORS * error).all()


# The covariance


@each_kind
def test_noise_of_an_ordinary_pass_has_the_covariance(sigma, covariance):
    assert_covariance_is(seeded(noisy_identity(sigma), torch.zeros(100_000, 3).double()), covariance)


@each_kind
def test_noise_of_propagation_has_the_covariance(sigma, covariance):
    signals = propagate(noisy_identities(2, sigma), torch.zeros(100, 3).double(), draws=1000)["1"]
    assert_covariance_is(signals.flatten(0, 1), covariance)


def test_noise_of_feature_maps_has_the_covariance_of_their_flattened_units():
    deviations = torch.arange(1.0, 7.0).double()
    maps = seeded(noisy_identity(deviations), torch.zeros(20_000, 2, 3).double())
    assert_covariance_is(maps.flatten(1), deviations.square().diag())


def test_noise_of_channels_has_a_standard_deviation_for_each_channel():
    maps = seeded(noisy_identity(torch.tensor([0.5, 2.0]).double()), torch.zeros(20_000, 2, 3).double())
    assert_covariance_is(maps.flatten(1), torch.tensor([0.5, 0.5, 0.5, 2.0, 2.0, 2.0]).double().square().diag())


def test_noise_of_channels_is_that_of_their_units_in_a_measurement():
    x = normal_tensor(5, 6).reshape(5, 2, 3)
    channels, units = torch.tensor([0.5, 2.0]).double(), torch.tensor([0.5, 0.5, 0.5, 2.0, 2.0, 2.0]).double()
    rows = [layer_information(noisy_identity(sigma), x)["0", "h(T)"].value for sigma in (channels, units)]
    assert rows[0] == rows[1]


def test_equal_standard_deviations_are_isotropic_noise():
    x = torch.zeros(5, 3).double()
    # Both noises are one product of the same normal values, rounded once.
    deviations = torch.full((3,), 0.7, dtype=torch.float64)
    assert torch.equal(seeded(noisy_identity(deviations), x), seeded(noisy_identity(0.7), x))


def test_signals_of_one_unit_may_lack_the_axis_of_units():
    assert noisy_identity(torch.ones(1))(torch.zeros(5)).shape == (5,)
    assert noisy_identity(torch.ones(1, 1))(torch.zeros(5)).shape == (5,)


def test_noise_does_not_depend_on_later_changes_of_the_argument():
    deviations = DEVIATIONS.clone()
    noisy, expected = noisy_identity(deviations), noisy_identity(DEVIATIONS)
    deviations.zero_()
    assert torch.equal(seeded(noisy, torch.zeros(2, 3)), seeded(expected, torch.zeros(2, 3)))


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda noisy: pickle.loads(pickle.dumps(noisy))])
@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("sigma", [DEVIATIONS, COVARIANCE])
def test_copy_has_the_same_noise(make_copy, observed, sigma):
    noisy = noisy_identity(sigma)
    if observed:
        noisy(torch.zeros(2, 3))
    copied = make_copy(noisy)
    assert torch.equal(seeded(copied, torch.zeros(2, 3)), seeded(noisy, torch.zeros(2, 3)))


# Whitening


@each_kind
def test_whitening_makes_the_noise_isotropic(sigma, covariance):
    noise = gaussian_noise(sigma)
    whitened = noise.whiten(noise.add(torch.zeros(100_000, 3).double(), normal_tensor(100_000, 3)))
    assert_covariance_is(whitened, noise.whitened_sigma**2 * torch.eye(3).double())


@each_kind
def test_log_volume_is_half_the_log_determinant(sigma, covariance):
    assert gaussian_noise(sigma).log_volume == pytest.approx(float(covariance.logdet()) / 2, abs=1e-14)


def test_whitening_is_in_float64_after_passes_in_float32():
    noise, signals = gaussian_noise(np.array([0.1, 0.3])), torch.ones(4, 2)
    noise.add(signals, signals)
    assert torch.equal(noise.whiten(signals), 1 / torch.tensor([0.1, 0.3], dtype=torch.float64).expand(4, 2))


@each_kind
def test_information_equals_that_of_whitened_signals_with_isotropic_noise(sigma, covariance):
    signals = normal_tensor(30, 3)
    root = torch.linalg.inv(torch.linalg.cholesky(covariance))
    measured = layer_information(noisy_identity(sigma), signals)
    whitened = layer_information(noisy_identity(1.0), signals @ root.T)
    # The queries are equal; centers differ by the rounding of two ways to solve a triangular system.
    assert measured["0", "I(X;T)"].value == pytest.approx(whitened["0", "I(X;T)"].value, abs=1e-12)
    shift = float(covariance.logdet()) / 2
    assert measured["0", "h(T)"].value == pytest.approx(whitened["0", "h(T)"].value + shift, abs=1e-12)
    assert measured["0", "h(T|X)"].value == pytest.approx(whitened["0", "h(T|X)"].value + shift, abs=1e-12)


@each_kind
def test_entropy_of_pure_noise_is_that_of_a_gaussian(sigma, covariance):
    row = layer_information(noisy_identity(sigma), torch.ones(4, 3).double())["0", "h(T)"]
    truth = float((2 * math.pi * math.e * covariance).logdet()) / 2
    # The densities of equal centers cancel up to the rounding of exponents below 100.
    assert row.value == pytest.approx(truth, abs=1e-13)


@each_kind
def test_information_agrees_with_monte_carlo(sigma, covariance):
    means = normal_tensor(20, 3, seed=3)
    row = layer_information(noisy_identity(sigma), means, queries=64)["0", "I(X;T)"]
    truth, error = gaussian_mixture_information(means.numpy(), covariance.numpy(), 200_000, seed=1)
    assert abs(row.value - truth) <= STANDARD_ERRORS * math.hypot(row.standard_error, error)


def test_information_on_the_line_agrees_with_quadrature():
    centers = np.array([-1.0, 0.2, 0.4, 3.0])
    inputs = torch.from_numpy(centers.repeat(500)[:, None])  # copies of an input add queries
    row = layer_information(noisy_identity(torch.tensor([[0.36]]).double()), inputs)["0", "I(X;T)"]
    assert abs(row.value - information_on_line(centers, 0.6)) <= STANDARD_ERRORS * row.standard_error


def test_information_in_the_plane_agrees_with_quadrature():
    centers = normal_tensor(4, 2, seed=5).numpy()
    covariance = np.array([[1.0, 0.5], [0.5, 0.5]])
    whitened = centers @ np.linalg.inv(np.linalg.cholesky(covariance)).T
    row = layer_information(noisy_identity(covariance), centers.repeat(500, 0))["0", "I(X;T)"]
    assert abs(row.value - information_in_plane(whitened, 1.0)) <= STANDARD_ERRORS * row.standard_error


def test_entropy_behind_noise_is_that_of_a_linear_gaussian_channel():
    """T_2 given x is N(W x, W C_1 W^T + C_2), where C_1 is a full and C_2 a diagonal covariance.

    The plug-in bound of h(T_2|X) from r draws is too small by at most log(1 + (R - 1) / r) on average, where R is the
    determinant of the covariance of T_2 given x, divided by that of C_2; whitening does not change R.
    """
    weight, deviations, draws = normal_tensor(2, 3, seed=2), torch.tensor([0.7, 1.1]).double(), 256
    model = nn.Sequential(nn.Identity(), dense(weight))
    noisy = noisify(model, sigma={"0": COVARIANCE, "1": deviations}, layers=["0", "1"])
    covariance = weight @ COVARIANCE @ weight.T + deviations.square().diag()
    row = layer_information(noisy, normal_tensor(40, 3), draws=draws)["1", "h(T|X)"]
    truth, error = float((2 * math.pi * math.e * covariance).logdet()) / 2, STANDARD_ERRORS * row.plug_in_error
    bias = math.log1p((float(covariance.det() / deviations.square().prod()) - 1) / draws)
    assert truth - bias - error <= row.plug_in <= truth + error


# A share of the root mean square


def test_relative_sigma_is_a_share_of_the_root_mean_square_over_the_inputs():
    x = normal_tensor(50, 3)
    model = noisify(two_identities(), sigma=RelativeSigma(0.1), layers="0", inputs=x)
    # The mean of n squares is summed with at most n rounding errors, each below an ulp of the sum.
    assert noise_of(model)["0"].sigma == pytest.approx(0.1 * float(x.square().mean().sqrt()), rel=150 * 2**-52)


def test_relative_sigma_is_read_before_a_later_module_acts_in_place():
    model = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True), nn.Linear(2, 1))
    noisify(model, sigma=RelativeSigma(0.5), layers="0", inputs=-3 * torch.ones(4, 2))
    assert noise_of(model)["0"].sigma == 1.5


def test_measurement_refuses_a_relative_sigma_of_layers_that_have_not_been_observed():
    model = noisify(two_identities(), sigma=RelativeSigma(0.5), layers="0")
    with pytest.raises(ValueError, match=r"^model: got a RelativeSigma of layers that .* pass inputs= to noisify"):
        propagate(model, torch.ones(4, 1), draws=1)


@pytest.mark.parametrize("value", [0.0, math.inf, math.nan])
def test_relative_sigma_of_signals_without_a_size_is_refused(value):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.full_like(x, value)

    with pytest.raises(ValueError, match=r"^sigma: got a RelativeSigma for '0', whose root mean square is"):
        noisify(nn.Sequential(Constant()), sigma=RelativeSigma(0.1), layers="0", inputs=torch.ones(2, 3))


@pytest.mark.parametrize("share", [1e-38, 1e38])
def test_relative_sigma_below_or_above_the_accepted_range_is_refused(share):
    with pytest.raises(ValueError, match=r"^sigma: got a standard deviation of 1e[+-]38, wanted one from 1e-37 to"):
        noisify(two_identities(), sigma=RelativeSigma(share), layers="0", inputs=torch.ones(2, 1))


@pytest.mark.parametrize("share", [0.0, -0.1, math.nan, math.inf])
def test_share_that_is_not_positive_and_finite_is_refused(share):
    with pytest.raises(ValueError, match="share: got"):
        RelativeSigma(share)


# Noise that is refused


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (torch.tensor([0.1, 0.0]), "sigma: got a standard deviation of 0.0"),
        (torch.tensor([0.1, -1.0]), "sigma: got a standard deviation of -1.0"),
        (torch.tensor([0.1, math.nan]), "sigma: got NaN"),
        (np.array([[1.0, math.inf], [math.inf, 1.0]]), "sigma: got NaN or infinity"),
        (torch.ones(2, 3), r"sigma: got shape \(2, 3\)"),
        (torch.ones(()), r"sigma: got shape \(\)"),
        (torch.ones(0), r"sigma: got shape \(0,\)"),
        (torch.ones(1, 1, 1), r"sigma: got shape \(1, 1, 1\)"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "leading 2 x 2 block is not positive definite"),
        (torch.tensor([[1.0, 0.1], [0.2, 1.0]]), "differ by 0.1.*, wanted equal"),
        ({"*": -1.0}, r"sigma\['\*'\]: got -1.0"),
    ],
)
def test_invalid_noise_is_named(sigma, message):
    with pytest.raises(ValueError, match=message):
        noisify(mlp(), sigma=sigma)


def test_covariance_may_be_symmetric_up_to_rounding():
    root = normal_tensor(50, 50).float()
    covariance = root @ root.T + torch.eye(50)
    covariance[3, 7] = covariance[3, 7].nextafter(torch.tensor(math.inf))
    assert len(gaussian_noise(covariance).scale) == 50


@pytest.mark.parametrize("sigma", [torch.ones(4), torch.eye(4)])
@pytest.mark.parametrize("inputs", [None, torch.zeros(2, 4).double()])
def test_noise_with_a_wrong_number_of_units_is_refused(sigma, inputs):
    with pytest.raises(ValueError, match="sigma: got noise of 4 units for '1', wanted 3"):
        noisify(mlp(), sigma=sigma, inputs=inputs)(torch.zeros(2, 4).double())


def test_noise_with_a_wrong_number_of_channels_is_refused():
    with pytest.raises(
        ValueError, match=r"got noise of 4 units for '0', wanted 6, or 2 for axis 1, or 3 for axis 2, for"
    ):
        noisy_identity(torch.ones(4))(torch.zeros(5, 2, 3))


def test_measurement_refuses_noise_with_a_wrong_number_of_units():
    with pytest.raises(ValueError, match="sigma: got noise of 4 units for '1'"):
        layer_information(noisify(mlp(), sigma=torch.ones(4)), normal_tensor(5, 4))


@pytest.mark.parametrize("other", [0.2, torch.tensor([0.1, 0.2]), torch.tensor([[0.02, 0.01], [0.01, 0.02]])], ids=str)
def test_noises_are_equal_if_and_only_if_their_arguments_are(other):
    noise = gaussian_noise(torch.tensor([0.1, 0.3]))
    assert noise != gaussian_noise(other)
    assert gaussian_noise(other) == gaussian_noise(copy.deepcopy(other))
    assert hash(gaussian_noise(other)) == hash(gaussian_noise(copy.deepcopy(other)))
