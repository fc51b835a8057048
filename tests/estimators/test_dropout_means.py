"""Means over tokens of layers with DropoutNoise: intervals beside quadrature, behind no noise and behind noise.

Given the tokens s_1, ..., s_L, the mean of the noisy values is Gaussian with the variance (sigma^2 + alpha^2 c^2) / L,
c the root mean square of the tokens. Under a mask L differs by input.
"""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.answers import grid, normal
from tests.support.early_ends import allowed_misses, excess_misses

NOISE = lb.DropoutNoise(0.5, 0.2)
# Six inputs of two tokens of one unit; inputs 0 and 5 have the same mean.
TOKENS = np.array([[-1.2, 0.9], [0.3, 0.4], [1.1, 0.2], [-0.6, -0.7], [0.8, 0.9], [-0.1, -0.2]])
LABELS = np.array([0, 0, 0, 1, 1, 1])
MASK = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 1], [0, 1], [1, 1]])

pytestmark = pytest.mark.usefixtures("one_thread")


class Tokenwise(nn.Module):
    """Two calls that act on each token alone; the mask has no effect."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Tanh()

    def forward(self, tokens, mask=None):
        return self.second(1.5 * self.first(tokens))


def inputs():
    return {"tokens": torch.from_numpy(TOKENS)[..., None], "mask": MASK}


def measured(layer, readout, **options):
    model = lb.noisify(Tokenwise(), sigma=NOISE, layers=["first", "second"], inputs=inputs())
    return {
        row.quantity: row
        for row in lb.layer_information(model, inputs(), LABELS, layers=layer, readout=readout, **options)
    }


def nodes(means, deviations, count=40):
    """Return the values of independent Gaussian tokens, (count^L, L), and their probabilities."""
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    values = [mean + deviation * points for mean, deviation in zip(means, deviations, strict=True)]
    probabilities = itertools.product(*[weights / weights.sum()] * len(means))
    return np.array(list(itertools.product(*values))), np.array([np.prod(weight) for weight in probabilities])


def variance_of_mean(tokens):
    """Return the variance of the noise of the mean of tokens (..., L)."""
    return (NOISE.sigma**2 + (NOISE.alpha * tokens) ** 2).mean(-1) / tokens.shape[-1]


def truths(layer, kept):
    """Compute every quantity by quadrature, for the mean of the tokens that a mask (n, L) keeps."""
    axis = grid(-3, 3, 0.1)
    densities = []
    for tokens, mask in zip(TOKENS, kept, strict=True):
        tokens = tokens[mask]
        if layer == "first":
            signals, probabilities = tokens[None], np.ones(1)
        else:
            values, probabilities = nodes(tokens, np.hypot(NOISE.alpha * tokens, NOISE.sigma))
            signals = np.tanh(1.5 * values)
        scales = np.sqrt(variance_of_mean(signals))
        densities.append(probabilities @ normal(axis - signals.mean(1)[:, None], scales[:, None]))
    densities, step = np.array(densities), axis[1] - axis[0]

    def entropy(density):
        return float(-(density * np.log(density + 1e-300)).sum() * step)

    marginal, given_input = entropy(densities.mean(0)), np.mean([entropy(density) for density in densities])
    given_class = np.mean([entropy(densities[label == LABELS].mean(0)) for label in (0, 1)])
    return {
        "I(X;T)": marginal - given_input,
        "h(T)": marginal,
        "h(T|X)": given_input,
        "I(T;Y)": marginal - given_class,
        "I(X;T|Y)": given_class - given_input,
    }


ALL = np.ones_like(TOKENS, bool)
CASES = {
    "mean": ("mean", ALL),
    "kept": (lb.Tokens("mean", mask="mask"), MASK.numpy() == 1),
}


@pytest.mark.parametrize("layer", ["first", "second"])
@pytest.mark.parametrize("case", CASES)
def test_intervals_contain_the_true_values_at_their_level(case, layer):
    readout, kept = CASES[case]
    exact = truths(layer, kept)

    def misses_of(seeds):
        for seed in seeds:
            rows = measured(layer, readout, draws=48, queries=24, seed=seed)
            yield from (name for name, row in rows.items() if not row.lower - 1e-9 <= exact[name] <= row.upper + 1e-9)

    assert excess_misses(misses_of, allowed_misses(12, 0.05, 1e-6)) == {}


@pytest.mark.parametrize(("layer", "width"), [("first", 0.07), ("second", 0.2)])
def test_more_queries_narrow_the_intervals_to_the_true_values(layer, width):
    readout, kept = CASES["mean"]
    rows, exact = measured(layer, readout, confidence=1 - 1e-6), truths(layer, kept)
    for name, row in rows.items():
        assert row.lower - 1e-9 <= exact[name] <= row.upper + 1e-9, name
    assert rows["I(X;T)"].upper - rows["I(X;T)"].lower < width


def test_equal_means_differ_by_their_noise():
    """Inputs -a, a and 0, 0 have the mean 0, and noise of different variances."""
    tokens = torch.tensor([[[-2.0], [2.0]], [[0.0], [0.0]]], dtype=torch.float64)
    model = lb.noisify(nn.Sequential(nn.Identity()), sigma=NOISE, layers="0", inputs=tokens)
    row = lb.layer_information(model, tokens, readout="mean")["0[mean]", "I(X;T)"]
    assert 0.2 < row.lower < row.upper < 0.693148  # log 2


def test_a_mean_over_one_token_is_the_token():
    tokens = torch.from_numpy(TOKENS)[:, :1, None]
    model = lb.noisify(Tokenwise(), sigma=NOISE, layers=["first", "second"], inputs=tokens)
    table = lb.layer_information(model, tokens, LABELS, layers="second", readout=["mean", 0], draws=64)
    for quantity in ("I(X;T)", "I(T;Y)", "I(X;T|Y)"):
        mean, token = table["second[mean]", quantity], table["second[0]", quantity]
        assert (mean.lower, mean.upper) == pytest.approx((token.lower, token.upper), abs=1e-12)


def test_means_over_positions_of_a_feature_map_are_measured():
    maps = torch.linspace(-1, 1, 8 * 16, dtype=torch.float64).reshape(8, 1, 4, 4)
    model = nn.Sequential(nn.Identity(), nn.Tanh())
    table = lb.layer_information(model, maps, sigma=NOISE, layers="1", readout=lb.Channels("mean"))
    row, activations = table["1[channels mean]", "I(X;T)"], torch.tanh(maps).flatten(1)
    deviations = ((NOISE.sigma**2 + NOISE.alpha**2 * activations.square().mean(1)) / 16).sqrt().numpy()
    axis = grid(-1, 1, 0.05)
    densities = normal(axis - activations.mean(1).numpy()[:, None], deviations[:, None])
    marginal = densities.mean(0)
    terms = densities * np.log((densities + 1e-300) / (marginal + 1e-300))
    assert row.lower <= terms.mean(0).sum() * (axis[1] - axis[0]) <= row.upper
    assert row.upper - row.lower < 0.05
