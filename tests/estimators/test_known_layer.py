"""Measurements with `estimator="known"`: the network takes the place of draws at layers behind noise."""

import math

import pytest
import torch
from torch import nn

import layerbits
from layerbits import DropoutNoise, MeasurementSettings, Monitor, information, layer_information, noisify
from layerbits.estimators import known_layer
from layerbits.estimators.known_layer import SHARE_OF_DRAWS, KnownLayer, known_layers
from layerbits.estimators.known_network import KnownNetworkSettings
from layerbits.estimators.known_network.network_signal_model import NetworkSignalModel
from layerbits.estimators.problem import Problem
from layerbits.estimators.risk_shares import UNDIVIDED
from layerbits.estimators.two_sided_estimate import Point, TwoSidedEstimate
from layerbits.networks import Tokens, read_inputs
from layerbits.statistics import Interval
from tests.support.networks import Jitter, dense, tanh_mlp
from tests.support.random_arrays import normal_tensor

pytestmark = pytest.mark.usefixtures("one_thread")

INPUTS = 2 * normal_tensor(32, 4, seed=1)
LABELS = (INPUTS[:, 0] > 0).long()
QUANTITIES = ("I(X;T)", "h(T)", "h(T|X)", "I(T;Y)", "I(X;T|Y)")


def tanh_layers(seed=1, sigma=0.5):
    return noisify(tanh_mlp(4, 16, 16, 16, 3, seed=seed, dtype=torch.float64), sigma=sigma)


@pytest.fixture(scope="module")
def table():
    return layer_information(tanh_layers(), INPUTS, LABELS, estimator="known")


def test_intervals_overlap_those_of_many_draws(table):
    draws = layer_information(tanh_layers(), INPUTS, LABELS, draws=256, estimator="draws")
    for layer in ("3", "5"):
        for quantity in QUANTITIES:
            row, other = table[layer, quantity], draws[layer, quantity]
            assert row.lower <= other.upper
            assert other.lower <= row.upper
            # At the effort of the defaults no interval of these layers is wider.
            assert row.upper - row.lower < (0.3 if quantity.startswith("I") else 1.0)


def test_rows_name_the_estimator_and_what_gave_the_ends(table):
    first, second = table["1", "I(X;T)"], table["3", "I(X;T)"]
    assert (first.estimator, first.decoder) == ("known", "exact")
    assert (second.estimator, second.decoder, second.draws) == ("known", "known network", 1)
    assert second.limited_by in ("queries", "samples")


def test_layer_behind_no_noise_is_measured_as_by_the_other_estimators(table):
    row, draws = table["1", "I(X;T)"], layer_information(tanh_layers(), INPUTS, LABELS)["1", "I(X;T)"]
    # The ends may differ, because a part of the risk belongs to the ends of other layers.
    assert (row.decoded, row.plug_in, row.draws) == (draws.decoded, draws.plug_in, draws.draws)


def test_measurement_repeats(table):
    again = layer_information(tanh_layers(), INPUTS, LABELS, estimator="known")
    assert [(row.lower, row.upper) for row in again] == [(row.lower, row.upper) for row in table]


def test_entropies_of_a_linear_network_are_in_the_units_of_the_layer():
    weights = normal_tensor(3, 4, seed=2), normal_tensor(2, 3, seed=3)
    layers = dense(weights[0]), nn.Identity(), dense(weights[1]), nn.Identity()
    covariance = torch.tensor([[0.2, 0.1], [0.1, 0.3]], dtype=torch.float64)
    noisy = noisify(nn.Sequential(*layers), sigma={"1": 0.5, "3": covariance}, layers=nn.Identity)
    table = layer_information(noisy, INPUTS, estimator="known", layers="3")
    of_noisy_value = 0.25 * weights[1] @ weights[1].T + covariance
    entropy = float(torch.logdet(2 * math.pi * math.e * of_noisy_value)) / 2
    row = table["3", "h(T|X)"]
    assert row.lower <= entropy <= row.upper
    assert row.upper - row.lower < 1.0


class Root(nn.Module):
    """The root of x where x > 0, otherwise 0; torch computes NaN as the derivative of the zeros."""

    def forward(self, x):
        return (x * (x > 0)).sqrt()


def test_layer_whose_derivatives_are_nan_is_measured():
    layers = dense(normal_tensor(8, 4, seed=5)), nn.Tanh(), dense(normal_tensor(8, 8, seed=6)), Root()
    noisy = noisify(nn.Sequential(*layers), sigma=0.5, layers=["1", "3"])
    row = layer_information(noisy, INPUTS, estimator="known", layers="3")["3", "I(X;T)"]
    other = layer_information(noisy, INPUTS, draws=128, layers="3", estimator="draws")["3", "I(X;T)"]
    assert row.decoder == "known network"
    assert row.lower <= other.upper
    assert other.lower <= row.upper
    assert row.upper - row.lower < math.log(len(INPUTS))


