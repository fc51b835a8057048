"""Notes and flags of estimates that violate theory by more than their error, and of saturation."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from layerbits import InformationRow, SigmaRow, layer_information, noisify
from layerbits.estimators import audits
from layerbits.estimators.audits import SENTENCES, saturation_notes
from layerbits.statistics import Interval
from tests.support.networks import INPUTS, LABELS, noisy_identities, tanh_network
from tests.support.random_arrays import normal_tensor

CEILINGS = {"I(X;T)": math.log(4), "I(T;Y)": math.log(2), "I(X;T|Y)": math.log(2)}  # 4 inputs in 2 equal classes


def row(quantity, plug_in, *, lower=0.0, upper=1.0, layer="1"):
    return InformationRow(
        layer, quantity, "draws", plug_in, 0.01, lower, upper, "nats", 8, 0.0, plug_in=plug_in, plug_in_error=0.01
    )


def with_notes(rows, previous=None, shortfall=None):
    """Return rows with notes, where the bet on queries that separate all inputs leaves 0.05 nats."""
    return audits.with_notes(rows, previous, CEILINGS, shortfall, math.log(4) - 0.05)


def test_saturation_of_a_known_channel_is_noted():
    row = layer_information(noisy_identities(1, 1e-3), INPUTS)["0", "I(X;T)"]
    assert row.lower == pytest.approx(math.log(20), abs=1e-12)
    assert row.flags == ("saturated",)
    assert row.note == "saturated: at most 0.0001 nats below log N"


@pytest.mark.parametrize(("n", "allowance"), [(100, 0.096), (500, 0.026), (1000, 0.014)])
def test_saturation_behind_noise_is_noted_at_the_least_allowance_of_the_bet(n, allowance):
    """32 draws give eight queries to each input, and half of them evaluate the decoder."""
    row = layer_information(noisy_identities(2, 1e-4), normal_tensor(n, 3), layers="1", draws=32, estimator="draws")[
        "1", "I(X;T)"
    ]
    assert math.log(n) - row.lower == pytest.approx(allowance, rel=0.2)
    assert row.flags == ("saturated",)


def test_note_on_saturation_without_a_shortfall_has_a_distance_above_zero():
    ((_, sentence),) = saturation_notes(Interval(math.log(4), math.log(4)), math.log(4), math.log(4))
    assert sentence == "saturated: at most 0.0001 nats below log N"


def test_layer_that_loses_more_than_the_allowance_is_not_noted_as_saturated():
    """A tenth of 200 inputs come in equal pairs, a loss of 0.1 log 2 = 0.069, by which the lower end falls."""
    inputs = normal_tensor(200, 3)
    inputs[:10] = inputs[10:20]
    table = layer_information(noisy_identities(2, 1e-4), inputs, draws=64, layers="1", estimator="draws")
    row = table["1", "I(X;T)"]
    assert math.log(200) - row.lower > 0.069
    assert row.flags == ()


def test_upper_end_at_log_n_alone_is_not_noted_as_saturated():
    """Two inputs lie 3.3 sigma apart, so I(X;T) is 0.571 < log 2, but the upper end is log 2 for some seeds."""
    noisy, inputs = noisy_identities(2, 0.6 / math.sqrt(2)), torch.tensor([[-1.0], [1.0]]).double()
    rows = [
        layer_information(noisy, inputs, layers="1", draws=32, queries=4, seed=seed, estimator="draws").rows[0]
        for seed in range(20)
    ]
    assert any(row.upper == math.log(2) for row in rows)
    assert not any(row.note for row in rows)


def test_wide_layer_whose_upper_end_alone_is_log_n_is_not_noted_as_saturated():
    """The first layer has less than a nat, so the second one has, but its plug-in bound is log N."""
    network = nn.Sequential(nn.Linear(20, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh())
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        network.apply(lambda module: module.reset_parameters() if isinstance(module, nn.Linear) else None)
    noisy = noisify(network.double(), sigma={"1": 8.0, "3": 0.2})
    table = layer_information(noisy, normal_tensor(64, 20), draws=8, estimator="draws")
    assert table["1", "I(X;T)"].upper < 1
    assert table["3", "I(X;T)"].plug_in > math.log(64) - 0.01
    assert "saturated" not in table["3", "I(X;T)"].flags


@pytest.mark.parametrize(
    ("n", "below", "above", "least", "is_saturated"),
    [
        (1000, 0.02, 0.0, 0.014, True),
        (1000, 0.022, 0.0, 0.014, False),
        (1000, 0.02, 0.0009, 0.014, True),
        (1000, 0.02, 0.0011, 0.014, False),  # the interval excludes log N
        (1000, 0.0009, 0.0, math.nan, True),
        (1000, 0.0011, 0.0, math.nan, False),
        (2, math.log(2), 0.0, math.log(2), False),  # so few queries that the bet shows nothing
        (1, 0.0, 0.0, 0.0, False),
    ],
)
def test_interval_decides_about_saturation(n, below, above, least, is_saturated):
    """The ends are `below` and `above` under log N; inputs that are separated leave a lower end `least` under it."""
    interval = Interval(math.log(n) - below, math.log(n) - above)
    assert bool(saturation_notes(interval, math.log(n), math.log(n) - least)) == is_saturated


def test_sound_network_has_no_notes():
    assert not any(
        row.note or row.flags for row in layer_information(tanh_network(), INPUTS, LABELS, estimator="draws")
    )


class Branches(nn.Module):
    """No chain: the second layer depends on the input, and the first layer does not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Tanh(), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return 0 * self.first(0 * x) + self.second(x) + 1


