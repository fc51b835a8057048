"""Notes, flags, causes and decoders of the rows of real networks, beside facts that the tests establish themselves."""

import functools
import math
import re

import pytest
import torch

import layerbits as lb
from tests.networks.test_dependence_of_architectures import TOKENS, Encoder
from tests.networks.test_other_families import FAMILIES, network
from tests.networks.test_own_randomness import INPUTS, Variational
from tests.networks.test_real_networks import NETWORKS, make
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

DECODERS = {
    "mixture",
    "Gaussian",
    "Gaussian and mixture",
    "shared Gaussian",
    "shrunk Gaussian",
    "low-rank Gaussian",
    "wide mixture",
    "known network",
}
# Flags of notes that say that an estimate violates theory.
VIOLATIONS = {"above_previous_layer", "above_ceiling", "ends_cross", "sum_differs", "above_larger_view"}
# The values of these layers have a known range.
BOUNDED = {"Tanh", "Sigmoid", "Softmax"}

MODELS = {name: (functools.partial(make, name), inputs) for name, (inputs, _) in NETWORKS.items()}
MODELS |= {family.__name__: (functools.partial(network, family), family.inputs) for family in FAMILIES}
MODELS |= {
    "encoder": (Encoder, TOKENS),
    "variational": (Variational, INPUTS),
    "wide": (functools.partial(tanh_mlp, 20, 48, 48, 2), normal_tensor(30, 20, seed=1).float()),
}

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:layers. None leaves out pooler"),
]


def first(inputs, n):
    return inputs[:n] if isinstance(inputs, torch.Tensor) else tuple(tensor[:n] for tensor in inputs)


def tables(name, sigma, n):
    """Measure a network without noise, and with noise in its layers, on its first n inputs."""
    make_model, inputs = MODELS[name]
    torch.manual_seed(0)
    model, inputs = make_model().eval(), first(inputs, n)
    labels = torch.arange(n) % 2
    yield model, lb.layer_information(model, inputs, labels, sigma=sigma, queries=16)
    lb.noisify(model, sigma=sigma, inputs=inputs)
    yield model, lb.layer_information(model, inputs, labels, draws=20, queries=4)


def width(row):
    return row.upper - row.lower


def check_words(row, limits):
    """Check what a row says against its own ends."""
    assert row.lower <= row.value <= row.upper
    # An interval that other layers made narrow has no error either.
    assert math.isnan(row.standard_error) >= (width(row) > 0.5)
    assert math.isnan(row.standard_error) <= (width(row) > 0.5 or "data_processing" in row.flags)
    assert bool(row.limited_by) == (width(row) > 0)
    assert not VIOLATIONS.intersection(row.flags)
    if row.quantity in limits:
        assert row.lower >= 0
        assert row.upper <= limits[row.quantity]
    named = re.search(r"saturated: at most ([.\d]+) nats below log N", row.note)
    assert bool(named) == ("saturated" in row.flags)
    if named:
        assert row.quantity == "I(X;T)"
        assert limits["I(X;T)"] - row.lower <= min(float(named[1]), 0.1 * limits["I(X;T)"])


def check_sums(rows):
    """Check that there are true values in all intervals of a layer that satisfy the chain rule."""
    information, of_class, given_class = rows["I(X;T)"], rows["I(T;Y)"], rows["I(X;T|Y)"]
    assert of_class.lower + given_class.lower <= information.upper + 1e-6
    assert of_class.upper + given_class.upper >= information.lower - 1e-6
    assert rows["h(T)"].lower - rows["h(T|X)"].upper <= information.upper + 1e-6
    assert rows["h(T)"].upper - rows["h(T|X)"].lower >= information.lower - 1e-6


# With two inputs of one class each I(X;T|Y) is 0, and matrix products of few rows round by the place of the row.
@pytest.mark.parametrize(
    ("name", "sigma", "n"), [*((name, 0.05, 4) for name in MODELS), ("variational", 1.0, 2), ("wide", 1.0, 2)]
)
def test_rows_say_what_their_intervals_show(name, sigma, n):
    for adds_noise, (model, table) in enumerate(tables(name, sigma, n)):
        types = {row.name: row.type for row in lb.layers(model, first(MODELS[name][1], n))}
        for layer in dict.fromkeys(row.layer for row in table):
            rows = {row.quantity: row for row in table if row.layer == layer}
            check_sums(rows)
            for row in rows.values():
                check_words(row, table.limits)
                # The variational network has random numbers of its own at every layer.
                is_exact = row.draws == 1
                assert is_exact or adds_noise or name == "variational"
                assert row.decoder == "exact" if is_exact else row.decoder in DECODERS
                is_bounded = types[layer] in BOUNDED
                assumes = row.quantity.startswith("h") and not is_exact and not is_bounded
                assert ("tail_assumed" in row.flags) == ("assumes" in row.note) == assumes


def information(model, inputs, **options):
    """Measure I(X;T) of every layer with 32 draws for decoders, and 8 with queries; options replace these numbers."""
    options = {"draws": 40, "queries": 8, "seed": 5} | options
    return {row.layer: row for row in lb.layer_information(model, inputs, **options) if row.quantity == "I(X;T)"}


@pytest.mark.parametrize(("name", "sigma"), [("unet", 0.3), ("wide", 0.3), ("wide", 1.0)])
def test_what_limits_an_interval_narrows_it(name, sigma):
    """The largest of at most three causes is at least a third of the width.

    Four times the draws take three quarters of a bias of first order away, so at least a quarter of the width. Four
    times the queries take half of their part away, a sixth of the width. "draws or decoder" says that the bounds are
    apart: the known network, which has other bounds, is to leave at most three quarters of the width.
    """
    make_model, inputs = MODELS[name]
    torch.manual_seed(0)
    model = lb.noisify(make_model().eval(), sigma=sigma, inputs=inputs)
    before, causes = information(model, inputs), set()
    more = {
        "queries": (0.85, {"draws": 64, "queries": 32}),
        "draws": (0.75, {"draws": 136}),
        "draws or decoder": (0.75, {"draws": None, "estimator": "known"}),
    }
    for layer, row in before.items():
        if width(row) > 0.05 and row.limited_by not in causes:
            causes.add(row.limited_by)
            share, options = more[row.limited_by]
            assert width(information(model, inputs, layers=layer, **options)[layer]) < share * width(row), layer
    assert causes


def test_remedies_of_a_missed_tolerance_narrow_the_interval():
    torch.manual_seed(0)
    model = lb.noisify(Variational(), sigma=0.1, inputs=INPUTS)
    options = {"draws": 16, "queries": None, "tolerance": 0.01}
    row = information(model, INPUTS, max_draws=32, **options)["tanh"]
    assert "not reached within max_draws 32, limited by draws or decoder: " in row.note
    assert "raise max_draws" in row.note
    assert width(information(model, INPUTS, max_draws=256, **options)["tanh"]) < 0.75 * width(row)