class Tokenwise(nn.Module):
    """Two value-by-value layers on tokens (n, 3, 2)."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Tanh(), nn.Tanh()

    def forward(self, x):
        return self.b(2 * self.a(x))


def test_readouts_are_measured():
    tokens = 2 * normal_tensor(32, 3, 2, seed=4)
    noisy = noisify(Tokenwise(), sigma=0.5, layers=nn.Tanh, inputs=tokens)
    options = {"layers": "b", "readout": [Tokens("mean"), None]}
    table = layer_information(noisy, tokens, estimator="known", **options)
    draws = layer_information(noisy, tokens, draws=512, estimator="draws", **options)
    for name in ("b[mean]", "b"):
        row, other = table[name, "I(X;T)"], draws[name, "I(X;T)"]
        assert row.decoder == "known network"
        assert row.lower <= other.upper
        assert other.lower <= row.upper


def test_tolerance_is_reached_by_more_queries():
    inputs, options = INPUTS[:12], {"estimator": "known", "layers": "3"}
    first = layer_information(tanh_layers(), inputs, **options)["3", "I(X;T)"]
    tolerance = 0.85 * (first.upper - first.lower) / 2
    row = layer_information(tanh_layers(), inputs, tolerance=tolerance, **options)["3", "I(X;T)"]
    assert row.note == ""
    assert (row.upper - row.lower) / 2 <= tolerance


def test_each_of_several_label_sets_has_its_rows():
    labels = {"a": LABELS, "b": (INPUTS[:, 1] > 0).long()}
    table = layer_information(tanh_layers(), INPUTS, labels, estimator="known", layers="3")
    assert {row.quantity for row in table} == {"I(X;T)", "h(T)", "h(T|X)", "I(T;a)", "I(X;T|a)", "I(T;b)", "I(X;T|b)"}


def test_single_draw_is_enough():
    assert layer_information(tanh_layers(), INPUTS, estimator="known", layers="3", draws=1)["3", "I(X;T)"].upper > 0


def test_monitor_takes_the_estimator(tmp_path):
    settings = MeasurementSettings(estimator="known")
    monitor = Monitor(tanh_layers(), INPUTS, at=[0], directory=tmp_path, layers="3", settings=settings)
    monitor.step(0)
    assert monitor.tables[0]["3", "I(X;T)"].decoder == "known network"


def test_randomness_of_the_network_is_refused():
    noisy = noisify(nn.Sequential(nn.Tanh(), Jitter(), nn.Tanh()), sigma=0.5, layers=nn.Tanh)
    with pytest.raises(ValueError, match="'2' on which random numbers of the network itself act"):
        layer_information(noisy, INPUTS, estimator="known")


class RandomBranch(nn.Module):
    """A network that branches on random numbers, so that its operations do not show what acts on `a`."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Tanh(), nn.Tanh()

    def forward(self, x):
        factors = torch.rand(len(x), 1, dtype=x.dtype)
        return self.b(self.a(x * factors if float(factors.sum()) > 0 else x))


def test_first_layer_that_differs_by_draw_is_refused():
    noisy = noisify(RandomBranch(), sigma=0.5, layers=nn.Tanh)
    with pytest.raises(ValueError, match="'known' for 'a', on which unknown randomness acts"):
        layer_information(noisy, INPUTS, estimator="known", layers="a")


def test_noise_that_depends_on_the_signal_is_refused():
    noisy = tanh_layers(sigma={"1": 0.5, "3": DropoutNoise(0.5, 0.1), "5": 0.5})
    with pytest.raises(ValueError, match=r"'known' for '3', which has DropoutNoise\(alpha=0.5, sigma=0.1\)"):
        layer_information(noisy, INPUTS, estimator="known")


def test_recorded_signals_are_refused():
    with pytest.raises(ValueError, match="estimator: got 'known', wanted 'draws' or 'paper'"):
        information(INPUTS, 0.5, estimator="known")


def interval_at(risk, estimator, **options):
    row = layer_information(
        tanh_layers(), INPUTS, LABELS, layers="5", estimator=estimator, confidence=1 - 2 * risk, **options
    )
    return {quantity: row["5", quantity] for quantity in QUANTITIES}


def test_auto_takes_the_better_ends_where_draws_leave_a_gap():
    auto, draws = interval_at(0.02, "auto", draws=8), interval_at(SHARE_OF_DRAWS * 0.02, "draws", draws=8)
    noisy = tanh_layers()
    problem = Problem.of(noisy, read_inputs(INPUTS, noisy, LABELS), layers="5")
    layer = known_layers(problem, ("5",), MeasurementSettings(estimator="auto", draws=8))["5"]
    network = layer.estimates(problem.classes, (1 - SHARE_OF_DRAWS) * 0.02, 0, UNDIVIDED)
    for quantity in QUANTITIES:
        intervals = draws[quantity], network[quantity].interval
        assert auto[quantity].lower == pytest.approx(max(ends.lower for ends in intervals), abs=1e-12)
        assert auto[quantity].upper == pytest.approx(min(ends.upper for ends in intervals), abs=1e-12)
    assert auto["I(X;T)"].decoder == "known network"


