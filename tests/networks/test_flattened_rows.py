"""Layers that flatten the tokens of the inputs into rows (n L, d) are measured as layers of units (L, d)."""

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(30, 5, 4, seed=1).float()
DEVIATIONS = torch.linspace(0.1, 0.6, 6)
COVARIANCE = 0.1 * torch.eye(6) + 0.02


class Tokens(nn.Module):
    """Two layers of each token. `flatten` maps tokens (n, L, 4) to rows, and `restore` maps rows to tokens."""

    def __init__(self, flatten=None, restore=None):
        super().__init__()
        torch.manual_seed(0)
        self.flatten, self.restore = flatten, restore
        self.first, self.tanh, self.second, self.act = nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3), nn.Sigmoid()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        hidden = self.flatten(x) if self.flatten else x
        hidden = self.act(self.second(self.tanh(self.first(hidden))))
        return self.head(self.restore(hidden, x) if self.flatten else hidden).mean(1)


def flattened():
    return Tokens(lambda x: x.reshape(-1, 4), lambda hidden, x: hidden.reshape(len(x), -1, 3))


def values(table):
    return {(row.layer, row.quantity): (row.lower, row.value, row.upper) for row in table}


def assert_equal(table, other_table, tolerance=1e-9):
    """The Cholesky factor of a larger covariance may round differently, by some 1e-15 of values below 100."""
    others = values(other_table)
    assert list(values(table)) == list(others)
    for key, ends in values(table).items():
        assert ends == pytest.approx(others[key], abs=tolerance, rel=0, nan_ok=True)


def of_units(sigma):
    """Return the noise of all units of an input, from that of one token."""
    if not isinstance(sigma, torch.Tensor):
        return sigma
    return sigma.repeat(5) if sigma.ndim == 1 else torch.block_diag(*[sigma] * 5)


NOISE = {
    "number": 0.3,
    "units": DEVIATIONS,
    "covariance": COVARIANCE,
    "dropout": lb.DropoutNoise(0.3, 0.2),
    "relative": lb.RelativeSigma(0.3),
}


@pytest.mark.parametrize("sigma", NOISE.values(), ids=NOISE)
def test_flattened_layers_have_the_information_of_their_units(sigma):
    options = {"queries": 40, "readout": [None, "last", lb.RandomSlices(1, 8)]}
    if isinstance(sigma, lb.DropoutNoise):
        options["readout"] = [None, "last"]
    table = lb.layer_information(flattened(), INPUTS, sigma={"tanh": sigma, "act": 0.3}, **options)
    other_table = lb.layer_information(Tokens(), INPUTS, sigma={"tanh": of_units(sigma), "act": 0.3}, **options)
    assert_equal(table, other_table)


@pytest.mark.parametrize("sigma", NOISE.values(), ids=NOISE)
def test_noisy_flattened_layers_have_the_information_of_their_units(sigma):
    model = lb.noisify(flattened(), sigma={"tanh": sigma, "act": 0.3}, inputs=INPUTS)
    other = lb.noisify(Tokens(), sigma={"tanh": of_units(sigma), "act": 0.3}, inputs=INPUTS)
    tables = [lb.layer_information(network, INPUTS, draws=4, queries=40) for network in (model, other)]
    assert_equal(*tables)
    signals = [lb.propagate(network, INPUTS, draws=2) for network in (model, other)]
    assert all(signals[0][layer].equal(signals[1][layer]) for layer in ("tanh", "act"))
    given = {"tanh": signals[0]["tanh"][:, 0]}
    signals = [lb.propagate(network, INPUTS, draws=2, given=given)["act"] for network in (model, other)]
    assert signals[0].equal(signals[1])


@pytest.mark.parametrize("estimator", ["known", "auto"])
def test_estimators_that_differentiate_the_network_take_flattened_layers(estimator):
    networks = [lb.noisify(network, sigma=0.5, inputs=INPUTS) for network in (flattened(), Tokens())]
    tables = [lb.layer_information(network, INPUTS, draws=4, queries=8, estimator=estimator) for network in networks]
    # Derivatives round in another order, in float32: some hundred roundings of values below 10.
    assert_equal(*tables, tolerance=1e-3)


OTHER_ORDERS = {
    "tokens first": Tokens(
        lambda x: x.transpose(0, 1).reshape(-1, 4), lambda rows, x: rows.reshape(5, -1, 3).transpose(0, 1)
    ),
    "sorted": Tokens(
        lambda x: x.reshape(-1, 4)[x.sum(2).flatten().argsort()],
        lambda rows, x: rows[x.sum(2).flatten().argsort().argsort()].reshape(len(x), -1, 3),
    ),
}


@pytest.mark.parametrize("network", OTHER_ORDERS.values(), ids=OTHER_ORDERS)
def test_rows_in_another_order_than_that_of_the_inputs_are_refused(network):
    with pytest.raises(lb.LayerSelectionError, match=r"^layers: got 'tanh', which returns shape \(15, 6\) for 3 rows"):
        lb.layer_activations(network, INPUTS, layers="tanh")
    with pytest.raises(lb.LayerSelectionError, match=r"has only tanh, act, whose rows.*layers behind them, or flatten"):
        lb.layer_information(network, INPUTS, sigma=0.3)
    assert lb.layer_information(network, INPUTS, sigma=0.3, layers="head").layers == ("head",)


def test_tokens_that_act_on_other_inputs_are_refused():
    network = Tokens(lambda x: x.reshape(-1, 4) - x.mean((0, 1)), lambda hidden, x: hidden.reshape(len(x), -1, 3))
    with pytest.raises(lb.LayerSelectionError, match=r"^layers: got 'tanh', which returns shape \(15, 6\) for 3 rows"):
        lb.layer_activations(network, INPUTS, layers="tanh")
