"""Noise routes rows to another expert than the one that gets all rows of passes without noise."""

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.dependence import INPUTS, Forward, graph
from tests.support.random_arrays import normal_tensor

ROUTED_INPUTS = 2 * normal_tensor(40, 4, seed=7).float()
BEST = 1


class Routed(nn.Module):
    """Two experts. Without noise, |act| < 1 keeps the gate below .6 < 1, so `BEST` gets all rows.

    If `calls_all`, experts without rows run too.
    """

    def __init__(self, calls_all):
        super().__init__()
        torch.manual_seed(0)
        self.calls_all, self.stem, self.act, self.out = calls_all, nn.Linear(4, 6), nn.Tanh(), nn.Tanh()
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.ReLU()) for _ in range(2))
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        hidden = self.act(self.stem(x))
        best = (0.1 * hidden.sum(1) < 1).long()
        total = hidden
        for index, expert in enumerate(self.experts):
            rows = (best == index).nonzero()[:, 0]
            if len(rows) or self.calls_all:
                total = total.index_add(0, rows, expert(hidden[rows]))
        return self.head(self.out(total))


def noisy_network(calls_all):
    return lb.noisify(Routed(calls_all), sigma={"act": 1.5, "**": 0.3}, inputs=ROUTED_INPUTS)


networks = pytest.mark.parametrize("calls_all", [True, False])
pytestmark = pytest.mark.filterwarnings("ignore:.*(did not run|was not called) in the observed pass")


@networks
def test_default_leaves_out_the_expert_that_loses_rows_with_noise(calls_all):
    model = noisy_network(calls_all)
    names = r"experts\.0\.1, experts\.1\.1" if calls_all else r"experts\.1\.1"
    with pytest.warns(UserWarning, match=rf"^layers: None leaves out {names}, whose rows .*; their noise acts on"):
        assert list(lb.propagate(model, ROUTED_INPUTS, draws=8)) == ["act", "out"]
    assert list(lb.propagate(model, ROUTED_INPUTS, draws=8, layers="out")) == ["out"]


@networks
def test_expert_that_is_named_is_refused_with_layers_that_can_be_measured(calls_all):
    model = noisy_network(calls_all)
    with pytest.raises(lb.LayerSelectionError, match=r"80 rows \(40 inputs x 2 draws\); pass layers=\['act'\], which"):
        lb.propagate(model, ROUTED_INPUTS, draws=2, layers=["act", "experts.1.1"])
    assert list(lb.propagate(model, ROUTED_INPUTS, draws=2, layers=["act"])) == ["act"]


def test_expert_that_keeps_its_rows_under_the_noise_before_it_is_measured():
    model = lb.noisify(Routed(calls_all=True), sigma=0.3, layers=["experts.1.1", "out"], inputs=ROUTED_INPUTS)
    assert tuple(lb.propagate(model, ROUTED_INPUTS, draws=4)) == ("experts.1.1", "out")


@torch.library.custom_op("layerbits_tests::positive_rows", mutates_args=())
def positive_rows(x: torch.Tensor) -> torch.Tensor:
    """Return the rows with a positive first value; no tag shows that their number depends on values."""
    return x[x[:, 0] > 0].clone()


def unselected(net, x):
    return net.c(net.b(net.a(x)))


def selected_by_a_mask(net, x):
    return unselected(net, x) * (1 + 0 * x[x > 0].sum())


def selected_by_an_operation_of_the_user(net, x):
    return unselected(net, x) + positive_rows(x.abs()).sum()


@pytest.mark.parametrize("forward", [unselected, selected_by_a_mask, selected_by_an_operation_of_the_user])
def test_shapes_are_fixed_where_no_operation_may_select_rows(forward):
    assert graph(Forward(forward)).has_fixed_shapes == (forward is unselected)


def test_network_of_fixed_shapes_runs_fewer_passes():
    def n_passes(forward):
        passes = []
        model = Forward(lambda net, x: passes.append(len(x)) or forward(net, x))
        lb.propagate(lb.noisify(model, sigma=1.0, layers=nn.Tanh, inputs=INPUTS), INPUTS, draws=1)
        return len(passes)

    assert n_passes(unselected) < n_passes(selected_by_a_mask)


class Sum(nn.Module):
    """The sum of all values of a pass, without axes."""

    def forward(self, x):
        return x.sum()


def test_a_layer_without_axes_is_left_out():
    model = nn.Sequential(nn.Tanh(), Sum(), nn.Tanh())
    lb.noisify(model, sigma=0.3, layers=nn.Tanh, inputs=ROUTED_INPUTS)
    with pytest.warns(UserWarning, match=r"^layers: None leaves out 2, whose rows"):
        assert list(lb.propagate(model, ROUTED_INPUTS)) == ["0"]
