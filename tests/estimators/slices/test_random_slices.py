"""SI_k: against quadrature over the angle, below SI_(k + 1) and the Gaussian ceiling, and what limits its width."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.estimators import MeasurementSettings, Problem
from layerbits.estimators.slices import with_frames
from layerbits.networks import read_inputs
from tests.support.networks import noisy_identities
from tests.support.random_arrays import normal_array, normal_tensor
from tests.support.sliced_information import sliced_truths

CENTERS, LABELS = 2 * normal_array(8, 2), np.arange(8) % 2
INPUTS = torch.from_numpy(CENTERS)


def identity():
    return nn.Sequential(nn.Identity())


def covers(row, truth):
    return row.lower <= truth <= row.upper


def test_slices_behind_no_noise_have_the_information_of_quadrature():
    table = lb.layer_information(identity(), INPUTS, LABELS, sigma=0.6, layers="0", readout=lb.RandomSlices(1, 256))
    truths = sliced_truths(CENTERS, 0.6, LABELS)
    assert [row.quantity for row in table] == list(truths)
    for row in table:
        assert row.layer == "0[random 1 x 256]"
        assert row.decoder == "exact"
        assert row.limited_by == "frames"
        assert covers(row, truths[row.quantity])
        assert abs(row.value - truths[row.quantity]) < 5 * row.standard_error
        assert row.upper - row.lower < 0.2


def test_slices_of_inputs_that_are_very_far_apart_have_all_information():
    # Centers of a slice are 1e15 to 1e16 standard deviations apart.
    signals = torch.tensor([[0.9], [-0.9]]).double().expand(2, 64)
    readout = lb.RandomSlices(1, 64)
    (row,) = lb.layer_information(identity(), signals, sigma=9e-16, layers="0", readout=readout)
    assert row.value == pytest.approx(math.log(2), abs=1e-6)


def test_anisotropic_noise_is_that_of_the_slice():
    """Only the slice of the first unit is noisy: SI_1 is the mean over angles with deviations |A^T diag(s)|."""
    deviations = torch.tensor([1.5, 0.3]).double()
    table = lb.layer_information(identity(), INPUTS, sigma=deviations, layers="0", readout=lb.RandomSlices(1, 256))
    angles = np.arange(96) * np.pi / 96
    truth = np.mean(
        [
            sliced_truths(
                np.outer(CENTERS @ [np.cos(a), np.sin(a)] / np.hypot(1.5 * np.cos(a), 0.3 * np.sin(a)), [1, 0]),
                1.0,
                LABELS,
                n_angles=1,
            )["SI_1(X;T)"]
            for a in angles
        ]
    )
    assert covers(table.rows[0], truth)
    isotropic = lb.layer_information(identity(), INPUTS, sigma=0.3, layers="0", readout=lb.RandomSlices(1, 256))
    assert not covers(isotropic.rows[0], truth)


def test_slices_behind_noise_have_the_information_of_quadrature():
    """T_2 = x + Z_1 + Z_2: the slice has noise of deviation .6 sqrt(2)."""
    noisy = noisy_identities(2, sigma=0.6)
    table = lb.layer_information(
        noisy, INPUTS, LABELS, layers="1", draws=256, readout=lb.RandomSlices(1, 64), estimator="draws"
    )
    truths = sliced_truths(CENTERS, 0.6 * math.sqrt(2), LABELS)
    assert [row.quantity for row in table] == list(truths)
    for row in table:
        assert covers(row, truths[row.quantity])
        assert row.decoder != "exact"
    assert table.rows[0].lower > 0.2


def test_information_rises_with_the_dimension_to_that_of_the_layer():
    inputs = normal_tensor(16, 3)
    readout = [None, *(lb.RandomSlices(k, 64) for k in (1, 2, 3))]
    table = lb.layer_information(identity(), inputs, sigma=0.8, layers="0", readout=readout, queries=256)
    layer, *slices = (row for row in table if not row.quantity.startswith("h"))
    assert [row.quantity for row in slices] == ["SI_1(X;T)", "SI_2(X;T)", "SI_3(X;T)"]
    values = [row.value for row in slices]
    assert values == sorted(values)
    # All frames of three columns have the information of the layer, so a single one is measured.
    assert slices[2].upper - slices[2].lower < 0.1
    assert slices[2].lower <= layer.upper
    assert layer.lower <= slices[2].upper


@pytest.mark.parametrize("size", [1, 2])
def test_no_interval_exceeds_the_information_of_gaussian_signals(size):
    """1000 atoms of N(0, I): each slice has at most k/2 log(1 + 1/sigma^2), up to their sample covariance."""
    inputs = normal_tensor(1000, 4)
    inputs = (inputs - inputs.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(inputs.T.cov(correction=0))).mT
    row = lb.layer_information(identity(), inputs, sigma=2.0, layers="0", readout=lb.RandomSlices(size, 16)).rows[0]
    ceiling = size / 2 * math.log1p(1 / 4)
    assert row.upper <= ceiling + 1e-9
    assert row.lower > 0.5 * ceiling
    assert row.value == pytest.approx(ceiling, abs=0.05 * size)  # atoms of a Gaussian and noise are nearly Gaussian


def test_range_of_the_activation_function_bounds_slices_behind_noise():
    noisy = lb.noisify(nn.Sequential(nn.Identity(), nn.Tanh()), sigma=2.0, layers=[nn.Identity, nn.Tanh])
    problem = Problem.of(noisy, read_inputs(INPUTS, noisy), readout=lb.RandomSlices(1, 8))
    views = [part.view for part in with_frames(problem, seed=0).parts.values()]
    # The box [-1, 1]^2 has variances of at most 1 along each axis: a trace of 2.
    assert views[1].ceiling == pytest.approx(math.log1p(2 / 4) / 2)
    assert views[0].ceiling == math.inf
    spread = np.linalg.eigvalsh(np.cov(CENTERS.T, bias=True))[-1]
    assert views[0].ceiling_of_function == pytest.approx(math.log1p(spread / 4) / 2)


def test_equal_seeds_give_equal_tables_and_more_frames_narrower_intervals():
    options = {"sigma": 0.6, "layers": "0"}
    first, again, other, narrow = (
        lb.layer_information(identity(), INPUTS, readout=lb.RandomSlices(1, count), seed=seed, **options).rows[0]
        for count, seed in ((32, 0), (32, 0), (32, 1), (512, 0))
    )
    assert first.value == again.value
    assert first.value != other.value
    assert narrow.upper - narrow.lower < (first.upper - first.lower) / 2


def test_tolerance_that_frames_limit_asks_for_more_frames():
    row = lb.layer_information(
        identity(), INPUTS, sigma=0.6, layers="0", readout=lb.RandomSlices(1, 8), tolerance=0.01
    ).rows[0]
    assert "tolerance_missed" in row.flags
    assert row.note.endswith("limited by frames: raise count")


def test_slices_count_among_the_simultaneous_intervals():
    data = read_inputs(INPUTS, identity(), LABELS)
    problem = Problem.of(
        identity(), data, sigma=1.0, layers="0", readout=[None, lb.RandomSlices(1, 8), lb.PrincipalSlices(1)]
    )
    assert problem.n_rows == 5 + 3 + 5
    settings = MeasurementSettings(simultaneous=True)
    assert settings.risk_of_each(problem.n_rows) == pytest.approx(0.025 / 13)


def test_estimators_from_the_network_refuse_or_leave_slices():
    noisy = noisy_identities(2)
    options = {"layers": "1", "readout": lb.RandomSlices(1, 8), "draws": 8}
    with pytest.raises(ValueError, match=r"^estimator: got 'known' for '1\[random 1 x 8\]'"):
        lb.layer_information(noisy, INPUTS, estimator="known", **options)
    rows = [lb.layer_information(noisy, INPUTS, estimator=name, **options).rows[0] for name in ("auto", "draws")]
    assert rows[0].lower == rows[1].lower


def test_slices_beyond_the_budget_are_refused():
    noisy = noisy_identities(2)
    inputs = normal_tensor(200, 3)
    with pytest.raises(ValueError, match=r"^max_memory: got 1048576, wanted at least .* lower count, draws or limit"):
        lb.layer_information(noisy, inputs, layers="1", readout=lb.RandomSlices(1, 64), draws=32, max_memory=2**20)
    with pytest.raises(ValueError, match=r"^count: got 40000 frames of 3 x 1"):
        lb.layer_information(noisy, inputs, layers="1", readout=lb.RandomSlices(1, 40_000), max_memory=2**20)


def test_label_sets_have_rows_of_their_own():
    table = lb.layer_information(
        identity(), INPUTS, {"parity": LABELS, "half": np.arange(8) // 4}, sigma=0.6, layers="0",
        readout=lb.RandomSlices(1, 16),
    )  # fmt: skip
    assert [row.quantity for row in table] == [
        "SI_1(X;T)", "SI_1(T;parity)", "SI_1(X;T|parity)", "SI_1(T;half)", "SI_1(X;T|half)",
    ]  # fmt: skip
