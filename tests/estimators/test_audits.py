"""Notes on estimates that violate theory by more than their error, and on saturation."""

import math

import pytest
import torch
from torch import Tensor, nn

from layerbits import InformationRow, layer_information, noisify
from layerbits.estimators.audits import with_notes
from tests.support.networks import INPUTS, LABELS, noisy_identities, tanh_network

SATURATED = "saturated at log N: the inputs are separated, and no more is known"
CEILINGS = {"I(X;T)": math.log(4), "I(T;Y)": math.log(2), "I(X;T|Y)": math.log(2)}  # 4 inputs in 2 equal classes


def row(quantity, plug_in, *, lower=0.0, upper=1.0, layer="1"):
    return InformationRow(
        layer, quantity, "pooled", plug_in, 0.01, lower, upper, "nats", 8, 0.0, plug_in=plug_in, plug_in_error=0.01
    )


def test_saturation_is_noted():
    assert layer_information(noisy_identities(1, 1e-3), INPUTS)["0", "I(X;T)"].note == SATURATED


def test_upper_end_at_log_n_alone_is_not_noted_as_saturated():
    """Two inputs lie 3.3 sigma apart, so I(X;T) is 0.571 < log 2, but the upper end is log 2 for some seeds."""
    noisy, inputs = noisy_identities(2, 0.6 / math.sqrt(2)), torch.tensor([[-1.0], [1.0]]).double()
    rows = [layer_information(noisy, inputs, layers="1", seed=seed).rows[0] for seed in range(20)]
    assert any(row.upper == math.log(2) for row in rows)
    assert not any(row.note for row in rows)


def test_sound_network_has_no_notes():
    assert not any(row.note for row in layer_information(tanh_network(), INPUTS, LABELS))


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
        ("I(X;T)", math.log(4) + 0.05, "above its ceiling 1.3863: raise draws or queries"),
        ("I(T;Y)", math.log(2) + 0.05, "above its ceiling 0.6931: raise draws or queries"),
        ("I(X;T)", math.log(4) + 0.03, ""),  # within three standard errors
        ("I(T;Y)", math.log(2) + 0.01, ""),
        ("h(T)", 50.0, ""),
    ],
)
def test_plug_in_above_its_ceiling_is_noted(quantity, plug_in, note):
    rows = [row(name, plug_in if name == quantity else 0.3) for name in (*CEILINGS, "h(T)")]
    notes = {row.quantity: row.note for row in with_notes(rows, None, CEILINGS, "")}
    assert notes == {**dict.fromkeys(notes, ""), quantity: note}


@pytest.mark.parametrize(
    ("ends", "note"),
    [
        ({}, ""),
        ({"I(X;T)": (0.5, 0.4)}, "its bounds exclude each other: raise draws"),
        # The ends of the parts add up to 0.2 and 0.9.
        ({"I(X;T)": (0.91, 1.3)}, "I(X;T) is not the sum of I(T;Y) and this: raise draws or queries"),
        ({"I(X;T)": (0.0, 0.19)}, "I(X;T) is not the sum of I(T;Y) and this: raise draws or queries"),
    ],
)
def test_intervals_that_exclude_one_another_are_noted(ends, note):
    intervals = {"I(X;T)": (0.0, 1.3), "I(T;Y)": (0.1, 0.4), "I(X;T|Y)": (0.1, 0.5)} | ends
    rows = [row(name, 0.3, lower=lower, upper=upper) for name, (lower, upper) in intervals.items()]
    assert next(filter(None, (row.note for row in with_notes(rows, None, CEILINGS, ""))), "") == note


@pytest.mark.parametrize(
    ("upper", "note"), [(0.5, ""), (0.29, "above '0' before it: raise draws, or the layers are no chain")]
)
def test_layer_is_compared_with_the_layer_before(upper, note):
    previous = row("I(X;T)", 0.2, upper=upper, layer="0")
    assert with_notes([row("I(X;T)", 0.6, lower=0.3)], previous, CEILINGS, "")[0].note == note


def test_notes_are_joined():
    (result,) = with_notes([row("I(X;T)", 1.5, lower=1.3, upper=1.4)], None, CEILINGS, "fell short")
    assert result.note == f"fell short; above its ceiling 1.3863: raise draws or queries; {SATURATED}"
