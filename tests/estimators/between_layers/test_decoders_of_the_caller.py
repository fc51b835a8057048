"""Decoders of the caller between layers: they bound I(X;T_l), which is at most I(T_k;T_l), from below."""

import re

import pytest
import torch

import layerbits as lb
from tests.support.input_decoders import FitFails, IsotropicGaussians


def chain():
    """Return a network whose first noise is large and whose later layers are far from the first.

    The last layer tells 64 inputs apart, and the mixture of 2 draws given T_1 bounds I(T_1;T_3) badly from below.
    """
    torch.manual_seed(0)
    linear = [torch.nn.Linear(4, 60), torch.nn.Linear(60, 60), torch.nn.Linear(60, 60)]
    model = torch.nn.Sequential(*[module for layer in linear for module in (layer, torch.nn.Identity())])
    return lb.noisify(model, sigma=0.5, layers=["1", "3", "5"]), 3 * torch.randn(64, 4)


def test_decoder_raises_the_lower_end():
    model, inputs = chain()
    options = {"first": "1", "second": "5", "draws": 2, "queries": 64}
    without = lb.information_between_layers(model, inputs, **options)
    own = lb.information_between_layers(model, inputs, decoders=[IsotropicGaussians()], **options)
    assert own.lower > without.lower + 0.5
    assert own.upper == without.upper
    assert own.lower <= own.value <= own.upper


def test_lower_end_is_at_most_the_information_about_the_input():
    """A table measures I(X;T_5) by its own passes; at a risk of 1e-3 for each end, both intervals hold together."""
    model, inputs = chain()
    row = lb.layer_information(model, inputs, layers=["5"], draws=256, confidence=0.998)["5", "I(X;T)"]
    options = {"draws": 2, "queries": 64, "confidence": 0.998}
    estimate = lb.information_between_layers(model, inputs, "1", "5", decoders=[IsotropicGaussians()], **options)
    assert estimate.lower <= row.upper


def test_broken_decoder_is_refused_by_name():
    model, inputs = chain()
    with pytest.raises(ValueError, match=re.escape("decoders[0]: fit raised KeyError")):
        lb.information_between_layers(model, inputs, "1", "5", draws=2, decoders=[FitFails()])