def test_auto_leaves_the_network_where_queries_limit_the_draws():
    auto, draws = interval_at(0.02, "auto", draws=512), interval_at(SHARE_OF_DRAWS * 0.02, "draws", draws=512)
    assert [(row.lower, row.upper, row.decoder) for row in auto.values()] == [
        (row.lower, row.upper, row.decoder) for row in draws.values()
    ]


def test_auto_measures_by_draws_what_the_network_does_not_allow():
    noisy = noisify(nn.Sequential(nn.Tanh(), Jitter(), nn.Tanh()), sigma=0.5, layers=nn.Tanh)
    auto = layer_information(noisy, INPUTS, estimator="auto", confidence=0.9, layers="2")
    draws = layer_information(noisy, INPUTS, estimator="draws", confidence=0.9, layers="2")
    assert (auto["2", "I(X;T)"].lower, auto["2", "I(X;T)"].upper) == (
        draws["2", "I(X;T)"].lower,
        draws["2", "I(X;T)"].upper,
    )


def test_network_is_used_only_where_a_narrower_interval_is_expected():
    def is_tried(width, gap, limited_by="decoder"):
        layer = KnownLayer(model, KnownNetworkSettings(queries=4 * 64), (), beside_draws=True)
        interval = Interval(1.0, 1.0 + width)
        point = Point(interval, 0.0, interval)
        return layer.may_narrow(TwoSidedEstimate(interval, 1.0 + gap, 0.0, 1.0, 0.0, "mixture", limited_by, point), 64)

    noisy = tanh_layers()
    model = NetworkSignalModel.of(Problem.of(noisy, read_inputs(normal_tensor(64, 4), noisy)), "5")
    # 16 times fewer queries leave 4 times the width that is due to queries, and at least 10 / 256 nats. More draws
    # would leave 1/3 of a gap by draws, and otherwise 3^-0.25.
    assert not is_tried(width=1.0, gap=0.8)
    assert is_tried(width=1.0, gap=0.82)
    assert not is_tried(width=1.0, gap=0.82, limited_by="draws")
    assert not is_tried(width=0.03, gap=0.03)
    assert is_tried(width=0.08, gap=0.08)


def test_auto_keeps_the_draws_where_the_pilot_expects_a_wider_interval(monkeypatch):
    draws = interval_at(SHARE_OF_DRAWS * 0.02, "draws", draws=8)
    monkeypatch.setattr(KnownLayer, "width_of_more_draws", lambda *_: 1e-3)
    monkeypatch.setattr(KnownLayer, "may_narrow", lambda *_: True)
    auto = interval_at(0.02, "auto", draws=8)
    assert [(row.lower, row.upper) for row in auto.values()] == [(row.lower, row.upper) for row in draws.values()]


@pytest.mark.parametrize("estimator", ["known", "auto"])
def test_label_sets_share_queries_and_samples(monkeypatch, estimator):
    calls = []
    original = known_layer.estimates_of_label_sets

    def counted(model, label_sets, *arguments):
        calls.append(len(label_sets))
        return original(model, label_sets, *arguments)

    monkeypatch.setattr(known_layer, "estimates_of_label_sets", counted)
    inputs, options = INPUTS[:12], {"estimator": estimator, "draws": 8, "layers": "3"}
    label_sets = {"a": LABELS[:12], "b": (inputs[:, 1] > 0).long()}
    both = layer_information(tanh_layers(), inputs, label_sets, **options)
    assert calls == [2]
    for name, labels in label_sets.items():
        alone = layer_information(tanh_layers(), inputs, {name: labels}, **options)
        for quantity in ("I(X;T)", f"I(T;{name})", f"I(X;T|{name})"):
            row, of_both = alone["3", quantity], both["3", quantity]
            assert (row.lower, row.upper) == (of_both.lower, of_both.upper), quantity


def test_gains_that_float64_cannot_invert_are_refused_and_left_to_draws():
    layers = dense(normal_tensor(3, 4, seed=2)), nn.Identity(), dense(normal_tensor(2, 3, seed=3)), nn.Identity()
    noisy = noisify(nn.Sequential(*layers), sigma={"1": 0.5, "3": 1e-7}, layers=nn.Identity)
    with pytest.raises(ValueError, match="sigma: got noise of earlier layers that moves the signals by"):
        layer_information(noisy, INPUTS, estimator="known", layers="3")
    auto = layer_information(noisy, INPUTS, estimator="auto", confidence=0.9, layers="3", draws=8)["3", "I(X;T)"]
    assert auto.decoder != "known network"


def test_estimator_is_listed():
    with pytest.raises(ValueError, match="wanted one of auto, draws, known, paper"):
        layerbits.MeasurementSettings(estimator="unknown")
