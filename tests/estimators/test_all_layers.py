"""The sample-propagation estimator against truth found otherwise: tables, quadrature, networks whose p(t|x) is known.

Values are compared within Z standard errors: at Z = 5 a right estimator fails one test in 1.7 million, and seeds are
fixed. Behind noise, `plug_in`, of r draws, is biased: with p^ the mixture of r draws from p(t|x),

    0 <= h(T|X) - E h^(T|X) = E KL(p^ || p) <= E log(1 + (R_x - 1) / r),   R_x = E int N(t; S, sigma^2 I)^2 / p(t|x) dt

(Jensen; draws are independent given x), and h^(T) is biased down too. By convexity of I in the channel, therefore

    0 <= E I^(X;T) - I(X;T) <= mean over x of log(1 + (R_x - 1) / r).

`value` lies between it and `decoded`, which is below the truth; `lower` to `upper` is an interval for the truth.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch
from layerbits.estimators.sampling import sample_layers
from scipy import stats
from torch import Tensor, nn

from layerbits import InformationRow, LayerSelectionError, NoNoiseError, layer_information, noisify
from layerbits.estimators import measurement
from layerbits.estimators.all_layers import _audited
from layerbits.kernels import NormalStream
from layerbits.networks import propagate
from tests.support.answers import (
    NEURON_CELLS,
    NEURON_SIGMAS,
    gaussian_mixture_information,
    grid,
    information_of_channel,
    information_on_line,
    normal,
)

Z = 5


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def dense(weight, bias=0.0):
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.fill_(bias)
    return layer


def identity(count=1, sigma=0.5):
    """Layers that add noise and do nothing else, named "0", "1", ..."""
    return noisify(nn.Sequential(*(nn.Identity() for _ in range(count))), sigma=sigma, layers=nn.Identity)


def tanh_network(sigma=0.1, gain=1.0):
    """Noisy layers "1" (exact with one draw) and "3" (behind noise)."""
    first, second = dense(gain * random(3, 4, seed=7) / 2), dense(gain * random(3, 3, seed=8) / 2)
    return noisify(nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), dense(random(2, 3))), sigma=sigma)


INPUTS, LABELS = random(20, 4, seed=3), torch.arange(20) % 3


def apart(one, other):
    """How far two independent plug-ins lie apart, in standard errors."""
    return abs(one.plug_in - other.plug_in) / math.hypot(one.plug_in_error, other.plug_in_error)


# Truth without noise upstream


@pytest.mark.parametrize(("weight", "sigma", "value"), NEURON_CELLS)
def test_single_neuron_has_the_tabled_information(weight, sigma, value):
    """1000 copies of every input are queries more: I(X;T) is that of the four values, for T depends on nothing else."""
    model = nn.Sequential(dense(torch.tensor([[weight]]).double(), -2.0 * weight), nn.Tanh())
    inputs = torch.tensor([[-3.0], [-1], [1], [3]]).double().repeat(1000, 1)
    row = layer_information(noisify(model, sigma=sigma, layers="1"), inputs)["1", "I(X;T)"]
    assert abs(row.value - value) <= Z * row.standard_error + 1e-4  # to which the table is given


def test_table_of_the_single_neuron_is_whole():
    assert len(NEURON_CELLS) == 6 * len(NEURON_SIGMAS) == 36


def test_first_layer_is_exact_with_one_draw():
    row = layer_information(tanh_network(), INPUTS, draws=1, layers="1")["1", "I(X;T)"]
    means = propagate(tanh_network(), INPUTS, draws=1, layers="1")["1"][:, 0].numpy()
    truth, error = gaussian_mixture_information(means, 0.01 * np.eye(3), 100_000, seed=1)
    assert abs(row.value - truth) <= Z * math.hypot(row.standard_error, error)


def test_first_layer_takes_one_draw_of_those_offered():
    offered = {draws: layer_information(tanh_network(), INPUTS, draws=draws, layers="1") for draws in (1, 32)}
    assert [dataclasses.replace(row, seconds=0) for row in offered[1]] == [
        dataclasses.replace(row, seconds=0) for row in offered[32]
    ]


def test_entropy_given_the_input_is_that_of_the_noise_at_the_first_layer():
    row = layer_information(tanh_network(), INPUTS)["1", "h(T|X)"]
    assert row.value == pytest.approx(3 / 2 * math.log(2 * math.pi * math.e * 0.01), abs=1e-12)


def test_separated_inputs_have_log_n():
    row = layer_information(identity(sigma=1e-3), random(50, 2))["0", "I(X;T)"]
    assert (row.value, row.standard_error) == (pytest.approx(math.log(50), abs=1e-9), pytest.approx(0, abs=1e-9))


def test_draws_that_have_nothing_in_common_leave_an_interval_that_holds_and_no_warning():
    # A gain of a million puts all draws thousands of sigmas apart: what is left of a density without the
    # query's own part is 0. Each query is at its own draw alone.
    network = nn.Sequential(nn.Identity(), dense(1e6 * torch.ones(1, 1, dtype=torch.float64)), nn.Identity())
    noisy = noisify(network, sigma=0.5, layers=nn.Identity)
    row = layer_information(noisy, random(20, 1), draws=8)["2", "I(X;T)"]
    # Sums of one term 1 and of nothing: rounded logarithms of some tens, at most.
    assert abs(row.plug_in - math.log(20)) < 1e-12
    # The second noise is nothing beside the first, of sigma 0.5.
    assert (
        row.lower
        <= information_on_line(random(20, 1).numpy()[:, 0], 0.5)
        < row.upper
        == pytest.approx(math.log(20), abs=1e-12)
    )


def test_labels_of_the_first_layer_have_the_information_of_their_mixtures():
    means, classes = random(12, 2).numpy(), np.arange(12) % 3
    truth, error = gaussian_mixture_information(means, 0.25 * np.eye(2), 200_000, seed=1, classes=classes)
    row = layer_information(identity(), means.repeat(300, axis=0), classes.repeat(300))["0", "I(T;Y)"]
    assert abs(row.value - truth) <= Z * math.hypot(row.standard_error, error)


# Truth behind noise


@dataclasses.dataclass
class LinearNetwork:
    """Two linear layers and Gaussian inputs, drawn and fixed: T_2 given x is exactly N(B A x, sigma^2 (B B' + I))."""

    sigma: float = 0.6
    copies: int = 10
    first = random(3, 3, seed=1) / 2
    second = random(2, 3, seed=2) / 2
    values = random(30, 3, seed=3)
    classes = np.arange(30) % 2

    @property
    def noisy(self):
        return noisify(nn.Sequential(dense(self.first), dense(self.second)), sigma=self.sigma, layers=nn.Linear)

    @property
    def inputs(self):
        return self.values.repeat(self.copies, 1)  # copies are queries more, and tell nothing new

    @property
    def means(self):
        return (self.values @ self.first.T @ self.second.T).numpy()

    @property
    def covariance(self):
        return self.sigma**2 * ((self.second @ self.second.T).numpy() + np.eye(2))

    def bias(self, draws):
        """R_x = det(C) / sigma^2d: for Gaussians, R is the product of c_k / sigma^2 over the axes of C."""
        ratio = np.linalg.det(self.covariance) / self.sigma**4
        return math.log1p((ratio - 1) / draws)


@pytest.mark.parametrize("estimator", ["pooled", "paper"])
@pytest.mark.parametrize("draws", [4, 64])
def test_linear_network_has_the_information_of_its_gaussian_channel(draws, estimator):
    net = LinearNetwork()
    truth, error = gaussian_mixture_information(net.means, net.covariance, 200_000, seed=1)
    table = layer_information(net.noisy, net.inputs, draws=draws, queries=min(draws // 2, 16), estimator=estimator)
    row = table["1", "I(X;T)"]
    error = Z * math.hypot(row.plug_in_error, error)
    assert truth - error <= row.plug_in <= truth + net.bias(draws) + error


def test_linear_network_has_the_class_information_of_its_gaussian_channel():
    """Classes pool 15 inputs, 10 copies and r draws; h^(T|Y) and h^(T) are biased by no more than h^(T|X)."""
    net = LinearNetwork()
    truth, error = gaussian_mixture_information(net.means, net.covariance, 200_000, seed=1, classes=net.classes)
    labels = np.tile(net.classes, net.copies)
    row = layer_information(net.noisy, net.inputs, torch.from_numpy(labels), queries=16)["1", "I(T;Y)"]
    error = Z * math.hypot(row.plug_in_error, error)
    assert truth - net.bias(32) - error <= row.plug_in <= truth + net.bias(32) + error


def test_linear_network_has_the_conditional_entropy_of_a_gaussian():
    net = LinearNetwork()
    truth = np.linalg.slogdet(2 * np.pi * np.e * net.covariance)[1] / 2
    row = layer_information(net.noisy, net.inputs, draws=64, queries=16)["1", "h(T|X)"]
    error = Z * row.plug_in_error
    assert truth - net.bias(64) - error <= row.plug_in <= truth + error


@pytest.mark.parametrize("quantity", ["h(T)", "h(T|X)"])
def test_layer_that_shrinks_everything_away_has_the_entropy_of_its_noise(quantity):
    """Signals lie within 1e-8 of one another: terms differ by |z| 1e-8 / sigma^2 < 1e-6 from those of one Gaussian."""
    noisy = noisify(nn.Sequential(nn.Identity(), dense(1e-9 * torch.eye(4).double())), sigma=0.5, layers=["0", "1"])
    row = layer_information(noisy, INPUTS, draws=4)["1", quantity]
    assert row.value == pytest.approx(2 * math.log(2 * math.pi * math.e * 0.25), abs=1e-6)


class ScalarNetwork:
    """T_1 = tanh(2 x) + Z, T_2 = tanh(2 T_1) + Z with p(t_2|x) by quadrature over t_1."""

    sigma = 0.25
    values = np.linspace(-1, 1, 5)

    def __init__(self):
        inner = grid(-1, 1, self.sigma)
        self.axis = grid(-1, 1, self.sigma)
        first = normal(inner - np.tanh(2 * self.values)[:, None], self.sigma)
        kernel = normal(self.axis - np.tanh(2 * inner)[:, None], self.sigma)
        step = inner[1] - inner[0]
        self.densities = first @ kernel * step
        self.squares = first @ kernel**2 * step

    @property
    def truth(self):
        return information_of_channel(self.densities, self.axis)

    def bias(self, draws):
        ratios = np.trapezoid(self.squares / self.densities, self.axis, axis=1)
        return np.log1p((ratios - 1) / draws).mean()

    def estimates(self, draws, column="plug_in"):
        """Over 8 seeds: the mean of an estimate of I(X;T_2), and its standard error."""
        gain = torch.tensor([[2.0]]).double()
        model = nn.Sequential(dense(gain), nn.Tanh(), dense(gain), nn.Tanh())
        noisy = noisify(model, sigma=self.sigma, layers=nn.Tanh)
        inputs = torch.from_numpy(self.values.repeat(100)[:, None])
        options = {"draws": draws, "queries": max(2, min(draws // 2, 24)), "layers": "3"}
        rows = [layer_information(noisy, inputs, seed=seed, **options).rows[0] for seed in range(8)]
        found = [getattr(row, column) for row in rows]
        return np.mean(found), stats.sem(found)


def scalar_network(draws, column="plug_in"):
    network = ScalarNetwork()
    mean, error = network.estimates(draws, column)
    return network, mean, Z * error


@pytest.mark.parametrize("draws", [3, 12, 64])
def test_scalar_network_is_estimated_from_above_and_within_its_bias(draws):
    network, mean, error = scalar_network(draws)
    assert network.truth - error <= mean <= network.truth + network.bias(draws) + error


def test_estimate_falls_towards_the_truth_as_draws_grow():
    """The bias at r = 3 and at r = 24 differ by more than both errors."""
    (_, few, few_error), (network, many, many_error) = scalar_network(3), scalar_network(24)
    assert network.truth - many_error <= many < few - few_error - many_error


@pytest.mark.parametrize("draws", [4, 24])
def test_decoders_estimate_a_scalar_network_from_below(draws):
    network, mean, error = scalar_network(draws, "decoded")
    assert mean <= network.truth + error


def test_paper_estimator_agrees_with_the_pooled_one():
    """Both are entropies of the same mixtures, from other queries: within combined errors."""
    net = LinearNetwork()
    pooled, paper = (layer_information(net.noisy, net.inputs, estimator=name) for name in ("pooled", "paper"))
    assert apart(pooled["1", "I(X;T)"], paper["1", "I(X;T)"]) <= Z


@pytest.mark.parametrize(("estimator", "samples"), [("pooled", 1), ("paper", 2)])
def test_paper_estimator_takes_a_second_sample(monkeypatch, estimator, samples):
    seeds = []

    def recording(*args, seed, **options):
        seeds.append(seed)
        return sample_layers(*args, seed=seed, **options)

    monkeypatch.setattr("layerbits.estimators.all_layers.sample_layers", recording)
    layer_information(tanh_network(), INPUTS, estimator=estimator)
    assert len(set(seeds)) == len(seeds) == samples


def test_queries_of_no_two_samples_or_layers_share_their_noise(monkeypatch):
    keys = []

    class Noted(NormalStream):
        def __init__(self, seed, *key):
            keys.append((seed, *key))
            super().__init__(seed, *key)

    monkeypatch.setattr(measurement, "NormalStream", Noted)
    layer_information(tanh_network(), INPUTS, estimator="paper", draws=4)
    assert len(set(keys)) == len(keys) == 3  # of layer 1, which is exact, and of both samples of layer 3


def test_paper_estimator_takes_samples_of_its_own():
    pooled, paper = (layer_information(tanh_network(), INPUTS, estimator=name) for name in ("pooled", "paper"))
    assert pooled["3", "h(T|X)"].plug_in != paper["3", "h(T|X)"].plug_in
    assert pooled["3", "h(T)"].plug_in == paper["3", "h(T)"].plug_in


@pytest.mark.parametrize("quantity", ["I(X;T)", "h(T)", "I(T;Y)"])
def test_value_of_the_paper_estimator_is_the_plug_in(quantity):
    row = layer_information(tanh_network(), INPUTS, LABELS, estimator="paper")["3", quantity]
    assert row.value == row.plug_in != row.decoded


# Labels


@pytest.mark.parametrize("estimator", ["pooled", "paper"])
@pytest.mark.parametrize("layer", ["1", "3"])
def test_information_splits_into_that_of_the_class_and_the_rest(layer, estimator):
    table = layer_information(tanh_network(), INPUTS, LABELS, estimator=estimator)
    parts = table[layer, "I(T;Y)"].plug_in + table[layer, "I(X;T|Y)"].plug_in
    assert parts == pytest.approx(table[layer, "I(X;T)"].plug_in, abs=1e-12)


@pytest.mark.parametrize("layer", ["1", "3"])
def test_entropy_minus_conditional_entropy_is_information(layer):
    table = layer_information(tanh_network(), INPUTS)
    difference = table[layer, "h(T)"].plug_in - table[layer, "h(T|X)"].plug_in
    assert difference == pytest.approx(table[layer, "I(X;T)"].plug_in, abs=1e-12)


def test_labels_leave_the_other_rows_alone():
    """p(t) is then put together from classes: its logarithm rounds by some eps."""
    plain, labelled = (layer_information(tanh_network(), INPUTS, labels) for labels in (None, LABELS))
    for row in plain:
        assert labelled[row.layer, row.quantity].value == pytest.approx(row.value, abs=1e-12)


def test_one_class_tells_nothing():
    row = layer_information(tanh_network(), INPUTS, torch.zeros(20, dtype=torch.int64))["3", "I(T;Y)"]
    assert (row.value, row.standard_error) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-12))


def test_class_per_input_tells_everything():
    table = layer_information(tanh_network(), INPUTS, torch.arange(20))
    assert table["3", "I(T;Y)"].value == pytest.approx(table["3", "I(X;T)"].value, abs=1e-12)


@pytest.mark.parametrize(
    "labels",
    [
        1000 * LABELS - 500,
        LABELS.numpy(),
        LABELS.to(torch.uint8),
        LABELS.numpy().astype(np.uint16),
        LABELS.numpy().astype(">i4"),
    ],
    ids=["spread ids", "array", "uint8", "uint16", "big endian"],
)
def test_names_of_the_classes_do_not_count(labels):
    truth = layer_information(tanh_network(), INPUTS, LABELS)
    found = layer_information(tanh_network(), INPUTS, labels)
    assert [row.value for row in found] == [row.value for row in truth]


def test_labels_may_be_true_and_false():
    truth = layer_information(tanh_network(), INPUTS, (LABELS == 1).long())
    found = layer_information(tanh_network(), INPUTS, LABELS == 1)
    assert [row.value for row in found] == [row.value for row in truth]


# Invariance


def test_order_of_inputs_changes_nothing():
    order = torch.from_numpy(np.random.default_rng(5).permutation(20))
    here, there = (layer_information(tanh_network(), x, seed=s) for s, x in enumerate((INPUTS, INPUTS[order])))
    assert apart(here["3", "I(X;T)"], there["3", "I(X;T)"]) <= Z


def test_rotation_of_a_layer_changes_nothing():
    turned = INPUTS @ torch.linalg.qr(random(4, 4, seed=9)).Q
    here, there = (layer_information(identity(), x, seed=seed) for seed, x in enumerate((INPUTS, turned)))
    assert apart(here["0", "I(X;T)"], there["0", "I(X;T)"]) <= Z


def test_translation_of_a_layer_changes_rounding_alone():
    """Adding 1000 rounds centers by 1e-13, and every term by that times |t - c| / sigma^2 < 100."""
    here, there = (layer_information(identity(), x)["0", "I(X;T)"] for x in (INPUTS, INPUTS + 1000))
    assert here.value == pytest.approx(there.value, abs=1e-11)


def test_wide_layer_has_the_information_of_its_subspace():
    wide = noisify(nn.Sequential(dense(torch.linalg.qr(random(2000, 4)).Q)), sigma=0.5, layers="0")
    here, there = layer_information(wide, INPUTS, seed=1), layer_information(identity(), INPUTS)
    assert apart(here["0", "I(X;T)"], there["0", "I(X;T)"]) <= Z


def test_entropy_of_a_wide_layer_counts_the_noise_of_every_dimension():
    wide = noisify(nn.Sequential(dense(torch.linalg.qr(random(2000, 4)).Q)), sigma=0.5, layers="0")
    row = layer_information(wide, INPUTS)["0", "h(T|X)"]
    assert row.value == pytest.approx(1000 * math.log(2 * math.pi * math.e * 0.25), rel=1e-14)


def test_float32_agrees_with_float64():
    here = layer_information(tanh_network(), INPUTS)
    there = layer_information(tanh_network().float(), INPUTS.float(), seed=1)
    assert apart(here["3", "I(X;T)"], there["3", "I(X;T)"]) <= Z


def test_array_and_tensor_give_the_same_values():
    here, there = layer_information(tanh_network(), INPUTS), layer_information(tanh_network(), INPUTS.numpy())
    assert [row.value for row in here] == [row.value for row in there]


def test_layer_asked_alone_has_the_value_that_it_has_among_others():
    alone = layer_information(tanh_network(), INPUTS, layers="3")["3", "I(X;T)"]
    assert alone.value == layer_information(tanh_network(), INPUTS)["3", "I(X;T)"].value


# Errors


SEEDS = 120


@pytest.fixture(scope="module")
def calibration():
    """Rows of many seeds: by layer and quantity."""
    noisy = tanh_network()
    tables = [layer_information(noisy, INPUTS, LABELS, draws=9, queries=4, seed=s) for s in range(SEEDS)]
    return {(row.layer, row.quantity): [table[row.layer, row.quantity] for table in tables] for row in tables[0]}


def spread_and_claim(rows, column, error):
    """Standard deviation of a column over seeds, and root of the mean square of what is claimed for it."""
    spread = np.std([getattr(row, column) for row in rows], ddof=1)
    return spread, math.sqrt(np.mean([getattr(row, error) ** 2 for row in rows]))


# (n - 1) s^2 / variance is chi-squared: its 1e-6 quantiles.
LOW, HIGH = np.sqrt(stats.chi2.ppf([1e-6, 1 - 1e-6], SEEDS - 1) / (SEEDS - 1))


@pytest.mark.parametrize("quantity", ["I(X;T)", "h(T)", "h(T|X)", "I(T;Y)", "I(X;T|Y)"])
@pytest.mark.parametrize("layer", ["1", "3"])
def test_standard_error_is_the_spread_over_seeds(calibration, layer, quantity):
    """At layer 1, h(T|X) is exact."""
    spread, claimed = spread_and_claim(calibration[layer, quantity], "plug_in", "plug_in_error")
    assert spread / HIGH - 1e-12 <= claimed <= spread / LOW + 1e-12


@pytest.mark.parametrize("quantity", ["I(X;T)", "h(T)", "h(T|X)", "I(T;Y)", "I(X;T|Y)"])
def test_error_of_the_value_is_not_understated(calibration, quantity):
    """Half the sum of the errors of both bounds: right for bounds that move together, else more."""
    spread, claimed = spread_and_claim(calibration["3", quantity], "value", "standard_error")
    assert spread <= claimed * HIGH


@pytest.mark.parametrize(("draws", "queries"), [(2, None), (9, 2)])
def test_too_few_parts_for_a_jackknife_of_draws_do_not_understate_the_error(draws, queries):
    """Inputs are left out instead, whose own differences come on top: only the lower quantile of chi-squared binds."""
    noisy, options = tanh_network(), {"layers": "3", "draws": draws, "queries": queries}
    tables = [layer_information(noisy, INPUTS, seed=s, **options) for s in range(SEEDS)]
    for quantity in ("I(X;T)", "h(T)", "h(T|X)"):
        spread, claimed = spread_and_claim([table["3", quantity] for table in tables], "plug_in", "plug_in_error")
        assert spread <= claimed * HIGH


@pytest.mark.parametrize(("draws", "queries"), [(2, None), (5, 2), (7, 3), (8, 4), (40, 20)])
def test_error_of_a_saturated_layer_is_zero_however_draws_are_parted(draws, queries):
    row = layer_information(identity(2, sigma=1e-4), INPUTS, draws=draws, queries=queries)["1", "I(X;T)"]
    assert (row.plug_in, row.plug_in_error) == (pytest.approx(math.log(20)), pytest.approx(0, abs=1e-12))


def test_error_of_entropy_given_the_input_is_not_zero_with_the_fewest_draws():
    assert layer_information(tanh_network(), INPUTS, draws=2)["3", "h(T|X)"].plug_in_error > 0.01


@pytest.mark.parametrize("layer", ["1", "3"])
def test_more_confidence_takes_a_wider_interval(layer):
    """From the same draws and queries, for every quantity that is not known exactly."""
    narrow, wide = (layer_information(tanh_network(), INPUTS, LABELS, confidence=level) for level in (0.5, 0.99))
    rows = [(one, two) for one, two in zip(narrow, wide, strict=True) if one.layer == layer and one.lower < one.upper]
    assert len(rows) == (4 if layer == "1" else 5)
    assert all(two.lower < one.lower < one.value < one.upper < two.upper for one, two in rows)


@pytest.mark.parametrize("layer", ["1", "3"])
def test_value_lies_within_its_interval(calibration, layer):
    rows = [row for (name, _), found in calibration.items() if name == layer for row in found]
    assert rows
    assert all(row.lower <= row.value <= row.upper for row in rows)


def test_tolerance_is_met():
    before = layer_information(tanh_network(), INPUTS, layers="3").rows[0]
    row = layer_information(tanh_network(), INPUTS, layers="3", tolerance=0.06, max_seconds=60).rows[0]
    assert row.upper - row.lower <= 0.12 < before.upper - before.lower
    assert (row.note, row.draws > before.draws) == ("", True)


def test_tolerance_missed_is_noted():
    row = layer_information(tanh_network(), INPUTS, layers="3", tolerance=1e-4, max_draws=64).rows[0]
    assert row.note == f"tolerance 0.0001 not reached within max_draws 64: held back by {row.limited_by}"


def test_tolerance_is_of_each_layer():
    table = layer_information(tanh_network(), INPUTS, tolerance=0.1, max_seconds=60)
    rows = [table[layer, "I(X;T)"] for layer in ("1", "3")]
    assert all(row.upper - row.lower <= 0.2 for row in rows)
    assert rows[0].draws == 1


def test_queries_at_the_first_layer_are_not_bounded_by_draws():
    """Standard errors fall as the root of the queries: from 8 to 128 by 4, give or take their own error."""
    few, many = (
        layer_information(tanh_network(), INPUTS, layers="1", draws=1, queries=queries).rows[0] for queries in (8, 128)
    )
    assert 3 < few.standard_error / many.standard_error < 5


def test_same_seed_gives_the_same_values():
    first, second = (layer_information(tanh_network(), INPUTS, LABELS, seed=4) for _ in range(2))
    assert [row.value for row in first] == [row.value for row in second]


@pytest.mark.parametrize("layer", ["1", "3"])
def test_another_seed_gives_another_value(layer):
    first, second = (layer_information(tanh_network(), INPUTS, seed=seed)[layer, "I(X;T)"] for seed in (4, 5))
    assert first.value != second.value


def test_global_generators_are_left_alone():
    def states():
        return torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002

    noisy, before = tanh_network(), states()
    layer_information(noisy, INPUTS, LABELS, estimator="paper")
    assert states() == before


# Audits


def test_saturation_is_noted():
    row = layer_information(identity(sigma=1e-3), INPUTS)["0", "I(X;T)"]
    assert row.note == "saturated at log N: the inputs are told apart, and no more is known"


def test_uncertain_value_is_not_called_saturated():
    """Two inputs 3.3 sigma apart and few draws: log 2 lies within the error of many a value, and is not the truth."""
    noisy, inputs = identity(2, sigma=0.6 / math.sqrt(2)), torch.tensor([[-1.0], [1.0]]).double()
    rows = [layer_information(noisy, inputs, layers="1", seed=seed).rows[0] for seed in range(20)]
    assert any(row.upper == math.log(2) for row in rows)
    assert not any(row.note for row in rows)


def test_sound_network_has_no_notes():
    assert not any(row.note for row in layer_information(tanh_network(), INPUTS, LABELS))


class Branches(nn.Module):
    """The second layer sees the input itself, while the first sees none of it: no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Tanh(), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return 0 * self.first(0 * x) + self.second(x) + 1


def test_layer_that_knows_more_than_the_one_before_is_noted():
    table = layer_information(noisify(Branches(), sigma=0.5), INPUTS)
    assert table["second", "I(X;T)"].note.startswith("above 'first' before it")


def row(quantity, plug_in, *, lower=0.0, upper=1.0, layer="1"):
    return InformationRow(
        layer, quantity, "pooled", plug_in, 0.01, lower, upper, "nats", 8, 0.0, plug_in=plug_in, plug_in_error=0.01
    )


CEILINGS = {"I(X;T)": math.log(4), "I(T;Y)": math.log(2), "I(X;T|Y)": math.log(2)}  # 4 inputs in 2 equal classes


@pytest.mark.parametrize(
    ("quantity", "plug_in", "note"),
    [
        ("I(X;T)", math.log(4) + 0.05, "above its ceiling 1.3863: raise draws or queries"),
        ("I(T;Y)", math.log(2) + 0.05, "above its ceiling 0.6931: raise draws or queries"),
        ("I(X;T)", math.log(4) + 0.03, ""),  # within three standard errors
        ("I(T;Y)", math.log(2) + 0.01, ""),
        ("h(T)", 50.0, ""),
    ],
)
def test_what_theory_rules_out_is_noted(quantity, plug_in, note):
    found = [row(name, plug_in if name == quantity else 0.3) for name in (*CEILINGS, "h(T)")]
    notes = {one.quantity: one.note for one in _audited(found, None, CEILINGS, "")}
    assert notes == {**dict.fromkeys(notes, ""), quantity: note}


@pytest.mark.parametrize(
    ("ends", "note"),
    [
        ({}, ""),
        ({"I(X;T)": (0.5, 0.4)}, "its bounds exclude each other: raise draws"),
        # The ends of the parts are added up: 0.2 to 0.9.
        ({"I(X;T)": (0.91, 1.3)}, "not the sum of I(T;Y) and I(X;T|Y): raise draws or queries"),
        ({"I(X;T)": (0.0, 0.19)}, "not the sum of I(T;Y) and I(X;T|Y): raise draws or queries"),
    ],
)
def test_intervals_that_exclude_one_another_are_noted(ends, note):
    known = {"I(X;T)": (0.0, 1.3), "I(T;Y)": (0.1, 0.4), "I(X;T|Y)": (0.1, 0.5)} | ends
    found = [row(name, 0.3, lower=lower, upper=upper) for name, (lower, upper) in known.items()]
    assert _audited(found, None, CEILINGS, "")[0].note == note


@pytest.mark.parametrize(
    ("upper", "note"), [(0.5, ""), (0.29, "above '0' before it: raise draws, or the layers are no chain")]
)
def test_layer_is_compared_with_the_one_before(upper, note):
    before = row("I(X;T)", 0.2, upper=upper, layer="0")
    assert _audited([row("I(X;T)", 0.6, lower=0.3)], before, CEILINGS, "")[0].note == note


def test_notes_are_told_together():
    (found,) = _audited([row("I(X;T)", 1.5, lower=1.3, upper=1.4)], None, CEILINGS, "fell short")
    assert found.note == (
        "fell short; above its ceiling 1.3863: raise draws or queries; "
        "saturated at log N: the inputs are told apart, and no more is known"
    )


# Edges


@pytest.mark.parametrize("sigma", [1e-30, 1e-18, 1e-10, 1e-5, 1e3, 1e10, 1e18])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_finite_at_any_noise(dtype, sigma):
    table = layer_information(tanh_network(sigma).to(dtype), INPUTS.to(dtype), LABELS)
    assert all(math.isfinite(value) for row in table for value in (row.value, row.standard_error))


def test_single_input_has_no_information():
    table = layer_information(tanh_network(), INPUTS[:1], LABELS[:1])
    assert table["3", "I(X;T)"].value == pytest.approx(0, abs=1e-12)


def test_equal_inputs_have_no_information_at_the_first_layer():
    table = layer_information(tanh_network(), INPUTS[:1].repeat(9, 1))
    assert table["1", "I(X;T)"].value == pytest.approx(0, abs=1e-12)


def test_rows_come_by_layer_and_quantity():
    table = layer_information(tanh_network(), INPUTS, LABELS)
    quantities = ["I(X;T)", "h(T)", "h(T|X)", "I(T;Y)", "I(X;T|Y)"]
    assert [(row.layer, row.quantity) for row in table] == [(name, q) for name in ("1", "3") for q in quantities]


def test_rows_say_how_they_were_made():
    row = layer_information(tanh_network(), INPUTS, draws=8, estimator="paper")["3", "I(X;T)"]
    assert (row.estimator, row.unit, row.draws) == ("paper", "nats", 8)


# Bad arguments


def test_a_single_draw_behind_noise_is_refused():
    with pytest.raises(ValueError, match=r"^draws: got 1, wanted at least 2, for '3' lies behind noise"):
        layer_information(tanh_network(), INPUTS, draws=1)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"draws": 0}, ValueError),
        ({"draws": 4.0}, TypeError),
        ({"queries": 1}, ValueError),
        ({"queries": True}, TypeError),
        ({"tolerance": 0.0}, ValueError),
        ({"confidence": 1}, ValueError),
        ({"confidence": "95 %"}, TypeError),
        ({"max_seconds": 0.0}, ValueError),
        ({"max_draws": 0}, ValueError),
        ({"seed": -1}, ValueError),
        ({"estimator": "kde"}, ValueError),
        ({"layers": "2"}, LayerSelectionError),
        ({"layers": []}, LayerSelectionError),
    ],
)
def test_bad_options_are_named(options, error):
    (name,) = options
    with pytest.raises(error, match=rf"^{name}: got "):
        layer_information(tanh_network(), INPUTS, **options)


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (LABELS.tolist(), TypeError),
        (LABELS.double(), TypeError),
        (LABELS.to(torch.complex64), TypeError),
        (LABELS.numpy().astype(str), TypeError),
        (LABELS[:5], ValueError),
        (LABELS[:, None], ValueError),
        (LABELS.to("meta"), ValueError),
    ],
)
def test_bad_labels_are_named(labels, error):
    with pytest.raises(error, match=r"^labels: got .*, wanted "):
        layer_information(tanh_network(), INPUTS, labels)


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        (None, TypeError),
        (3, TypeError),
        ([[1.0] * 4] * 20, TypeError),
        ((), TypeError),
        (INPUTS[:0], ValueError),
        (INPUTS[0, 0], ValueError),
        (torch.full((20, 4), math.nan).double(), ValueError),
    ],
)
@pytest.mark.parametrize("labels", [None, LABELS])
def test_bad_inputs_are_named_whatever_the_labels(inputs, error, labels):
    with pytest.raises(error, match=r"^inputs: got .*, wanted "):
        layer_information(tanh_network(), inputs, labels)


def test_signals_that_the_core_cannot_read_are_named():
    with pytest.raises(TypeError, match=r"^signals of layer '1': got dtype torch.bfloat16, wanted float32 or float64"):
        layer_information(tanh_network().bfloat16(), INPUTS.bfloat16())


def test_network_without_noise_is_refused_with_the_way_out():
    with pytest.raises(NoNoiseError, match=r"layerbits\.noisify\(model, sigma="):
        layer_information(tanh_network().model, INPUTS)


def test_network_with_its_noise_off_is_refused():
    noisy = tanh_network()
    with noisy.noise_off(), pytest.raises(NoNoiseError, match="noise_off"):
        layer_information(noisy, INPUTS)


@pytest.mark.parametrize(
    ("devices", "error", "message"),
    [("cuda:0", TypeError, "sequence"), ([0.5], TypeError, "CUDA devices"), (["cuda:0"], ValueError, "on the cpu")],
)
def test_devices_share_work_of_a_device(devices, error, message):
    noisy = noisify(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)))
    with pytest.raises(error, match=f"^devices: got .*{message}"):
        layer_information(noisy, torch.randn(5, 2), draws=4, devices=devices)
