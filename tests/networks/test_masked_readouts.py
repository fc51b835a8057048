"""Readouts of the tokens that a mask keeps: their values, noise and information, and refused arguments."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import layerbits as lb
from layerbits.mixtures import means_of, scales_of
from layerbits.networks import (
    Passes,
    as_readouts,
    gaussian_noise,
    layer_parts,
    network_without_noise,
    read_inputs,
    record,
)
from tests.support.random_arrays import normal_tensor

SIGNALS = normal_tensor(2, 4, 5, 3)  # draws, inputs, tokens, features
# Gaps and padding on either side.
MASK = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]])
EQUAL_COUNTS = torch.tensor([[1, 1, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 1, 1], [1, 0, 0, 0, 1]])


class Masked(torch.nn.Module):
    """Returns its first argument from the layer "act"; takes a mask."""

    def __init__(self):
        super().__init__()
        self.act = torch.nn.Identity()

    def forward(self, x, kept):
        return self.act(x) + 0 * kept.sum()


def view(which, kept, *, sigma=0.3, values=SIGNALS[0], **options):
    """Return the view of a masked readout of the layer of `Masked`, and its noise."""
    model = Masked()
    inputs = read_inputs({"x": values, "kept": kept}, model)
    network = network_without_noise(model, inputs, "act", sigma)
    readouts = as_readouts(lb.Tokens(which, **{"mask": "kept"} | options))
    part = next(iter(layer_parts(network, ("act",), readouts, inputs).values()))
    return part.view, part.noise(network)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
@pytest.mark.parametrize(
    ("which", "mask", "tokens"),
    [
        ("first", MASK, [[0], [1], [4], [0]]),
        ("last", MASK, [[2], [3], [4], [4]]),
        ("mean", EQUAL_COUNTS, [[0, 1], [1, 3], [3, 4], [0, 4]]),
        ("mean", MASK, [[0, 1, 2], [1, 3], [4], [0, 1, 2, 3, 4]]),
    ],
)
def test_values_are_those_of_the_kept_tokens(which, mask, tokens, dtype):
    masked_view, _ = view(which, mask.to(dtype))
    values = means_of(masked_view(SIGNALS.flatten(2)))
    wanted = np.stack([SIGNALS[:, row, kept].numpy().mean(1) for row, kept in enumerate(tokens)], 1)
    # Values are below 4: each of two sums of five has four roundings of at most 2^-49, and is divided by five.
    np.testing.assert_allclose(values, wanted, rtol=0, atol=5e-15)
    rows_of_a_pass = masked_view(SIGNALS[:, 1:3].flatten(2), slice(1, 3))
    np.testing.assert_array_equal(means_of(rows_of_a_pass), values[:, 1:3])


def test_axis_of_the_tokens_may_be_another():
    masked_view, _ = view("last", MASK, values=SIGNALS[0].mT, axis=2)
    np.testing.assert_array_equal(masked_view(SIGNALS.mT.flatten(2)), view("last", MASK)[0](SIGNALS.flatten(2)))


@pytest.mark.parametrize(
    ("sigma", "wanted"),
    [(0.3, 0.3), (torch.tensor([0.2, 0.5, 1.0]).double().repeat(5), torch.tensor([0.2, 0.5, 1.0]).double())],
    ids=["number", "deviations"],
)
def test_noise_is_that_of_a_token_or_of_a_mean_of_tokens(sigma, wanted):
    np.testing.assert_array_equal(view("last", MASK, sigma=sigma)[1].scale, wanted)
    np.testing.assert_allclose(view("mean", EQUAL_COUNTS, sigma=sigma)[1].scale, wanted / math.sqrt(2), rtol=1e-15)


@pytest.mark.parametrize(
    ("sigma", "deviations"),
    [(0.3, [0.3] * 3), (torch.tensor([0.2, 0.5, 1.0] * 5, dtype=torch.float64), [0.2, 0.5, 1.0])],
    ids=["number", "deviations"],
)
def test_variance_of_a_mean_is_that_of_a_token_divided_by_the_tokens_of_the_input(sigma, deviations):
    masked_view, noise = view("mean", MASK, sigma=sigma)
    wanted = torch.tensor(deviations, dtype=torch.float64).square() / torch.tensor([[3], [2], [1], [5]])
    rows = slice(1, 4)
    variances = (noise.alpha * scales_of(masked_view(SIGNALS[:, rows].flatten(2), rows))).square() + noise.sigma**2
    # Sums of positive terms with some ten roundings of 1e-16 each; so below.
    np.testing.assert_allclose(variances, wanted[rows].expand(2, 3, 3), rtol=1e-14)


def test_scales_of_means_are_numbers_where_rounding_makes_the_least_variance_smaller():
    """Squared by Python, 12.457 has a unit in the last place more than squared by torch."""
    masked_view, noise = view("mean", torch.tensor([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0]] * 2), sigma=12.457)
    scales = scales_of(masked_view(SIGNALS.flatten(2)))
    wanted = 12.457**2 / torch.tensor([2.0, 1.0, 2.0, 1.0], dtype=torch.float64)[:, None].expand(2, 4, 3)
    np.testing.assert_allclose(scales.square() + noise.sigma**2, wanted, rtol=1e-14)


def test_variance_of_a_mean_with_dropout_noise_is_the_mean_of_those_of_its_tokens():
    masked_view, noise = view("mean", MASK, sigma=lb.DropoutNoise(0.5, 0.3))
    variances = (noise.alpha * scales_of(masked_view(SIGNALS.flatten(2)))).square() + noise.sigma**2
    counts, of_tokens = MASK.sum(1)[:, None], 0.3**2 + (0.5 * SIGNALS).square()
    wanted = (of_tokens * MASK[..., None]).sum(2) / counts / counts
    np.testing.assert_allclose(variances, wanted, rtol=1e-14)


def test_padding_that_is_not_a_number_is_no_part_of_a_readout():
    signals = torch.where(MASK.bool()[None, ..., None], SIGNALS, math.nan)
    for which in ("first", "last", "mean"):
        masked_view, _ = view(which, MASK)
        np.testing.assert_array_equal(masked_view(signals.flatten(2)), masked_view(SIGNALS.flatten(2)))


@pytest.mark.parametrize(
    "sigma", [torch.linspace(1, 2, 15), torch.eye(15), torch.linspace(1, 2, 5)], ids=["units", "covariance", "tokens"]
)
def test_noise_that_may_differ_by_input_is_refused(sigma):
    with pytest.raises(
        ValueError, match=r"^sigma: got .* for 'act', wanted a number, or the same deviations for every"
    ):
        view("last", MASK, sigma=sigma)


@pytest.mark.parametrize(
    ("which", "mask", "options", "error", "message"),
    [
        ("last", MASK * torch.tensor([1, 1, 0, 1])[:, None], {}, ValueError, "readout: .* no token of input 2"),
        ("last", MASK[:, :4], {}, ValueError, r"mask: got 'kept' of shape \(4, 4\), wanted \(4, 5\)"),
        ("last", 2 * MASK, {}, ValueError, "mask: got values of 'kept' other than 0 and 1"),
        ("last", -5 * (1 - MASK.float()), {}, ValueError, "mask: got values of 'kept' other than 0 and 1"),
        ("last", MASK, {"mask": "attention_mask"}, ValueError, "mask: got 'attention_mask', wanted .*: 'x', 'kept'"),
        ("last", MASK, {"mask": 1}, ValueError, "mask: got 1, wanted the name or position of a tensor"),
        (
            "last",
            MASK,
            {"mask": "key_padding_mask"},
            ValueError,
            "mask: got 'key_padding_mask', which by its name marks",
        ),
        ("last", MASK, {"mask": MASK}, TypeError, "mask: got Tensor, wanted the name or position"),
        (2, MASK, {}, ValueError, "which: got position 2 with a mask, wanted 'mean', 'first' or 'last'"),
    ],
)
def test_mask_or_position_that_does_not_fit_is_refused(which, mask, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        view(which, mask, **options)


@pytest.mark.parametrize("draws_behind_noise", [False, True], ids=["network without noise", "behind noise"])
def test_information_is_that_of_the_kept_tokens(draws_behind_noise):
    """The expected table has the last tokens themselves as signals."""
    values, generator = normal_tensor(80, 5, 2), torch.Generator().manual_seed(0)
    last = torch.randint(5, (80,), generator=generator)
    mask = (torch.arange(5) <= last[:, None]).long()
    if draws_behind_noise:
        model = lb.noisify(Stack(), sigma=0.3, layers=torch.nn.Identity)
        readout = lb.Tokens("last", mask="kept")
        table = lb.layer_information(
            model, {"x": values, "kept": mask}, readout=readout, layers="second", draws=16, estimator="draws"
        )
        signals = lb.propagate(model, {"x": values, "kept": mask}, draws=16)["second"].unflatten(2, (5, 2))
        # "first" takes the place of the first layer, so that the streams of random numbers are those of "second".
        expected = lb.information({"first": values.flatten(1), "second": signals[torch.arange(80), :, last]}, 0.3)
        expected = [row for row in expected if row.layer == "second"]
    else:
        table = lb.layer_information(
            Masked(), (values, mask), sigma=0.3, layers="act", readout=lb.Tokens("last", mask=1)
        )
        expected = lb.information(values[torch.arange(80), last], 0.3)
    assert all("masked" in row.flags for row in table)
    for row, wanted in zip(table, expected, strict=True):
        # The two differ by rounding, as in test_readouts.py.
        assert (row.lower, row.upper) == (
            pytest.approx(wanted.lower, abs=1e-11),
            pytest.approx(wanted.upper, abs=1e-11),
        )


class Stack(torch.nn.Module):
    """Two layers that return their input."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Identity(), torch.nn.Identity()

    def forward(self, x, kept):
        return self.second(self.first(x)) + 0 * kept.sum()


def test_readout_of_a_row_does_not_depend_on_the_other_rows_of_its_pass():
    model = Masked()
    inputs = read_inputs((SIGNALS[0], MASK), model)
    network = network_without_noise(model, inputs, "act", 0.3)
    parts = layer_parts(network, ("act",), as_readouts(lb.Tokens("last", mask=1)), inputs)
    passes = Passes(tuple(parts), range(1), None, parts=parts)
    for rows in (1, 3, 4):
        recorded = record(network, inputs.tensors, dataclasses.replace(passes, rows=rows))["act[last mask=1]"]
        np.testing.assert_array_equal(recorded[:, 0], SIGNALS[0][torch.arange(4), [2, 3, 4, 4]])


def test_name_of_a_readout_has_the_mask():
    assert as_readouts(lb.Tokens("last", mask="kept"))[0].name == "last mask=kept"


def test_noise_with_a_wrong_number_of_units_is_refused():
    with pytest.raises(ValueError, match=r"^sigma: got noise of 4 units"):
        view("last", MASK)[0].noise("act", gaussian_noise(torch.ones(4)))
