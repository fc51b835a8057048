"""First calls of compiled networks, in which the layers are observed."""

import pytest
import torch
from torch import nn

from layerbits import noisify
from tests.support.networks import tanh_mlp

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
# A compiler may add in another order: some roundings of values below 10.
ROUNDING = 100 * torch.finfo(torch.float32).eps

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # from torch's own code


@pytest.fixture(autouse=True)
def _compile_anew():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class Network(nn.Sequential):
    def forward(self, x):  # torch compiles the forward methods of its own classes together with their hooks
        return super().forward(x)


def network(kind=Network):
    return kind(*tanh_mlp(4, 3, 3, 2))


def compiled(model):
    return torch.compile(model, fullgraph=True, backend="eager")


def assert_noisy(model):
    expected = noisify(network(), sigma=0.3, inputs=INPUTS)
    for seed in (3, 4):
        torch.manual_seed(seed)
        values = model(INPUTS)
        torch.manual_seed(seed)
        torch.testing.assert_close(values, expected(INPUTS), rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("kind", [Network, nn.Sequential])
def test_first_call_of_several_graphs_is_observed(kind):
    assert_noisy(torch.compile(noisify(network(kind), sigma=0.3), backend="eager"))


def test_first_call_in_one_graph_is_refused_with_the_remedy_in_the_first_line():
    model = noisify(compiled(network(nn.Sequential)), sigma=0.3)
    with pytest.raises(Exception, match=r"\Amodel: .* pass inputs= to noisify"):
        model(INPUTS)
    assert_noisy(noisify(model, sigma=0.3, inputs=INPUTS))


def test_first_call_of_a_network_whose_hooks_are_not_compiled_is_observed():
    assert_noisy(noisify(compiled(network()), sigma=0.3))
    assert_noisy(compiled(noisify(network(), sigma=0.3)))
    model = noisify(network(), sigma=0.3)
    model.compile(fullgraph=True, backend="eager")
    assert_noisy(model)
