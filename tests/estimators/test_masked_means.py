"""Means over the tokens that a mask keeps: intervals beside quadrature, where inputs have different numbers of tokens.

The mean over m of the tokens s_1, s_2, ... with noise of deviation sigma is Gaussian with the variance sigma^2 / m. The
second of two layers that return their input adds the same variance again.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.answers import entropy, grid, information_of_channel, normal
from tests.support.early_ends import allowed_misses, excess_misses
from tests.support.random_arrays import normal_tensor

SIGMA = 0.6
# Five inputs of one unit; inputs 0 and 1 have the same mean.
TOKENS = torch.tensor([[0.1, 0.1, 0.1], [0.1, 9, 9], [1.0, 0.5, 9], [-0.9, 9, -0.7], [-0.4, -0.2, 0.1]]).double()
MASK = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]])
LABELS = [0, 0, 1, 1, 1]
MEAN = lb.Tokens("mean", mask="mask")

# Each quadrature errs by less than 1e-10 (tests/support/answers.py); I(T;Y) combines four, with weights that sum to 4.
QUADRATURE = 4.1e-10
# Ten logarithms below 3 are added: ten roundings of sums below 30.
ROUNDING = 10 * 30 * np.finfo(float).eps / 2

pytestmark = pytest.mark.usefixtures("one_thread")


class Layers(nn.Module):
    """Two layers that return their input; the mask has no effect."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Identity()

    def forward(self, tokens, mask):
        return 1 * self.second(self.first(tokens))


INPUTS = {"tokens": TOKENS[..., None], "mask": MASK}
NOISY = lb.noisify(Layers(), sigma=SIGMA, layers=nn.Identity, inputs=INPUTS)


def densities_of(n_noises, axis):
    """Return p(t|x) on an axis, for a mean of tokens to which `n_noises` layers have added noise."""
    counts, means = MASK.sum(1).numpy(), ((TOKENS * MASK).sum(1) / MASK.sum(1)).numpy()
    return normal(axis - means[:, None], SIGMA * np.sqrt(n_noises / counts)[:, None])


def truths(n_noises):
    """Compute every quantity by quadrature.

    The axis ends eight of the largest deviations beyond the means.
    """
    axis = grid(-4, 4, SIGMA / math.sqrt(3))
    densities = densities_of(n_noises, axis)
    of_input = np.mean([entropy(density, axis) for density in densities])
    information, of_label = information_of_channel(densities, axis), []
    for label, share in ((0, 0.4), (1, 0.6)):
        of_label.append(share * information_of_channel(densities[np.array(LABELS) == label], axis))
    return {
        "I(X;T)": information,
        "h(T)": information + of_input,
        "h(T|X)": of_input,
        "I(T;Y)": information - sum(of_label),
        "I(X;T|Y)": sum(of_label),
    }


def largest_width(densities, cell, confidence):
    """Return the width between two Bernstein bounds of the mean of log p(t|x) - log p(t), from a quadrature of p(t|x).

    The betting bounds of the interval are about as tight: by default 2^14 queries have terms of this variance, between
    log(log(1/risk) / 2^14), that of the prior, and log N.
    """
    terms = np.log(densities + 1e-300) - np.log(densities.mean(0) + 1e-300)
    means, squares = ((densities * power).sum() * cell / len(densities) for power in (terms, terms**2))
    log_risk, n_queries = math.log(2 / (1 - confidence)), 2**14
    terms_range = math.log(len(densities)) + math.log(n_queries / log_risk)
    return 2 * (math.sqrt(2 * (squares - means**2) * log_risk / n_queries) + terms_range * log_risk / (3 * n_queries))


@pytest.mark.parametrize(("layer", "n_noises"), [("first", 1), ("second", 2)])
def test_intervals_contain_the_true_values_at_their_level(layer, n_noises):
    exact = truths(n_noises)

    def misses_of(seeds):
        for seed in seeds:
            for row in lb.layer_information(
                NOISY, INPUTS, LABELS, layers=layer, readout=MEAN, draws=24, queries=12, seed=seed
            ):
                if not row.lower - QUADRATURE <= exact[row.quantity] <= row.upper + QUADRATURE:
                    yield row.quantity

    assert excess_misses(misses_of, allowed_misses(12, 0.05, 1e-6)) == {}


