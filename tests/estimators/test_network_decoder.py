"""A network as a decoder of the caller."""

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

pytestmark = pytest.mark.usefixtures("one_thread")


def signals(draws=40):
    """Return draws of 4 inputs in 20 dimensions: the variance along two axes tells them apart, the means do not."""
    scales = torch.ones(4, 1, 20)
    for x in range(4):
        scales[x, 0, 5 * x : 5 * x + 5] = 6.0
    return (scales * normal_tensor(4, draws, 20, seed=1).sign()).float()


def measure(decoder, seed=0, draws=200):
    return lb.information(signals(draws), 0.5, queries=50, seed=seed, decoders=[decoder])["signals", "I(X;T)"]


def test_network_tells_inputs_apart_and_its_bound_is_at_most_log_n():
    row = measure(lb.NetworkDecoder(steps=300, units=64))
    assert row.lower > 0.9
    assert row.decoded <= 1.3863  # log 4


def test_training_repeats_and_leaves_the_decoder_and_the_generator_alone():
    decoder, state = lb.NetworkDecoder(steps=50, units=8), torch.get_rng_state()
    first, second = measure(decoder), measure(decoder)
    assert (first.lower, first.upper, first.decoded) == (second.lower, second.upper, second.decoded)
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(decoder) == "NetworkDecoder(steps=50, units=8, batch=256, learning_rate=0.001)"


def test_fitted_network_classifies_noisy_values():
    decoder = lb.NetworkDecoder(steps=300, units=64)
    torch.manual_seed(0)
    training, fresh = signals(100), signals(140)[:, 100:]
    decoder.fit(training.flatten(0, 1) / 0.5, torch.arange(4).repeat_interleave(100))
    queries = fresh.flatten(0, 1) / 0.5 + torch.randn(160, 20)
    scores = decoder.scores(queries)
    assert scores.shape == (160, 4)
    assert not scores.requires_grad
    assert (scores.argmax(1) == torch.arange(4).repeat_interleave(40)).float().mean() > 0.9


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [("steps", 0, ValueError), ("units", 2.5, TypeError), ("batch", -1, ValueError), ("learning_rate", 0, ValueError)],
)
def test_parameter_out_of_range_is_refused_by_name(option, value, error):
    with pytest.raises(error, match=option):
        lb.NetworkDecoder(**{option: value})


def test_network_decoder_is_an_input_decoder():
    assert isinstance(lb.NetworkDecoder(), lb.InputDecoder)
    assert not isinstance(nn.Linear(2, 2), lb.InputDecoder)
