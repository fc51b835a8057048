"""Readouts of a layer: their values, their noise, their names, and refused arguments."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.networks import as_readouts, gaussian_noise, layer_parts, network_without_noise, read_inputs
from tests.support.random_arrays import normal_tensor

UNITS = (4, 3)
VALUES = normal_tensor(5, *UNITS)
MAP = normal_tensor(5, 2, 3, 4)


def view(readout, units=UNITS):
    """Return the view of a single readout of a layer."""
    return as_readouts(readout)[0].view("layer", units)


@pytest.mark.parametrize(
    ("readout", "values", "wanted"),
    [
        ("mean", VALUES, VALUES.numpy().mean(1)),
        ("first", VALUES, VALUES[:, 0]),
        ("last", VALUES, VALUES[:, 3]),
        (2, VALUES, VALUES[:, 2]),
        (-3, VALUES, VALUES[:, 1]),
        (np.int64(2), VALUES, VALUES[:, 2]),
        (lb.Tokens("mean", axis=2), VALUES, VALUES.numpy().mean(2)),
        (lb.Tokens("last", axis=3), MAP, MAP[:, :, :, 3].flatten(1)),
        (lb.Tokens("mean", axis=1), MAP, MAP.numpy().mean(1).reshape(5, -1)),
        (lb.Channels("mean"), MAP, MAP.numpy().mean((2, 3))),
        (lb.Channels("mean"), VALUES, VALUES.numpy().mean(2)),
    ],
)
def test_values_are_those_of_the_array(readout, values, wanted):
    """A mean of at most 12 terms of size 4 has an error below 12 * 4 * 2e-16."""
    units = tuple(values.shape[1:])
    several_passes = torch.stack([values.flatten(1), 2 * values.flatten(1)])
    np.testing.assert_allclose(view(readout, units)(several_passes)[1], 2 * np.asarray(wanted), rtol=0, atol=1e-14)


def covariance(noise, dim):
    """Return the covariance (dim, dim) of noise."""
    scale = torch.as_tensor(noise.scale, dtype=torch.float64)
    if scale.ndim == 2:
        return scale @ scale.T
    return torch.diag(scale.square().expand(dim))


FACTOR = normal_tensor(12, 12, seed=3)
SIGMAS = {
    "number": 0.3,
    "deviations": normal_tensor(12, seed=2).abs() + 0.1,
    "tiny deviations": (normal_tensor(12, seed=2).abs() + 0.1) * 1e-36,
    "covariance": FACTOR @ FACTOR.T + torch.eye(12),
}


@pytest.mark.parametrize("readout", ["mean", "last", 1, lb.Tokens("mean", axis=2), lb.Channels("mean")], ids=str)
@pytest.mark.parametrize("sigma", SIGMAS)
def test_noise_has_the_covariance_of_the_view_of_the_noise(readout, sigma):
    """The covariance of A^T Z is A^T Sigma A; the rows of A are the views of the unit vectors.

    Sums of 12 terms round by some 12 * 1e-16 of the largest entry.
    """
    noise, unit = gaussian_noise(SIGMAS[sigma]), 1e-36 if sigma == "tiny deviations" else 1.0
    of_units = view(readout)
    matrix = of_units(torch.eye(12).double())
    scaled = dataclasses.replace(noise, scale=noise.scale / unit)
    wanted = matrix.T @ covariance(scaled, 12) @ matrix
    of_view = of_units.noise("layer", noise)
    actual = covariance(dataclasses.replace(of_view, scale=of_view.scale / unit), matrix.shape[1])
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-13 * float(wanted.max()))
    if isinstance(of_view.scale, torch.Tensor) and of_view.scale.ndim == 2:
        assert (of_view.scale.diagonal() > 0).all()
        assert torch.equal(of_view.scale, of_view.scale.tril())


@pytest.mark.parametrize(
    ("readout", "name"),
    [
        ("mean", "mean"),
        (3, "3"),
        (lb.Tokens("first"), "first"),
        (lb.Tokens(-1, axis=2), "-1 axis=2"),
        (lb.Channels("mean"), "channels mean"),
    ],
)
def test_names_say_what_is_read_out(readout, name):
    assert as_readouts(readout)[0].name == name


@pytest.mark.parametrize(
    ("readout", "error", "message"),
    [
        ("max", ValueError, "got 'max', wanted 'mean', 'first', 'last' or a position"),
        (0.5, TypeError, "got float, wanted"),
        (True, TypeError, "got bool, wanted"),
        ({"mean": 1}, TypeError, "got dict, wanted"),
        ([], ValueError, "got an empty sequence, wanted at least one readout"),
        (["mean", "first", lb.Tokens("mean")], ValueError, r"got \['mean', 'first', 'mean'\], wanted different"),
        ([None, None], ValueError, r"got \[None, None\], wanted different"),
    ],
)
def test_readouts_of_no_such_form_are_refused(readout, error, message):
    with pytest.raises(error, match=f"^readout: {message}"):
        as_readouts(readout)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: lb.Channels("max"), ValueError, "which: got 'max', wanted 'mean'"),
        (lambda: lb.Tokens("mean", axis=0), ValueError, "axis: got 0, wanted an integer >= 1"),
        (lambda: lb.Tokens("mean", axis="L"), TypeError, "axis: got str"),
    ],
)
def test_views_of_no_such_kind_are_refused(make, error, message):
    with pytest.raises(error, match=f"^{message}"):
        make()


@pytest.mark.parametrize(
    ("readout", "units", "message"),
    [
        (
            "mean",
            (7,),
            r"got 'mean' for 'layer', whose signal has shape \(n, 7\), wanted tokens \(n, L, d\); choose other layers$",
        ),
        ("mean", (2, 3, 4), r"got 'mean' for 'layer', whose signal has shape \(n, 2, 3, 4\), wanted tokens .*Channels"),
        ("mean", (), r"got 'mean' for 'layer', whose signal has shape \(n\), wanted tokens"),
        ("last", (2, 3, 4), r"got 'last' for .*name the axis, Tokens\('last', axis=...\), or take Channels"),
        (
            lb.Tokens("mean", axis=1),
            (7,),
            r"got 'mean axis=1' for 'layer', whose signal has shape \(n, 7\), wanted at least 3 axes; choose other lay",
        ),
        (lb.Tokens("mean", axis=3), (4, 3), r"got 'mean axis=3' .*wanted at least 4 axes; choose other layers$"),
        (4, (4, 3), r"got position 4 for 'layer', whose signal has shape \(n, 4, 3\), wanted one of 4 tokens"),
        (-5, (4, 3), "got position -5 for 'layer'"),
        (lb.Channels("mean"), (7,), r"got 'channels mean' for 'layer', whose signal has shape \(n, 7\), wanted a feat"),
    ],
)
def test_shapes_without_such_a_readout_are_refused(readout, units, message):
    with pytest.raises(ValueError, match=f"^readout: {message}"):
        view(readout, units)


def test_noise_of_another_number_of_units_is_refused():
    with pytest.raises(ValueError, match=r"^sigma: got noise of 5 units for 'layer', wanted 12, one for each unit"):
        view("mean").noise("layer", gaussian_noise(torch.ones(5)))


def test_layer_with_the_name_of_a_readout_is_refused():
    model = nn.Sequential()
    for name in ("a", "a[mean]"):
        model.add_module(name, nn.Tanh())
    inputs = read_inputs(VALUES, model)
    network = network_without_noise(model, inputs, nn.Tanh, 0.1)
    assert list(layer_parts(network, ("a",), as_readouts(["first", None]), inputs)) == ["a[first]", "a"]
    with pytest.raises(lb.LayerSelectionError, match=r"^layers: got a layer of the name 'a\[mean\]'"):
        layer_parts(network, ("a",), as_readouts(["mean"]), inputs)


def test_mean_of_isotropic_noise_is_smaller_by_the_root_of_the_tokens():
    assert view("mean").noise("layer", gaussian_noise(0.3)).scale == 0.3 / math.sqrt(4)