def test_more_queries_narrow_the_interval_to_the_true_value():
    axis = grid(-4, 4, SIGMA / math.sqrt(3))
    table = lb.layer_information(NOISY, INPUTS, layers="first", readout=MEAN, confidence=1 - 1e-6)
    information = table.rows[0]
    assert information.lower <= truths(1)["I(X;T)"] <= information.upper
    assert information.upper - information.lower < largest_width(densities_of(1, axis), axis[1] - axis[0], 1 - 1e-6)
    assert information.flags == ("masked",)


def test_every_unit_may_have_its_own_deviation():
    deviations, values = np.array([0.6, 0.2]), torch.stack([TOKENS, TOKENS.flip(0)], 2)
    means = (values * MASK[..., None]).sum(1) / MASK.sum(1, keepdim=True)
    of_units = deviations / np.sqrt(MASK.sum(1).numpy())[:, None]
    # A step of a quarter of the least deviation; the ends are seven deviations or more beyond the means, -0.9 to 4.55.
    axis = np.arange(-5, 7, 0.2 / math.sqrt(3) / 4)
    first, second = (normal(axis - means[:, [k]].numpy(), of_units[:, [k]]) for k in (0, 1))
    densities, cell = np.einsum("xi,xj->xij", first, second), (axis[1] - axis[0]) ** 2
    marginal = densities.mean(0)
    of_marginal = -(marginal * np.log(marginal + 1e-300)).sum() * cell
    of_input = np.log(of_units).sum(1).mean() + math.log(2 * math.pi * math.e)
    options = {"sigma": torch.tensor(deviations).repeat(3), "readout": MEAN, "confidence": 1 - 1e-6}
    table = lb.layer_information(Layers(), {"tokens": values, "mask": MASK}, layers="first", **options)
    rows = {row.quantity: row for row in table}
    assert rows["h(T|X)"].value == pytest.approx(of_input, abs=ROUNDING)
    information = rows["I(X;T)"]
    assert information.lower <= of_marginal - of_input <= information.upper
    assert information.upper - information.lower < largest_width(densities, cell, 1 - 1e-6)


def test_an_input_with_one_token_leaves_the_information_of_the_others():
    """With one more input, I = N/(N+1) I_N + I(B; T), B the event that X is this input, and I(B; T) is at most H(B)."""
    n_inputs, values = 100, normal_tensor(101, 16, 3)
    mask = torch.ones(n_inputs + 1, 16)
    mask[-1, 1:] = 0
    options = {"sigma": 1.0, "layers": "first", "readout": MEAN, "confidence": 1 - 1e-6}
    of_all, of_others = (
        lb.layer_information(Layers(), {"tokens": values[:n], "mask": mask[:n]}, **options).rows[0]
        for n in (n_inputs + 1, n_inputs)
    )
    share = n_inputs / (n_inputs + 1)
    of_event = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert share * of_others.lower <= of_all.upper
    assert of_all.lower <= share * of_others.upper + of_event


def test_means_of_equally_many_tokens_have_noise_of_one_covariance():
    mask = torch.tensor([[1, 1, 0]] * 3 + [[0, 1, 1]] * 2)
    inputs = {"tokens": INPUTS["tokens"], "mask": mask}
    rows = lb.layer_information(Layers(), inputs, sigma=SIGMA, layers="first", readout=MEAN)
    means = (TOKENS * mask).sum(1, keepdim=True) / 2
    for row, wanted in zip(rows, lb.information(means, SIGMA / math.sqrt(2)), strict=True):
        assert (row.lower, row.upper) == (wanted.lower, wanted.upper)


def test_the_known_network_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^estimator: got 'known' for 'second\[mean mask=mask\]', which has noise"):
        lb.layer_information(NOISY, INPUTS, layers="second", readout=MEAN, estimator="known")


def test_draws_beyond_the_budget_are_refused_by_name():
    inputs = {"tokens": TOKENS[..., None].repeat(1, 1, 1000), "mask": MASK}
    noisy = lb.noisify(Layers(), sigma=SIGMA, layers=nn.Identity, inputs=inputs)
    with pytest.raises(ValueError, match=r"^max_memory: .* 'second\[mean mask=mask\]', .* noise that differs by input"):
        lb.layer_information(noisy, inputs, layers="second", readout=MEAN, draws=32, max_memory=2**20)
