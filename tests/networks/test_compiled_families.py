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

# A compiler may add in another order: some roundings of values below 10.
ROUNDING = 100 * torch.finfo(torch.float32).eps


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
            torch.testing.assert_close(gradient, reference, rtol=ROUNDING, atol=ROUNDING)
