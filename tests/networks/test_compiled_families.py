"""Compiled networks of six families: the noise of the uncompiled network, also under checkpoints."""

import pytest
import torch

from layerbits import noisify
from tests.support.families import FAMILIES, family, gradients

# Each test compiles a network, which takes seconds.
pytestmark = [
    pytest.mark.stress,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # from torch's own code
    pytest.mark.filterwarnings("ignore:Dynamo"),  # torch compiles no nn.LSTM
    pytest.mark.filterwarnings("ignore:The .grad attribute"),  # torch._dynamo reads it
]

# The back end runs the operators of the uncompiled network, but may add the gradients of a tensor's uses in another
# order. A path from the loss to a parameter has at most 10 such additions, in "recurrent": two for the state of each of
# three steps, two for the outputs of the LSTM and two for the weights. The gradients are below 1, so that each addition
# rounds by at most eps / 2, in either order.
ROUNDING = 10 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("noise_first", [True, False], ids=["noise first", "compiled first"])
@pytest.mark.parametrize("name", FAMILIES)
def test_compiled_gradients_under_checkpoints_equal_uncompiled_ones_without(name, noise_first):
    torch.compiler.reset()
    plain, options, inputs = family(name)
    expected = gradients(noisify(plain, **options), plain, inputs)
    model, options, _ = family(name, checkpoints=True)
    if noise_first:
        noisify(model, **options)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=name != "recurrent")
    if not noise_first:
        noisify(compiled, **options)
    for _ in range(2):  # the first pass compiles; the second runs the compiled code
        for gradient, reference in zip(gradients(compiled, model, inputs), expected, strict=True):
            assert reference.abs().max() < 1
            torch.testing.assert_close(gradient, reference, rtol=0, atol=ROUNDING)
