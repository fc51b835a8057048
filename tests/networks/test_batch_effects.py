"""Rows that act on one another through a value of the whole batch, such as its largest, are refused."""

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(300, 4, seed=5).float()
REFUSED = r"^inputs: got rows that act on one another: in 'act' the signal of a row changes with the other rows"


class Network(nn.Module):
    """A network whose first layer has the input `function(x)`."""

    def __init__(self, function):
        super().__init__()
        self.function, self.linear, self.act, self.head = function, nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.act(self.linear(self.function(x))))


def measurements(function):
    model, noisy = Network(function), lb.noisify(Network(function), sigma=0.3, inputs=INPUTS[:2])
    return (
        lambda: lb.layer_information(model, INPUTS, sigma=0.3, draws=4, queries=20),
        lambda: lb.layer_activations(model, INPUTS),
        lambda: lb.layer_information(noisy, INPUTS, draws=4, queries=20),
        lambda: lb.propagate(noisy, INPUTS),
    )


largest, smallest = float(INPUTS.max()), float(INPUTS.min())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 2 * x if x.max() >= largest else x,
        lambda x: 2 * x if x.min() <= smallest else x,
        lambda x: torch.where(x.max() >= largest, 2 * x, x),
        lambda x: x - x.amax(0).clamp(min=2.0),
        lambda x: 2 * x if x[:, 0].mean() > 0.5 else x,
        lambda x: 2 * x if x.mean() < -0.5 else x,
        lambda x: 2 * x if (x.abs() > 100).any() else x,
        lambda x: torch.fake_quantize_per_tensor_affine(x, float(x.abs().max()) / 127, 0, -128, 127),
    ],
    ids=["branch on the maximum", "minimum", "where", "bounded maximum", "mean", "small mean", "no input", "quantized"],
)
def test_value_of_the_whole_batch_that_acts_on_each_row_is_refused(function):
    for measure in measurements(function):
        with pytest.raises(ValueError, match=REFUSED):
            measure()


def test_row_whose_place_in_the_pass_counts_is_refused():
    for measure in measurements(lambda x: x + torch.arange(len(x))[:, None]):
        with pytest.raises(ValueError, match=r"^inputs: got rows that act .* in 'act' .* changes with its place in"):
            measure()


def within_range(x):
    if x.abs().max() > 50:
        raise ValueError("out of range")
    return x


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 2 * x if x.isnan().any() else x,
        lambda x: x - x.amax(1, keepdim=True),
        within_range,
        lambda x: {False: x}[bool(x.abs().max() > 50)],
        lambda x: torch.eye(4)[(x * 0.2).long().abs()].sum(1),
    ],
    ids=["branch on NaN", "maximum of each row", "range of inputs", "missing key", "indices"],
)
def test_network_that_treats_each_row_alone_is_measured(function):
    for measure in measurements(function):
        measure()


def test_rows_behind_the_tokens_are_found_in_each_check():
    """A measurement with a relative sigma checks the rows twice."""

    class TokensFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.act, self.head = nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.act(self.linear(x.reshape(len(x), 2, -1).movedim(1, 0)))).mean(0)

    table = lb.layer_information(TokensFirst(), INPUTS.repeat(1, 2), sigma=lb.RelativeSigma(0.3), queries=20)
    assert table["act", "I(X;T)"].upper > 0
