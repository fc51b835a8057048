"""Networks that torch.fx traced are measured as the networks from which they were made."""

import io

import pytest
import torch
from torch import nn
from torch.nn import functional

import layerbits as lb
from layerbits import LayerSelectionError
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(12, 4, seed=2).float()


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(x + functional.relu(self.first(x)))


def chain():
    return tanh_mlp(4, 3, 3, 2)


@pytest.mark.parametrize("make", [chain, Residual], ids=["modules", "functions"])
@pytest.mark.parametrize("sigma", [None, 0.3], ids=["noisy", "without noise"])
def test_traced_network_has_the_rows_of_its_network(make, sigma):
    tables = []
    for model in (make(), torch.fx.symbolic_trace(make())):
        if sigma is None:
            lb.noisify(model, sigma=0.3)
        tables.append(lb.layer_information(model, INPUTS, sigma=sigma, queries=4, draws=8))
    first, second = ([(row.layer, row.quantity, row.value, row.upper) for row in table] for table in tables)
    assert first == second


def test_trace_of_a_noisy_network_loses_the_noise_of_functions():
    model = lb.noisify(Residual(), sigma=0.3, inputs=INPUTS)
    traced = torch.fx.symbolic_trace(model)
    words = r"^model: got .* no noisy layer .* torch.fx traces functions without .*: call layerbits.remove_noise on the"
    with pytest.raises(LayerSelectionError, match=words):
        lb.layer_information(traced, INPUTS)
    lb.remove_noise(model)
    lb.noisify(traced, sigma=0.3, inputs=INPUTS)
    assert lb.layer_information(traced, INPUTS, queries=4, draws=8)["relu", "I(X;T)"].upper > 0


def test_trace_of_a_network_that_is_gone_gets_noise():
    # References in a cycle may keep the network until the next collection.
    traced = torch.fx.symbolic_trace(lb.noisify(Residual(), sigma=0.3, inputs=INPUTS))
    lb.noisify(traced, sigma=0.2, inputs=INPUTS)
    assert float(lb.noise_of(traced)["relu"]) == 0.2


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # from torch's own code
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("make", [chain, Residual], ids=["modules", "functions"])
def test_exported_network_has_its_noise_after_saving(make):
    model, file = lb.noisify(make(), sigma=0.3, inputs=INPUTS), io.BytesIO()
    torch.export.save(torch.export.export(model, (INPUTS,)), file)
    file.seek(0)
    exported = torch.export.load(file).module()
    values = []
    for function in (model, exported):
        torch.manual_seed(1)
        values.append(function(INPUTS))
    assert torch.equal(*values)  # the same operators in the same order