def test_layer_is_not_compared_with_a_layer_that_it_does_not_depend_on():
    table = layer_information(noisify(Branches(), sigma=0.5), INPUTS)
    assert table["second", "I(X;T)"].lower > table["first", "I(X;T)"].upper
    assert table["second", "I(X;T)"].note == ""


@pytest.mark.parametrize(
    ("quantity", "plug_in", "note"),
    [
        ("I(X;T)", math.log(4) + 0.05, "above its ceiling 1.3863: take more draws or queries"),
        ("I(T;Y)", math.log(2) + 0.05, "above its ceiling 0.6931: take more draws or queries"),
        ("I(X;T)", math.log(4) + 0.03, ""),  # within three standard errors
        ("I(T;Y)", math.log(2) + 0.01, ""),
        ("h(T)", 50.0, ""),
    ],
)
def test_plug_in_above_its_ceiling_is_noted(quantity, plug_in, note):
    rows = [row(name, plug_in if name == quantity else 0.3) for name in (*CEILINGS, "h(T)")]
    notes = {row.quantity: (row.note, row.flags) for row in with_notes(rows)}
    assert notes == {**dict.fromkeys(notes, ("", ())), quantity: (note, ("above_ceiling",) if note else ())}


@pytest.mark.parametrize(
    ("ends", "flags"),
    [
        ({}, ()),
        ({"I(X;T)": (0.5, 0.4)}, ("ends_cross",)),
        # The ends of the parts add up to 0.2 and 0.9.
        ({"I(X;T)": (0.91, 1.3)}, ("sum_differs",)),
        ({"I(X;T)": (0.0, 0.19)}, ("sum_differs",)),
    ],
)
def test_intervals_that_exclude_one_another_are_noted(ends, flags):
    intervals = {"I(X;T)": (0.0, 1.3), "I(T;Y)": (0.1, 0.4), "I(X;T|Y)": (0.1, 0.5)} | ends
    rows = [row(name, 0.3, lower=lower, upper=upper) for name, (lower, upper) in intervals.items()]
    noted_rows = with_notes(rows)
    assert tuple(flag for row in noted_rows for flag in row.flags) == flags
    sentences = [SENTENCES[flag].format(means="draws or queries") for flag in flags]
    assert [row.note for row in noted_rows if row.note] == sentences


@pytest.mark.parametrize(("upper", "note"), [(0.5, ""), (0.29, "above '0' before it: take more draws or queries")])
def test_layer_is_compared_with_the_layer_before(upper, note):
    previous = row("I(X;T)", 0.2, upper=upper, layer="0")
    (result,) = with_notes([row("I(X;T)", 0.6, lower=0.3)], previous)
    assert (result.note, result.flags) == (note, ("above_previous_layer",) if note else ())


def test_notes_and_flags_are_joined_in_the_same_order():
    measured = dataclasses.replace(row("I(X;T)", 1.5, lower=1.33, upper=1.4), flags=("masked",))
    (result,) = with_notes([measured], shortfall=audits.Shortfall(0.1, "4 draws", "draws", "raise max_draws"))
    assert result.note == (
        "tolerance 0.1 not reached within 4 draws, limited by draws: raise max_draws; above its ceiling 1.3863: take "
        "more draws or queries; saturated: at most 0.0563 nats below log N"
    )
    assert result.flags == ("masked", "tolerance_missed", "above_ceiling", "saturated")


def test_notes_on_rows_without_draws_name_no_draws():
    crossed = dataclasses.replace(row("I(X;T)", 0.6, lower=0.3, upper=0.2), draws=1)
    (result,) = with_notes([crossed], row("I(X;T)", 0.2, upper=0.1, layer="0"))
    assert result.flags == ("ends_cross", "above_previous_layer")
    assert result.note == "its bounds exclude each other: take more queries; above '0' before it: take more queries"


def test_every_flag_is_documented():
    documented = InformationRow.__doc__ + SigmaRow.__doc__
    assert all(f'``"{flag}"``' in documented for flag in SENTENCES)
