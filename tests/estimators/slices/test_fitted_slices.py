"""PI_k and LI_k: their frames, which no measured pass chooses, their information, and notes on slices."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import layerbits as lb
from layerbits.estimators import Problem
from layerbits.estimators.slices import with_frames, with_slice_notes
from layerbits.estimators.slices.fit_passes import FitSignals
from layerbits.estimators.slices.principal_frames import principal_frame, slice_ceiling
from layerbits.networks import GaussianNoise, LayerPart, read_inputs
from tests.support.answers import information_of_channel, normal
from tests.support.early_ends import allowed_misses, excess_misses
from tests.support.networks import noisy_identities
from tests.support.random_arrays import normal_tensor

# The first unit spreads, the last one tells the classes apart.
LABELS = torch.arange(40) % 2
INPUTS = normal_tensor(40, 3) * torch.tensor([3.0, 0.1, 0.1])
INPUTS[:, 2] += 2.0 * LABELS - 1


def identity():
    return nn.Sequential(nn.Identity())


def frame_of(model, readout, *, inputs=INPUTS, labels=None, seed=0, sigma=None):
    problem = Problem.of(model, read_inputs(inputs, model, labels), sigma=sigma, layers="0", readout=readout)
    (part,) = with_frames(problem, seed).parts.values()
    return part.view.frame


def test_principal_frame_has_the_leading_axes():
    axes = np.linalg.eigh(np.cov(INPUTS.numpy().T))[1][:, ::-1]
    frame = frame_of(identity(), lb.PrincipalSlices(2), sigma=1.0).numpy()
    np.testing.assert_allclose(np.abs(frame.T @ axes[:, :2]), np.eye(2), atol=1e-9)


@pytest.mark.parametrize("shape", [(50, 6), (4, 6), (1, 6)])
def test_principal_frames_are_orthonormal_where_signals_span_fewer_axes(shape):
    frame = principal_frame(normal_tensor(*shape), 5)
    torch.testing.assert_close(frame.mT @ frame, torch.eye(5).double(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("limit", [2048, 2])
def test_ceiling_is_at_least_the_gaussian_information_of_every_slice(monkeypatch, limit):
    monkeypatch.setattr("layerbits.estimators.slices.principal_frames._LARGEST_GRAM", limit)
    root = normal_tensor(3, 3, seed=2)
    noise = GaussianNoise(torch.linalg.cholesky(root @ root.mT + torch.eye(3)))
    covariance, of_noise = INPUTS.T.cov(correction=0), noise.scale @ noise.scale.mT
    ceiling = slice_ceiling(INPUTS, noise, 2)
    for seed in range(50):
        frame = torch.linalg.qr(normal_tensor(3, 2, seed=seed)).Q
        ratio = torch.linalg.solve(frame.mT @ of_noise @ frame, frame.mT @ covariance @ frame)
        assert float(torch.linalg.slogdet(torch.eye(2) + ratio).logabsdet) / 2 <= ceiling


def test_learnt_frames_find_the_unit_that_tells():
    for_classes = frame_of(identity(), lb.LearntSlices(1, target="Y"), labels=LABELS, sigma=0.5)
    assert abs(for_classes[2, 0]) > 0.97
    for_inputs = frame_of(identity(), lb.LearntSlices(1, target="X"), labels=LABELS, sigma=0.5)
    assert abs(for_inputs[0, 0]) > 0.9


def test_learnt_frames_tell_all_inputs():
    # The first unit tells the inputs of odd numbers, the second one those of even numbers, which are closer together.
    inputs = torch.linspace(-1, 1, 40)[:, None] * torch.stack([5.0 * LABELS, 3.0 * (1 - LABELS)], 1)
    assert abs(frame_of(identity(), lb.LearntSlices(1), inputs=inputs, sigma=0.5)[0, 0]) > 0.8


def test_learnt_frames_take_the_covariance_of_the_noise():
    """The first unit spreads most but has much noise, so that the last one tells more inputs apart."""
    sigma = torch.tensor([30.0, 1.0, 0.1]).double()
    assert abs(frame_of(identity(), lb.LearntSlices(1), sigma=sigma)[2, 0]) > 0.97
    covariance = torch.diag(sigma.square()) + 1e-6
    assert abs(frame_of(identity(), lb.LearntSlices(1), sigma=covariance)[2, 0]) > 0.97


def test_information_of_fitted_slices_is_that_of_the_same_values_in_hand():
    readout = [lb.PrincipalSlices(2), lb.LearntSlices(1, target="Y")]
    table = lb.layer_information(identity(), INPUTS, LABELS, sigma=0.5, layers="0", readout=readout)
    assert [row.quantity for row in table][:5] == ["PI_2(X;T)", "h(T)", "h(T|X)", "PI_2(T;Y)", "PI_2(X;T|Y)"]
    for rows, slices in ((table.rows[:5], readout[0]), (table.rows[5:], readout[1])):
        frame = frame_of(identity(), slices, labels=LABELS, sigma=0.5)
        for row, expected in zip(rows, lb.information(INPUTS @ frame, 0.5, LABELS), strict=True):
            # Both have the same queries, and differ by rounding.
            assert row.value == pytest.approx(expected.value, abs=1e-9)
            assert (row.lower, row.upper) == pytest.approx((expected.lower, expected.upper), abs=1e-9)


def test_frames_are_fitted_to_passes_and_noise_of_their_own():
    noisy = noisy_identities(2)
    problem = Problem.of(noisy, read_inputs(INPUTS, noisy), readout=[lb.PrincipalSlices(1)])
    fit = FitSignals.of(problem, "1", seed=0).signals
    passes = lb.propagate(noisy, INPUTS, draws=16, seed=0)["1"]
    assert fit.shape == (40, 4, 3)
    assert not torch.isin(fit.flatten(), passes.flatten()).any()
    assert torch.equal(fit, FitSignals.of(problem, "1", seed=0).signals)
    assert not torch.isin(fit, FitSignals.of(problem, "1", seed=1).signals).any()


def test_few_inputs_are_recorded_where_signals_exceed_the_budget():
    noisy = noisy_identities(2)
    problem = Problem.of(noisy, read_inputs(INPUTS, noisy), readout=[lb.PrincipalSlices(1)])
    fit = FitSignals.of(dataclasses.replace(problem, max_memory=16 * 4 * 3 * 5), "1", seed=0)
    assert fit.signals.shape == (5, 4, 3)
    assert len(np.unique(fit.inputs)) == 5


def test_slices_behind_noise_lend_their_lower_ends_to_the_layer():
    """Without dimensions that tell inputs apart the ends of the layer are those of its best slice."""
    noisy = noisy_identities(2, sigma=1.0)
    inputs = torch.cat([INPUTS[:, :1], torch.zeros(40, 30)], 1)
    readout = [None, lb.PrincipalSlices(1), lb.RandomSlices(1, 8)]
    table = lb.layer_information(noisy, inputs, layers="1", readout=readout, draws=8, estimator="draws")
    assert "lower end from '1[principal 1]'" in table["1", "I(X;T)"].note
    assert table["1", "I(X;T)"].lower <= table["1[principal 1]", "PI_1(X;T)"].upper


def test_monitor_fits_slices_anew_at_each_epoch(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4).double(), nn.Tanh(), nn.Linear(4, 2).double())
    monitor = lb.Monitor(model, INPUTS, sigma=0.5, at=[0, 1], directory=tmp_path, readout=lb.LearntSlices(1))
    monitor.step(0)
    with torch.no_grad():
        model[0].weight.mul_(0)
    monitor.step(1)
    history = lb.read_history(tmp_path)
    uppers = [history[epoch]["1[learnt 1 X]", "LI_1(X;T)"].upper for epoch in (0, 1)]
    assert uppers[0] > 0.3
    assert uppers[1] < 0.05


def test_slices_with_more_information_than_larger_views_have_a_note():
    parts = {
        "fc": LayerPart("fc"),
        "fc[random 1 x 8]": LayerPart("fc", slices=lb.RandomSlices(1, 8)),
        "fc[random 2 x 8]": LayerPart("fc", slices=lb.RandomSlices(2, 8)),
        "fc[principal 1]": LayerPart("fc", slices=lb.PrincipalSlices(1)),
    }
    template = lb.layer_information(noisy_identities(1), INPUTS).rows[0]

    def row(layer, quantity, lower, upper):
        return dataclasses.replace(
            template, layer=layer, quantity=quantity, lower=lower, upper=upper, note="", flags=()
        )

    rows = [
        row("fc", "I(X;T)", 0.5, 0.6),
        row("fc[random 1 x 8]", "SI_1(X;T)", 0.55, 0.59),
        row("fc[random 2 x 8]", "SI_2(X;T)", 0.4, 0.5),
        row("fc[principal 1]", "PI_1(X;T)", 0.55, 0.7),
        row("fc[principal 1]", "h(T)", 9.0, 9.0),
    ]
    flagged = with_slice_notes(rows, parts)
    assert [other.flags for other in flagged] == [(), ("above_larger_view",), (), (), ()]
    assert "SI_2(X;T) of fc[random 2 x 8]" in flagged[1].note
    rows[3] = row("fc[principal 1]", "PI_1(X;T)", 0.65, 0.7)
    assert with_slice_notes(rows, parts)[3].flags == ("above_larger_view",)


DROPOUT, SIGMA = lb.DropoutNoise(0.5, 0.3), 0.4


def misses_behind_dropout(readout, seeds):
    """Yield the quantities of a slice behind dropout whose intervals miss the quadrature for the fitted frame."""
    model = nn.Sequential(nn.Identity(), nn.Identity())
    noisy = lb.noisify(model, sigma={"0": DROPOUT, "1": SIGMA}, layers=nn.Identity, inputs=INPUTS[:1])
    inputs, labels = INPUTS[:12], LABELS[:12]
    for seed in seeds:
        problem = Problem.of(noisy, read_inputs(inputs, noisy, labels), layers="1", readout=readout)
        (part,) = with_frames(problem, seed).parts.values()
        frame = part.view.frame[:, 0].numpy()
        centers = inputs.numpy() @ frame
        # Given the input, the slice is normal: a^T T = a^T x + sum a_i (alpha x_i E_i + .3 Z_i + .4 Z'_i).
        deviations = np.sqrt((DROPOUT.alpha * inputs.numpy() * frame) ** 2 @ np.ones(3) + DROPOUT.sigma**2 + SIGMA**2)
        reach = 12 * deviations.max()
        axis = np.arange(centers.min() - reach, centers.max() + reach, deviations.min() / 16)
        densities = normal(axis - centers[:, None], deviations[:, None])
        total = information_of_channel(densities, axis)
        within = np.mean([information_of_channel(densities[labels == label], axis) for label in (0, 1)])
        table = lb.layer_information(
            noisy, inputs, labels, layers="1", readout=readout, draws=128, seed=seed, estimator="draws"
        )
        truths = {"(X;T)": total, "(T;Y)": total - within, "(X;T|Y)": within}
        for pair, truth in truths.items():
            row = table[f"1[{readout.name}]", f"{readout.symbol}{pair}"]
            if not row.lower - 1e-9 <= truth <= row.upper + 1e-9:
                yield pair
            assert row.upper - row.lower < 1.0  # narrower than the range of log 12


FITTED = pytest.mark.parametrize("readout", [lb.PrincipalSlices(1), lb.LearntSlices(1), lb.LearntSlices(1, target="Y")])


@pytest.fixture
def short_fits(monkeypatch):
    """Fit in few steps: the interval of a frame holds for any fit."""
    monkeypatch.setattr("layerbits.estimators.slices.learnt_frames._STEPS", 5)


@FITTED
@pytest.mark.usefixtures("one_thread", "short_fits")
def test_intervals_of_fitted_slices_behind_dropout_contain_the_information_of_their_frames(readout):
    allowed = allowed_misses(30, 0.05, 1e-4)
    assert excess_misses(lambda seeds: misses_behind_dropout(readout, seeds), allowed) == {}


@FITTED
@pytest.mark.stress
@pytest.mark.usefixtures("one_thread")
def test_intervals_of_fitted_slices_contain_the_information_of_their_frames_over_a_thousand_seeds(readout):
    misses = Counter(misses_behind_dropout(readout, range(1000)))
    assert all(count <= stats.binom.isf(1e-4, 1000, 0.05) for count in misses.values()), misses
