"""noisify and remove_noise are refused between a checkpointed pass and its backward pass, which runs layers again."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import layerbits as lb

INPUTS = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "change", [lb.remove_noise, lambda model: lb.noisify(model, sigma=0.1, layers="2", inputs=INPUTS)]
)
@pytest.mark.parametrize("reentrant", [False, True])
def test_noise_cannot_be_replaced_or_removed_before_the_backward_pass(change, reentrant):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    lb.noisify(model, sigma=0.5, inputs=INPUTS)
    loss = checkpoint(model, INPUTS.clone().requires_grad_(), use_reentrant=reentrant).sum()
    with pytest.raises(ValueError, match="backward pass is still to come"):
        change(model)
    loss.backward()
    change(model)


def test_noise_can_be_removed_after_the_output_of_the_pass_is_deleted():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    lb.noisify(model, sigma=0.5, inputs=INPUTS)
    output = checkpoint(model, INPUTS, use_reentrant=False)
    del output
    lb.remove_noise(model)
    assert torch.equal(model(INPUTS), model(INPUTS))


def test_noise_can_be_removed_after_the_exception_of_the_pass_is_deleted():
    """An interactive interpreter keeps an exception, with the frames and so the pass, in sys.last_value."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    lb.noisify(model, sigma=0.5, inputs=INPUTS)
    try:
        checkpoint(lambda x: 1 // (0 * len(model(x))), INPUTS, use_reentrant=False)
    except ZeroDivisionError as error:
        kept = [error]
    with pytest.raises(ValueError, match=r"or the exception that it raised, such as sys\.last_value$"):
        lb.remove_noise(model)
    kept.clear()
    lb.remove_noise(model)
    assert torch.equal(model(INPUTS), model(INPUTS))
