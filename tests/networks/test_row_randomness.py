"""Random numbers of a network: those of each row are measured, those that rows share are refused."""

import functools

import pytest
import torch
from torch import distributions, nn
from torch.nn import functional

import layerbits as lb
from tests.support.random_arrays import normal_tensor

GENERATOR = torch.Generator()


class Function(nn.Module):
    """A function of the input, returned by the layer act."""

    def __init__(self, function):
        super().__init__()
        self.function, self.act = function, nn.Identity()

    def forward(self, x):
        return self.act(self.function(x))


@pytest.mark.parametrize(
    "multiplier",
    [
        lambda x: torch.rand(1).round(),
        lambda x: torch.randn(x.shape[1:]),
        lambda x: torch.rand(1, generator=torch.Generator().manual_seed(1)),
    ],
    ids=["a number", "a row", "a generator of the network"],
)
def test_random_numbers_that_all_rows_share_are_refused(multiplier):
    """A pass is one sample of such numbers, whatever the number of its rows."""
    model = Function(lambda x: torch.tanh(x * multiplier(x)))
    with pytest.raises(
        ValueError, match=r"^inputs: got a network that draws \d+ random numbers for 3 rows and \d+ for"
    ):
        lb.layer_activations(model, normal_tensor(5, 3), layers="act")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.randn(len(x))[0],
        lambda x: x + torch.randn(len(x)).mean(),
        lambda x: x + torch.randn_like(x) + torch.randn(len(x), 1).roll(1, 0) + torch.randn(len(x)).amax(),
        lambda x: x * torch.rand(len(x))[0].round(),
        lambda x: x * torch.empty(len(x)).bernoulli_(0.5)[-1],
        lambda x: functional.dropout(x, 0.5, training=True).mean(0, keepdim=True) + 0 * x,
        lambda x: x + torch.randn(len(x), generator=GENERATOR).sum(),
        lambda x: x + torch.randn(2 * len(x)).reshape(2, -1).sum(),
        lambda x: x + torch.randn(len(x))[torch.arange(len(x)) % 8, None],
        lambda x: x + torch.randn(len(x))[torch.arange(len(x)) * (len(x) < 9), None],
    ],
    ids=["the first", "mean", "largest", "rounded", "in place", "dropout", "given generator", "flat", "8", "many"],
)
@pytest.mark.parametrize("measure", [lb.layer_activations, functools.partial(lb.layer_information, sigma=0.5)])
def test_random_numbers_of_other_rows_are_refused(function, measure):
    """There are equally many for each row, so their number does not show that rows share them."""
    with pytest.raises(ValueError, match=r"^inputs: got (a network whose rows share random|rows that act on one)"):
        measure(Function(function), normal_tensor(12, 3), layers="act")


