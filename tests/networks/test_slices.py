"""Frames and slices: their noise, and what is refused before any pass is measured."""

import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.estimators.slices.known_frames import random_frames
from layerbits.kernels import NormalStream, RandomStream
from layerbits.networks import FrameView, GaussianNoise, RandomFramesView
from tests.support.networks import noisy_identities
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(12, 3)


def frames(count, dim, size):
    return random_frames(NormalStream(0, RandomStream.FRAMES, 0, size), count, dim, size)


def test_random_frames_are_orthonormal_and_begin_alike_for_every_count():
    sampled = frames(50, 6, 3)
    torch.testing.assert_close(sampled.mT @ sampled, torch.eye(3).double().expand(50, 3, 3), rtol=0, atol=1e-13)
    assert torch.equal(sampled[:7], frames(7, 6, 3))


def test_random_frames_are_uniform():
    """A column of a uniform frame has the second moments I/d and the fourth moments 3/(d(d + 2)) of each entry."""
    count, dim = 40_000, 4
    columns = frames(count, dim, 2)[:, :, 1]
    second, fourth = columns.mT @ columns / count, (columns**4).mean(0)
    assert (second - torch.eye(dim) / dim).abs().max() < 5 * 0.22 / count**0.5  # deviations at most .22
    assert (fourth - 3 / dim / (dim + 2)).abs().max() < 5 * 0.2 / count**0.5
    assert columns.mean(0).abs().max() < 5 * 0.5 / count**0.5


@pytest.mark.parametrize(
    "scale", [0.3, torch.tensor([0.2, 0.5, 1.0, 2.0]).double(), None], ids=["number", "deviations", "covariance"]
)
def test_noise_of_slices_has_the_covariance_of_the_frame(scale):
    covariance = torch.eye(4).double() * 0.09
    if scale is None:
        root = normal_tensor(4, 4, seed=1)
        covariance = root @ root.mT + torch.eye(4)
        scale = torch.linalg.cholesky(covariance)
    elif not isinstance(scale, float):
        covariance = torch.diag(scale.square())
    noise, sampled = GaussianNoise(scale), frames(5, 4, 2)
    of_frame = FrameView(sampled[0]).noise("fc", noise)
    factor = of_frame.scale * torch.eye(2).double() if isinstance(of_frame.scale, float) else of_frame.scale
    torch.testing.assert_close(factor @ factor.mT, sampled[0].mT @ covariance @ sampled[0], rtol=1e-12, atol=1e-12)
    view = RandomFramesView.of("fc", sampled, noise)
    for j in range(5):
        columns = view.matrix[:, 2 * j : 2 * j + 2]
        expected = view.sigma**2 * torch.eye(2).double()
        torch.testing.assert_close(columns.mT @ covariance @ columns, expected, rtol=1e-12, atol=1e-12)
        # The slice is that of the frame up to an invertible matrix: both have the same column space.
        residual = columns - sampled[j] @ (sampled[j].mT @ columns)
        assert residual.abs().max() < 1e-12


@pytest.mark.parametrize(
    "frame", [torch.ones(3, 1), torch.eye(3)[:, [0, 0]], torch.ones(2, 3), torch.full((3, 1), torch.nan)]
)
def test_frames_that_are_not_orthonormal_are_refused(frame):
    with pytest.raises(ValueError, match=r"^frame: got .* not orthonormal"):
        FrameView(frame.double())
    with pytest.raises(ValueError, match=r"^frame: got .* not orthonormal"):
        RandomFramesView.of("fc", frame.double()[None], GaussianNoise(1.0))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: lb.RandomSlices(0), ValueError, "^k: got 0"),
        (lambda: lb.RandomSlices(1.5), TypeError, "^k: got float"),
        (lambda: lb.RandomSlices(1, count=7), ValueError, "^count: got 7, wanted an integer >= 8"),
        (lambda: lb.RandomSlices(1, count="many"), TypeError, "^count: got str"),
        (lambda: lb.PrincipalSlices(-1), ValueError, "^k: got -1"),
        (lambda: lb.LearntSlices(True), TypeError, "^k: got bool"),
        (lambda: lb.LearntSlices(1, target="T"), ValueError, "^target: got 'T', wanted 'X' or 'Y'"),
    ],
)
def test_wrong_arguments_of_slices_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("slices", [lb.RandomSlices(4, 8), lb.PrincipalSlices(4), lb.LearntSlices(4)])
def test_slices_of_more_dimensions_than_units_are_refused(slices):
    message = r"^k: got 4 for '0', whose signal has shape \(n, 3\), wanted at most 3"
    with pytest.raises(ValueError, match=message):
        lb.layer_information(noisy_identities(1), INPUTS, readout=slices)
    with pytest.raises(ValueError, match=message):
        lb.layer_information(nn.Sequential(nn.Tanh()), INPUTS, sigma=0.5, layers="0", readout=slices)


@pytest.mark.parametrize("slices", [lb.RandomSlices(1, 8), lb.PrincipalSlices(1), lb.LearntSlices(1)])
def test_slices_of_a_layer_of_one_unit_are_refused(slices):
    with pytest.raises(ValueError, match="wanted at least 2 units for each input; measure the whole layer"):
        lb.layer_information(noisy_identities(1), INPUTS[:, :1], readout=slices)


def test_slices_for_classes_without_labels_are_refused():
    with pytest.raises(ValueError, match=r"^target: got 'Y' without labels"):
        lb.layer_information(noisy_identities(1), INPUTS, readout=lb.LearntSlices(1, target="Y"))


def test_slices_of_noise_that_grows_with_the_signal_are_refused():
    noisy = noisy_identities(1, sigma=lb.DropoutNoise(0.1, 0.1))
    with pytest.raises(ValueError, match=r"^readout: got slices of '0', which has DropoutNoise"):
        lb.layer_information(noisy, INPUTS, readout=lb.RandomSlices(1, 8))


def test_slices_take_no_mask():
    with pytest.raises(TypeError, match="mask"):
        lb.RandomSlices(1, mask="attention_mask")


def test_equal_slices_are_refused():
    with pytest.raises(ValueError, match="wanted different readouts"):
        lb.layer_information(noisy_identities(1), INPUTS, readout=[lb.RandomSlices(1, 8), lb.RandomSlices(1, 8)])
