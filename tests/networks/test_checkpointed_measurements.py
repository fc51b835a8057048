"""Measurements of networks with checkpoints: refusals of estimators that differentiate, and their remedies."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from layerbits import layer_information, noisify

INPUTS = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))


def keep_products(context, operator, *args, **kwargs):
    return operator == torch.ops.aten.addmm.default


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return functional.relu(self.linear(x))


class Network(nn.Module):
    """Runs two blocks in a checkpoint: as modules, or by a method that calls functions."""

    def __init__(self, as_modules):
        super().__init__()
        self.blocks, self.as_modules, self.has_checkpoints = nn.Sequential(Block(), Block()), as_modules, True

    def functions(self, x):
        return functional.relu(self.blocks[1].linear(functional.relu(self.blocks[0].linear(x))))

    def forward(self, x):
        run = self.blocks if self.as_modules else self.functions
        if not self.has_checkpoints:
            return run(x).square()
        contexts = functools.partial(create_selective_checkpoint_contexts, keep_products)
        return checkpoint(run, x, use_reentrant=False, context_fn=contexts).square()


@pytest.mark.parametrize(
    ("as_modules", "error"),
    [(True, r"'blocks\.\w\.relu', which runs again while gradients are computed"), (False, "in a checkpoint")],
    ids=["modules", "functions"],
)
def test_estimator_that_differentiates_is_refused_and_both_remedies_work(as_modules, error):
    model = noisify(Network(as_modules), sigma=0.5, inputs=INPUTS)
    with pytest.raises(ValueError, match=rf"{error}.*; turn checkpointing off for the measurement, or choose"):
        layer_information(model, INPUTS, draws=4, estimator="known")
    layer_information(model, INPUTS, draws=4)
    model.has_checkpoints = False
    layer_information(model, INPUTS, draws=4, estimator="known")
