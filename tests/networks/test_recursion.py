"""Networks whose forward method calls the network itself."""

import pytest
import torch
from torch import nn

from layerbits import LayerSelectionError, layers, noisify, propagate

INPUTS = torch.randn(400, 4, generator=torch.Generator().manual_seed(1))
SIGMAS = {"tanh": 0.1, "tanh@2": 50.0}


class Recursive(nn.Module):
    """Applies one layer in each call, and calls itself `depth` times."""

    def __init__(self, depth=1):
        super().__init__()
        self.depth = depth
        self.linear, self.tanh, self.last = nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)

    def forward(self, x, depth=None):
        depth = self.depth if depth is None else depth
        hidden = self.tanh(self.linear(x))
        return self(hidden, depth - 1) if depth else self.last(hidden)


@pytest.fixture(autouse=True)
def _compile_anew():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def noisy():
    torch.manual_seed(2)
    return noisify(Recursive(), sigma=SIGMAS, inputs=INPUTS)


def largest_activations(model):
    """Return the largest value of each output of tanh, with its noise, in one pass."""
    largest = []
    hook = model.tanh.register_forward_hook(lambda module, args, output: largest.append(float(output.abs().max())))
    with hook, torch.no_grad():
        model(INPUTS)
    return largest


def test_calls_of_a_network_that_calls_itself_have_their_own_noise():
    model = noisy()
    for _ in range(2):
        first, second = largest_activations(model)
        assert first < 1 + 10 * SIGMAS["tanh"]
        assert second > SIGMAS["tanh@2"]  # 1600 normal values are all below 1 with a probability of 1e-120


def test_pass_after_an_interrupted_pass_begins_with_the_first_call():
    model = noisy()

    def interrupt(module, args):
        raise KeyboardInterrupt

    with model.last.register_forward_pre_hook(interrupt), pytest.raises(KeyboardInterrupt):
        model(INPUTS)
    assert largest_activations(model)[0] < 1 + 10 * SIGMAS["tanh"]


def test_measured_noise_of_a_network_that_calls_itself_is_that_of_each_call():
    torch.manual_seed(2)
    sigma = {"tanh": 0.1, "tanh@2": 50.0, "tanh@3": 0.1}
    signals = propagate(noisify(Recursive(depth=2), sigma=sigma, inputs=INPUTS), INPUTS, draws=2)
    # The linear layer multiplies a noise of 50 by weights up to 1/2, so most values of the next tanh are near 1 or -1.
    saturated = {layer: float((values.abs() > 0.99).double().mean()) for layer, values in signals.items()}
    assert saturated["tanh@2"] < 0.1
    assert saturated["tanh@3"] > 0.8


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # from torch's own code
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch._dynamo reads it
def test_compiled_network_that_calls_itself_has_the_noise_of_each_call_or_is_refused():
    model = noisy()
    assert torch.compile(model, backend="eager")(INPUTS).std() > 10  # the last layer passes the noise of 50 on
    with pytest.raises(torch._dynamo.exc.Unsupported, match="got Recursive, which calls itself, with noise that"):
        torch.compile(noisy(), backend="eager", fullgraph=True)(INPUTS)


def test_module_that_calls_the_network_too_often_is_refused():
    with pytest.raises(LayerSelectionError, match=r"^layers: got call 3 of 'tanh' in a pass, wanted at most the 2"):
        noisy()(INPUTS, depth=2)


class RecursiveLeaf(nn.Module):
    """Has no modules inside; calls itself."""

    def forward(self, x, depth=2):
        hidden = torch.tanh(2 * x)
        return self(hidden, depth - 1) if depth else hidden


def test_calls_of_a_module_inside_a_network_that_calls_itself_are_listed():
    model = nn.Sequential(RecursiveLeaf(), nn.Linear(4, 2))
    assert [layer.name for layer in layers(model, INPUTS)] == ["0", "0@2", "0@3", "1"]
