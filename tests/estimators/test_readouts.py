"""Information of readouts, compared with that of the same values in hand and with known values; readouts and audits."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from torch import nn

import layerbits as lb
from layerbits.estimators import Problem, all_layers, layer_groups, recorded_draws
from layerbits.estimators.layer_sample import sample_layers
from layerbits.networks import read_inputs, record_draws
from tests.support.answers import BPSK
from tests.support.early_ends import allowed_misses, excess_misses
from tests.support.networks import noisy_identities
from tests.support.random_arrays import normal_tensor

TOKENS, LABELS = normal_tensor(20, 4, 3), torch.arange(20) % 3
READOUTS = ["mean", None, "last", lb.Tokens("first", axis=2)]

# The signals of a readout in a network and of the same values in hand differ by rounding, some 1e-16 of their size, and
# a log density has a slope of at most |t - c| / sigma^2 < 1e3 here.
ROUNDING = 1e-11


def identity():
    """Return a network of a single layer, "0", that returns its input."""
    return nn.Sequential(nn.Identity())


def assert_same(row, expected_row):
    for field in ("value", "lower", "upper"):
        assert getattr(row, field) == pytest.approx(getattr(expected_row, field), abs=ROUNDING), (
            row.layer,
            row.quantity,
        )


@pytest.mark.parametrize(
    ("sigma", "sigma_of_mean"),
    [(0.4, 0.2), (torch.linspace(0.2, 0.9, 12).double(), None), (torch.eye(12).double() * 0.3 + 0.1, None)],
    ids=["number", "deviations", "covariance"],
)
def test_readout_of_a_network_without_noise_is_that_of_its_values_in_hand(sigma, sigma_of_mean):
    mean = torch.kron(torch.full((4, 1), 0.25).double(), torch.eye(3).double())  # A, (12, 3)
    if sigma_of_mean is None:
        sigma_of_mean = mean.T @ (torch.diag(sigma.square()) if sigma.ndim == 1 else sigma) @ mean
    table = lb.layer_information(identity(), TOKENS, LABELS, sigma=sigma, layers="0", readout="mean")
    expected = lb.information(TOKENS.mean(1), sigma_of_mean, LABELS)
    assert [row.layer for row in table] == ["0[mean]"] * 5
    for row, expected_row in zip(table, expected, strict=True):
        assert_same(row, expected_row)


def test_channels_of_a_feature_map_have_the_noise_of_their_mean():
    maps, sigma = normal_tensor(20, 2, 3, 3), torch.tensor([0.5, 2.0]).double()
    table = lb.layer_information(identity(), maps, sigma=sigma, layers="0", readout=lb.Channels("mean"))
    assert_same(table.rows[0], lb.information(maps.mean((2, 3)), sigma / 3).rows[0])


class TokensFirst(nn.Module):
    """A network whose layer returns (L, n, d)."""

    def __init__(self):
        super().__init__()
        self.act = nn.Tanh()

    def forward(self, x):
        return self.act(x.movedim(0, 1)).movedim(0, 1) + 0.0


@pytest.mark.parametrize("readout", ["mean", "last"])
def test_axes_are_counted_with_the_rows_first(readout):
    table = lb.layer_information(TokensFirst(), TOKENS, sigma=0.4, readout=readout)
    values = TOKENS.tanh()
    values, sigma = (values.mean(1), 0.2) if readout == "mean" else (values[:, -1], 0.4)
    assert_same(table.rows[0], lb.information(values, sigma).rows[0])


def bpsk_tokens():
    """Return tokens (20, 4, 1) whose mean is -1 or 1 and whose last is 0, ten rows each."""
    signs = torch.tensor([-1.0, 1.0]).double().repeat(10)
    return torch.stack([3 * signs, -signs, 2 * signs, 0 * signs], 1)[:, :, None]


def test_interval_of_a_mean_behind_noise_contains_the_true_value_at_its_level():
    """The second layer is x + Z_1; the mean of four tokens of T_2 is +-1 plus noise of deviation .5."""
    noisy = noisy_identities(2, sigma=0.5**0.5)

    def misses_of(seeds):
        for seed in seeds:
            options = {"layers": "1", "readout": ["mean", "last"], "draws": 64, "seed": seed}
            table = lb.layer_information(noisy, bpsk_tokens(), **options)
            row = table["1[mean]", "I(X;T)"]
            assert row.upper - row.lower < 0.5
            assert table["1[last]", "I(X;T)"].lower < 0.05  # the last token is constant
            if not row.lower <= BPSK[0.5] <= row.upper:
                yield "mean"

    assert excess_misses(misses_of, allowed_misses(12, 0.05, 1e-4)) == {}


@pytest.mark.parametrize("budget_per_value", [8, 2**40], ids=["held", "in principal axes"])
def test_readouts_have_the_signals_of_the_passes_of_the_whole_layer(monkeypatch, budget_per_value):
    monkeypatch.setattr(layer_groups, "_BUDGET_PER_VALUE", budget_per_value)
    noisy = noisy_identities(2)
    problem = Problem.of(noisy, read_inputs(TOKENS, noisy), readout=READOUTS)
    samples = sample_layers(problem, tuple(problem.parts), 8, None, 0)
    signals = lb.propagate(noisy, TOKENS, draws=8)["1"].unflatten(2, (4, 3))
    values = {
        "1[mean]": signals.mean(2),
        "1": signals.flatten(2),
        "1[last]": signals[:, :, -1],
        "1[first axis=2]": signals[..., 0],
    }
    assert list(samples)[4:] == list(values)
    for name, readout_signals in values.items():
        distances = [pdist(signals.flatten(0, 1)) for signals in (samples[name].signals, readout_signals)]
        np.testing.assert_allclose(*distances, rtol=1e-9, atol=1e-12)
    assert [samples[name].sigma for name in values] == [0.25, 0.5, 0.5, 0.5]


def test_whole_layers_keep_their_rows_beside_readouts():
    """Ends of an information of a layer behind noise change, because readouts may lend it lower ends."""
    noisy = noisy_identities(2)
    table = lb.layer_information(noisy, TOKENS, LABELS, draws=8, readout=READOUTS)
    names = [f"{layer}{part}" for layer in "01" for part in ("[mean]", "", "[last]", "[first axis=2]")]
    assert [row.layer for row in table][::5] == names
    expected = lb.layer_information(noisy, TOKENS, LABELS, draws=8)
    for expected_row in expected:
        row = table[expected_row.layer, expected_row.quantity]
        assert (row.plug_in, row.decoded, row.decoder) == (
            expected_row.plug_in,
            expected_row.decoded,
            expected_row.decoder,
        )
        if not row.quantity.startswith("I"):
            assert (row.value, row.lower, row.upper) == (expected_row.value, expected_row.lower, expected_row.upper)


def test_only_whole_layers_are_compared_with_the_layer_before(monkeypatch):
    previous = {}

    def rows(name, *arguments):
        previous[name] = arguments[-1] and arguments[-1].layer
        return layer_rows(name, *arguments)

    layer_rows = all_layers.layer_rows
    monkeypatch.setattr(all_layers, "layer_rows", rows)
    lb.layer_information(noisy_identities(2), TOKENS, draws=4, readout=[None, "mean"])
    assert previous == {"0": None, "0[mean]": None, "1": "0", "1[mean]": None}


def test_readouts_alone_do_not_hold_the_whole_layer(monkeypatch):
    widths = []

    def record(*arguments):
        recording = record_draws(*arguments)
        widths.extend(signals.shape[2] for signals in recording.signals.values())
        return recording

    monkeypatch.setattr(recorded_draws, "record_draws", record)
    lb.layer_information(noisy_identities(2), TOKENS, draws=4, readout=["mean", "first"])
    assert widths == [3] * 6


def test_a_tolerance_is_that_of_every_readout():
    options = {"sigma": 1.0, "layers": "0", "readout": ["mean", 1], "queries": 4}
    table = lb.layer_information(identity(), TOKENS, tolerance=0.05, **options)
    assert all(row.upper - row.lower <= 0.1 for row in table if row.quantity == "I(X;T)")
    table_without_tolerance = lb.layer_information(identity(), TOKENS, **options)
    assert all(row.upper - row.lower > 0.1 for row in table_without_tolerance if row.quantity == "I(X;T)")


def test_layers_without_tokens_are_refused_before_any_pass_is_measured():
    model = nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Tanh(), nn.Linear(12, 2))
    with pytest.raises(ValueError, match=r"^readout: got 'mean' for '2', whose signal has shape \(n, 12\)"):
        lb.layer_information(model, TOKENS.float(), sigma=0.1, readout="mean")
    lb.noisify(model, sigma=0.1)
    with pytest.raises(ValueError, match=r"^readout: got 'mean' for '2', whose signal has shape \(n, 12\)"):
        lb.layer_information(model, TOKENS.float(), readout="mean")


def test_a_monitor_continues_a_folder_with_the_same_readouts_alone(tmp_path):
    options = {"at": [0], "directory": tmp_path, "sigma": 0.4, "layers": "0"}
    table = lb.Monitor(identity(), TOKENS, readout=["mean", None], **options).step(0)
    assert [row.layer for row in table][::3] == ["0[mean]", "0"]
    assert lb.Monitor(identity(), TOKENS, readout=["mean", None], **options).tables[0] == table
    with pytest.raises(lb.UsageError, match="layers"):
        lb.Monitor(identity(), TOKENS, readout="mean", **options)
