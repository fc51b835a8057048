"""Rows that act on one another in few rows alone: one row in 32 of all passes runs again in a pass of such rows."""

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

N_ROWS, SHARE = 4000, 0.05
INPUTS = normal_tensor(N_ROWS, 3, seed=4).float()


class Coupled(nn.Module):
    """Adds the mean of a pass to the rows of some inputs, in passes of many rows."""

    def __init__(self, share, *, draws=False):
        super().__init__()
        self.act, self.share, self.draws = nn.Tanh(), share, draws

    def forward(self, x):
        x = x + 0.1 * torch.randn_like(x) if self.draws else x
        is_coupled = (x[:, :1] * 997).frac().abs() < self.share
        return self.act(torch.where(is_coupled & (len(x) > 20), x + x.mean(0), x))


@pytest.mark.parametrize("draws", [False, True], ids=["function", "random numbers of its own"])
def test_coupling_of_few_rows_is_refused(draws):
    """Two passes of 4000 rows have 250 rows that run again: none of them is coupled with probability .95^250 = 3e-6."""
    with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another: in 'act'"):
        lb.layer_information(Coupled(SHARE, draws=draws), INPUTS, sigma=0.5, layers="act", queries=2)


def test_one_row_in_32_runs_again():
    """The probing passes have at most 16 rows, and there are fewer than 100 of them."""
    rows = []

    class Counted(Coupled):
        def forward(self, x):
            rows.append(len(x))
            return super().forward(x)

    lb.layer_information(Counted(0.0), INPUTS, sigma=0.5, layers="act", queries=2)
    measured = sum(n for n in rows if n >= 1000)
    assert measured == 2 * N_ROWS
    assert measured / 32 - 2 <= sum(rows) - measured < measured / 32 + 100 * 16
