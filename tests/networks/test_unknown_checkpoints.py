"""Checkpoints that torch begins in a function that layerbits does not read: noise in them is refused."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import layerbits as lb
from layerbits.networks.execution import checkpointing

INPUTS = torch.ones(5, 4)


class CheckpointedMethod(nn.Module):
    """Calls a function in a checkpointed method."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def method(self, x):
        return torch.tanh(self.linear(x))

    def forward(self, x):
        return checkpoint(self.method, x, use_reentrant=False)


@pytest.fixture
def _unknown_function(monkeypatch):
    for name in ("checkpoint", "_checkpoint_impl"):
        monkeypatch.delitem(checkpointing._READERS, name, raising=False)


@pytest.mark.usefixtures("_unknown_function")
@pytest.mark.parametrize("preserve_rng_state", [True, False])
def test_layer_in_an_unknown_checkpoint_is_refused(preserve_rng_state):
    model = lb.noisify(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)), sigma=0.5, inputs=INPUTS)
    with pytest.raises(ValueError, match="checkpoint: got a pass around a noisy layer"):
        checkpoint(model, INPUTS, use_reentrant=False, preserve_rng_state=preserve_rng_state)


@pytest.mark.usefixtures("_unknown_function")
def test_function_in_an_unknown_checkpoint_is_refused():
    model = lb.noisify(nn.Sequential(CheckpointedMethod(), nn.Linear(4, 2)), sigma=0.5, layers="0.tanh", inputs=INPUTS)
    with pytest.raises(ValueError, match="checkpoint: got a pass around a noisy layer"):
        model(INPUTS)
