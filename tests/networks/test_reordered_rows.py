"""Layers that get all rows of a pass in another order are left out, or refused by this name."""

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

INPUTS = 2 * normal_tensor(40, 4, seed=7).float()
REORDERED = r"^layers: got 'block\.act', whose rows in a pass are not those of the inputs in their order"


class Block(nn.Module):
    """Runs an activation function on rows that are sorted by a score."""

    def __init__(self):
        super().__init__()
        self.score, self.act = nn.Linear(4, 1), nn.Tanh()

    def forward(self, x):
        order = self.score(x)[:, 0].argsort()
        return x + self.act(x[order])[order.argsort()]


class Grouped(Block):
    """Orders rows by their expert, and keeps the order within each."""

    def forward(self, x):
        order = (self.score(x)[:, 0] > 0).long().argsort(stable=True)
        return x + self.act(x[order])[order.argsort()]


class SortedColumns(Block):
    """Sorts each column alone, so that a row gets values of several rows."""

    def forward(self, x):
        return x + self.act(x.sort(0).values)


class Network(nn.Module):
    def __init__(self, block):
        super().__init__()
        torch.manual_seed(0)
        self.block, self.out, self.head = block(), nn.Sigmoid(), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.out(self.block(x)))


blocks = pytest.mark.parametrize("block", [Block, Grouped])


@blocks
def test_default_leaves_the_layer_out(block):
    with pytest.warns(UserWarning, match=r"^layers: None leaves out block\.act, whose .* pass layers=\['block'\]"):
        assert list(lb.layer_activations(Network(block), INPUTS)) == ["out"]
    noisy = lb.noisify(Network(block), sigma=0.3, inputs=INPUTS)
    with pytest.warns(UserWarning, match=r"^layers: None leaves out block\.act, whose .* their noise acts on"):
        assert list(lb.propagate(noisy, INPUTS, draws=2)) == ["out"]


@blocks
def test_layer_that_is_named_is_refused_with_a_remedy_that_works(block):
    model = Network(block)
    with pytest.raises(lb.LayerSelectionError, match=rf"{REORDERED}.*; pass layers=\['block'\], which"):
        lb.layer_activations(model, INPUTS, layers=["block.act", "out"])
    assert list(lb.layer_activations(model, INPUTS, layers=["block"])) == ["block"]
    noisy = lb.noisify(model, sigma=0.3, inputs=INPUTS)
    with pytest.raises(lb.LayerSelectionError, match=rf"{REORDERED}.*; noisify the network with `layers`"):
        lb.propagate(noisy, INPUTS, draws=2, layers="block.act")


@pytest.mark.filterwarnings("error")
def test_rows_that_mix_are_no_rows_in_another_order():
    with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another: in 'block\.act'"):
        lb.layer_activations(Network(SortedColumns), INPUTS)
