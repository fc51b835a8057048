"""The note on a missed tolerance names `estimator="auto"` where the known network narrows the interval."""

import pytest
import torch
from torch import nn

from layerbits import layer_information, noisify
from layerbits.estimators.known_network.network_signal_model import NetworkSignalModel
from tests.support.networks import Jitter, tanh_mlp
from tests.support.random_arrays import normal_tensor

pytestmark = pytest.mark.usefixtures("one_thread")

INPUTS = 2 * normal_tensor(64, 4, seed=1)
OPTIONS = {"estimator": "draws", "draws": 16, "tolerance": 0.05, "max_draws": 16, "max_seconds": 1e9}
REMEDY = "or try estimator='auto'"


def wide_chain(first=None):
    """Make noisy tanh layers "1", "3" and "5" of 40 units, behind `first` if that is given."""
    network = tanh_mlp(4, 40, 40, 40, 3, dtype=torch.float64)
    return noisify(network if first is None else nn.Sequential(first, *network), sigma=0.5, layers=nn.Tanh)


def information(network, layer, **options):
    return layer_information(network, INPUTS, layers=layer, **{**OPTIONS, **options})[layer, "I(X;T)"]


def test_remedy_helps_when_it_is_tried():
    row = information(wide_chain(), "5")
    assert row.limited_by != "queries"
    assert row.note.endswith(f"raise max_draws, {REMEDY}")
    tried = information(wide_chain(), "5", estimator="auto")
    assert tried.upper - tried.lower < (row.upper - row.lower) / 2
    assert REMEDY not in tried.note


def test_it_is_not_named_behind_no_noise():
    row = information(wide_chain(), "1", tolerance=1e-9, queries=4, max_seconds=1e-9)
    assert row.flags[-1] == "tolerance_missed"
    assert REMEDY not in row.note


def test_it_is_not_named_where_random_numbers_of_the_network_act():
    row = information(wide_chain(Jitter()), "4")
    assert row.flags[-1] == "tolerance_missed"
    assert row.limited_by != "queries"
    assert REMEDY not in row.note


def test_it_is_not_named_where_queries_limit_the_width():
    network = noisify(nn.Sequential(nn.Identity(), nn.Identity()), sigma=0.5, layers=nn.Identity)
    options = {"draws": 256, "queries": 2, "tolerance": 0.01, "max_draws": 256}
    row = layer_information(network, INPUTS[:, :1], layers="1", **{**OPTIONS, **options}).rows[0]
    assert (row.flags[-1], row.limited_by) == ("tolerance_missed", "queries")
    assert REMEDY not in row.note


@pytest.mark.parametrize("failure", [MemoryError, ValueError])
def test_a_network_that_cannot_be_differentiated_leaves_the_other_remedy(monkeypatch, failure):
    def fail(problem, name):
        raise failure("no passes")

    monkeypatch.setattr(NetworkSignalModel, "of", fail)
    assert information(wide_chain(), "5").note.endswith("raise max_draws")