def taken(draws, rows):
    """Return draws (n, 1) of other rows: rows(i) of row i."""
    return draws[rows(torch.arange(len(draws)))]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + taken(torch.randn(len(x), 1), lambda i: torch.where(i < 100, i, i // 100 * 100)),
        lambda x: x * taken(torch.rand(len(x), 1).round(), lambda i: torch.where(i < 100, i, i // 100 * 100)),
        lambda x: x + taken(torch.randn(len(x), 1), lambda i: torch.where((i < 70) | (i > 390), i, i - i % 2)),
        lambda x: (x + torch.randn_like(x)) * (torch.arange(len(x)) < 64)[:, None],
        lambda x: torch.cat([x[:64] + torch.randn_like(x[:64]), x[64:]]),
        lambda x: x + torch.randn_like(x) + (torch.arange(len(x)) > 100)[:, None],
        lambda x: x + torch.randn_like(x) + x.mean(0) * (len(x) > 100),
        lambda x: torch.poisson(x.exp() + x.exp().mean() * (len(x) > 100)),
    ],
    ids=["groups", "coins", "inner", "capacity", "random capacity", "place", "mean", "rate"],
)
def test_what_rows_share_in_passes_of_many_rows_is_refused(function):
    with pytest.raises(ValueError, match=r"^inputs: got (rows that act on one|a network whose calls of random)"):
        lb.layer_activations(Function(function), normal_tensor(400, 3), layers="act")


@pytest.mark.parametrize("step", [1, 2, 3])
def test_place_of_a_row_that_has_random_numbers_is_refused(step):
    model = Function(lambda x: x + torch.randn_like(x) + (torch.arange(len(x)) % (step + 1))[:, None])
    with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another: in 'act' .* its place in"):
        lb.layer_activations(model, normal_tensor(5, 3), layers="act")


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda x: torch.stack([row + torch.randn(3) for row in x]), "3 calls for 3 rows, 2 for 2"),
        (lambda x: distributions.VonMises(x, x.exp()).sample(), ".* calls for .*"),
        (
            lambda x: torch.cat([torch.rand_like(x[: len(x) // 2]), torch.rand_like(x[len(x) // 2 :])]),
            r"\[3, 6\] numbers for 3 rows, \[3, 3\] for 2",
        ),
    ],
    ids=["loop", "rejection", "parts"],
)
def test_calls_that_depend_on_the_rows_are_refused(function, got):
    with pytest.raises(ValueError, match=rf"^inputs: got a network whose calls of random functions .*\({got}\), as in"):
        lb.layer_activations(Function(function), normal_tensor(5, 3), layers="act")


def test_draws_that_belong_to_no_row_are_refused():
    model = Function(lambda x: x + torch.multinomial(x.exp().sum(1), len(x), replacement=True)[:, None])
    with pytest.raises(ValueError, match=r"^inputs: got a network that draws .* in multinomial, .* of each row"):
        lb.layer_activations(model, normal_tensor(5, 3), layers="act")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: functional.dropout(x, 0.5, training=True) * torch.rand(len(x), 1),
        lambda x: x + torch.randn(3, len(x)).mT,
        lambda x: x + torch.randn(3 * len(x)).reshape(len(x), 3),
        lambda x: x + torch.randn(3 * len(x)).reshape(3, len(x)).mT,
        lambda x: x + torch.randn(len(x), generator=GENERATOR)[:, None],
        lambda x: x + torch.randn(len(x), 1) + torch.randint(0, 3, (1, len(x))).mT,
        lambda x: x * torch.rand(2 * len(x), 3).view(-1, 2, 3).sum(1) + torch.rand(2 * len(x), 3).view(2, -1, 3).sum(0),
        lambda x: functional.rrelu(x, training=True),
        lambda x: functional.rrelu_(x.clone(), training=True),
        lambda x: torch.normal(x, x.exp()),
        lambda x: x * torch.bernoulli(torch.empty_like(x), 0.5),
        lambda x: torch.multinomial(x.softmax(1), 3).double(),
        lambda x: torch.poisson((x + 3).exp()),
        lambda x: distributions.Gamma((x + 3).exp(), 1.0).sample(),
        lambda x: distributions.Beta((x - 3).exp(), (x + 3).exp()).sample(),
        lambda x: distributions.Binomial(100, x.sigmoid()).sample(),
        lambda x: x.gather(1, torch.rand_like(x).argsort(1)),
    ],
    ids=[
        "dropout", "columns", "rows together", "rows side by side", "given generator", "two draws", "two layouts",
        "rrelu", "rrelu in place", "normal", "bernoulli", "multinomial", "poisson", "gamma", "beta", "binomial",
        "permuted units",
    ],
)  # fmt: skip
@pytest.mark.parametrize("n_rows", [5, 200])
def test_random_numbers_of_each_row_are_no_interaction(function, n_rows):
    """Some operators use more random numbers for some values than for others."""
    inputs = normal_tensor(n_rows, 3)
    assert lb.layer_activations(Function(function), inputs, layers="act")["act"].shape == (n_rows, 3)


def test_rows_that_fill_the_budget_alone_are_measured():
    """A pass within the budget has a single row."""
    inputs = torch.ones(4, 2**17) * torch.arange(4.0)[:, None]
    model = Function(lambda x: x[:, :2] + torch.randn(len(x), 2))
    table = lb.layer_information(model, inputs, sigma=0.5, layers="act", max_memory=2**20, queries=4, draws=4)
    assert table["act", "I(X;T)"].upper > 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.randn(x.numel()).view(4, len(x), 2).transpose(0, 1),
        lambda x: (
            x + torch.randn(8 * len(x)).view(2, 2, len(x), 2).permute(2, 0, 1, 3).flatten(1, 2) + torch.rand_like(x)
        ),
        lambda x: x + torch.randn(x.numel()).view_as(x) * torch.rand(x.numel()).view(4, len(x), 2).transpose(0, 1),
    ],
    ids=["tokens, rows, units", "and by row", "two layouts"],
)
def test_flat_draws_of_tokens_in_front_of_rows_are_taken(function):
    model = Function(lambda x: function(x.view(len(x), 4, 2) if x.ndim == 2 else x))
    assert lb.layer_activations(model, normal_tensor(5, 8), layers="act")["act"].shape == (5, 8)


def test_another_flat_draw_of_the_same_tokens_takes_a_pass_for_each_row():
    n_passes = []
    for n_draws in (1, 5):
        calls = []

        def function(x, n_draws=n_draws, calls=calls):
            calls.append(x)
            signal = x.view(len(x), 32, 2) + torch.randn(x.numel()).view(len(x), 32, 2)
            for _ in range(n_draws):
                signal = signal + torch.randn(x.numel()).view(32, len(x), 2).transpose(0, 1)
            return signal

        lb.layer_activations(Function(function), normal_tensor(5, 64), layers="act")
        n_passes.append(len(calls))
    assert n_passes[1] - n_passes[0] == 4 * 3


def test_flat_draws_that_rows_share_in_part_are_refused():
    def function(x):
        noise = torch.randn(x.numel()).view(4, len(x), 2).transpose(0, 1)
        return x.view(len(x), 4, 2) + noise + 0.1 * noise.roll(1, 0)

    with pytest.raises(ValueError, match=r"^inputs: got a network whose rows share random numbers"):
        lb.layer_activations(Function(function), normal_tensor(5, 8), layers="act")
