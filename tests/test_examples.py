"""The examples do what they are there to show."""

import math

import pytest
import torch

import layerbits as lb
from examples import information_penalty


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_penalty_takes_away_most_of_what_the_labels_do_not_need():
    inputs, labels = information_penalty.data()
    free, dear = (
        lb.layer_information(information_penalty.train(inputs, labels, penalty=penalty, epochs=20), inputs)[
            "code", "I(X;T)"
        ]
        for penalty in (0, 0.1)
    )
    needed = math.log(2)
    assert dear.upper - needed < (free.lower - needed) / 2


def test_penalty_estimates_the_information_of_the_batch():
    """Five standard errors of the mean of 20 estimates, and of what it is compared with."""
    generator, sigma = torch.Generator().manual_seed(0), information_penalty.SIGMA
    signals = 2 * sigma * torch.randn(500, 3, generator=generator)
    noise = sigma * torch.randn(20, 500, 3, generator=generator)
    found = torch.stack([information_penalty.information(signals + some, signals) for some in noise])
    wanted = lb.mixture_information(signals, sigma)
    assert abs(found.mean() - wanted.value) <= 5 * math.hypot(found.std() / 20**0.5, wanted.standard_error)
