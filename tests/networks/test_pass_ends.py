"""Passes end at the last layer that is wanted, and leave nothing behind."""

import collections

import pytest
import torch
from torch import nn
from torch.overrides import _len_torch_function_stack
from torch.utils.checkpoint import checkpoint

import layerbits as lb
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(40, 4, seed=3).float()


class Counted(nn.Module):
    def forward(self, x):
        COUNTS["calls"] += 1
        return x


COUNTS = collections.Counter()


@pytest.fixture
def counts():
    COUNTS.clear()
    return COUNTS


def test_passes_end_at_the_last_layer_that_is_wanted(counts):
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), Counted(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    full = lb.layer_activations(model, INPUTS, layers=["1", "4"])["1"]
    n_full = counts["calls"]
    counts.clear()
    assert torch.equal(lb.layer_activations(model, INPUTS, layers="1")["1"], full)
    assert n_full - counts["calls"] == 11 + 1 + 2  # eleven probing passes, that of all rows, and two of compared rows
    noisy = lb.noisify(model, sigma=0.1, layers=["1", "4"], inputs=INPUTS)
    counts.clear()
    lb.layer_information(noisy, INPUTS, layers="1")
    # One pass shows the layers, two show what acts on them, and three compare another input.
    assert counts["calls"] == 1 + 2 + 3


class Checkpointed(nn.Module):
    """A network whose layer is checkpointed, so that a pass that ends there leaves torch's checkpoint early."""

    def __init__(self, *, use_reentrant):
        super().__init__()
        self.part = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.head, self.options = nn.Linear(4, 2), {"use_reentrant": use_reentrant}

    def forward(self, x):
        with torch.enable_grad():
            return self.head(checkpoint(self.part, x.requires_grad_(), **self.options).relu())


def saved_tensor_hooks():
    return torch._C._autograd._top_saved_tensors_default_hooks(True)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_pass_that_ends_in_a_checkpoint_leaves_nothing_behind(use_reentrant):
    model = Checkpointed(use_reentrant=use_reentrant)
    noisy = lb.noisify(model, sigma=0.2, layers=["part.1", "relu"], inputs=INPUTS)
    both = lb.propagate(noisy, INPUTS, draws=2)
    first = lb.propagate(noisy, INPUTS, draws=2, layers="part.1")
    assert torch.equal(first["part.1"], both["part.1"])
    assert saved_tensor_hooks() is None
    assert _len_torch_function_stack() == 0
    noisy(INPUTS).sum().backward()
    assert noisy.part[0].weight.grad is not None


def test_a_pass_that_ends_in_a_compiled_part_is_right():
    torch.compiler.reset()
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    expected = lb.layer_activations(model, INPUTS, layers="0.1")["0.1"]
    model[0].compile(backend="eager")
    model(INPUTS)
    assert torch.equal(lb.layer_activations(model, INPUTS, layers="0.1")["0.1"], expected)
    assert torch.equal(
        lb.layer_activations(torch.compile(model, backend="eager"), INPUTS, layers="0.1")["0.1"], expected
    )


class Skips(nn.Module):
    """Keeps values for a later part in an attribute, first in and first out; a pass must end before the next."""

    def __init__(self):
        super().__init__()
        self.down, self.tanh, self.up = nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)
        self.skipped, self.is_open = collections.deque(), False

    def forward(self, x):
        assert not self.is_open, "the pass before has not ended"
        self.is_open = True
        self.skipped.append(self.down(x))
        out = self.up(self.tanh(self.skipped[0]) + self.skipped.popleft())
        self.is_open = False
        return out


def test_attributes_that_a_forward_method_sets_are_restored_after_the_end():
    noisy = lb.noisify(Skips(), sigma=0.2, inputs=INPUTS)
    signals = lb.propagate(noisy, INPUTS, draws=2, chunk=16)["tanh"]
    with torch.no_grad():
        expected = noisy.tanh.forward(noisy.down(INPUTS))
    # Weights are below 1/2 and inputs below 3.5, so sums stay below 8: in passes of two sizes, each of the four
    # additions rounds by at most 2^-22. tanh reduces the difference.
    torch.testing.assert_close(signals[:, 0], expected, rtol=0, atol=8 * 2**-22)
