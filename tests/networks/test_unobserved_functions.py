"""Activation functions that a later pass runs, but the observed pass did not, have no noise, and cause a warning."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from layerbits import LayerSelectionError, layer_information, layers, noisify

POSITIVE, NEGATIVE = torch.ones(5, 4), -torch.ones(5, 4)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # from torch's own code
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),  # torch._dynamo reads it
]


class Expert(nn.Module):
    """Calls tanh as a function."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


class Mixture(nn.Module):
    """Chooses one of two experts by the sign of the input."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList([Expert(), Expert()])

    def forward(self, x):
        return self.experts[int(x.sum() < 0)](x)


class Branch(nn.Module):
    """Calls one of two functions, which depends on the input."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 4)

    def forward(self, x):
        return self.last(functional.relu(x) if x.sum() > 0 else functional.elu_(x))


class AuxiliaryHead(nn.Module):
    """Has a head that runs in training alone."""

    def __init__(self):
        super().__init__()
        self.body, self.head = Expert(), Expert()

    def forward(self, x):
        return (self.body(x), self.head(x)) if self.training else self.body(x)


def is_noisy(model, inputs):
    return not torch.equal(model(inputs.clone()), model(inputs.clone()))


def make(model):
    return noisify(model, sigma=0.3, inputs=POSITIVE)


COPIES = {"original": lambda m: m, "copy": copy.deepcopy, "pickle": lambda m: pickle.loads(pickle.dumps(m))}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_expert_that_the_observed_pass_did_not_choose_runs_with_a_warning(copied):
    model = copied(make(Mixture()))
    assert is_noisy(model, POSITIVE)
    with pytest.warns(UserWarning, match=r"^layers: None leaves out experts.1.tanh, which did not run in the observed"):
        assert not is_noisy(model, NEGATIVE)


def test_function_that_the_observed_pass_did_not_call_runs_with_a_warning():
    model = make(nn.Sequential(Branch()))
    assert is_noisy(model, POSITIVE)
    inputs = NEGATIVE.clone()
    with pytest.warns(UserWarning, match=r"^layers: None leaves out 0.elu, which did not run"):
        model(inputs)
    assert torch.equal(inputs, functional.elu(NEGATIVE))  # elu_ changes its argument


def test_head_that_runs_in_training_alone_runs_with_a_warning():
    model = make(AuxiliaryHead())
    with pytest.warns(UserWarning, match=r"^layers: None leaves out head.tanh, .* in training alone cannot") as caught:
        model.train()(POSITIVE)
    assert [warning.filename for warning in caught] == [__file__]


def test_compiled_pass_that_runs_an_unobserved_function_warns():
    model = make(AuxiliaryHead())
    torch.compiler.reset()
    with pytest.warns(UserWarning, match=r"^layers: None leaves out head.tanh, which did not run") as caught:
        torch.compile(model.train(), backend="eager", fullgraph=True)(POSITIVE)
    assert [warning.filename for warning in caught] == [__file__]
    torch.compiler.reset()


def test_names_of_the_other_layers_end_the_warning_of_a_head_that_runs_in_training_alone():
    model = AuxiliaryHead()
    model.head = nn.Sequential(nn.Tanh())
    with pytest.warns(
        UserWarning, match=r"leaves out head.0, .* in training alone .*: name the other layers by layers"
    ):
        make(model)
    with pytest.raises(LayerSelectionError, match=r"^layers: 'head.0' matches no layer; available"):
        noisify(model, sigma=0.3, layers="head.0", inputs=POSITIVE)
    for head in (model.head, Expert()):
        model.head = head
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            noisify(model, sigma=0.3, layers="body.tanh", inputs=POSITIVE).train()(POSITIVE)


class CheckpointedMethod(nn.Module):
    """Calls relu, and in training another function in a checkpointed method."""

    def forward(self, x):
        hidden = torch.relu(x) + 1
        return checkpoint(self.rest, hidden, use_reentrant=False) if self.training else hidden

    def rest(self, x):
        return torch.tanh(x)


def test_checkpointed_method_that_calls_an_unobserved_function_warns():
    model = make(CheckpointedMethod())
    with pytest.warns(UserWarning, match=r"^layers: None leaves out tanh, which did not run"):
        model.train()(POSITIVE.clone().requires_grad_())


def test_named_layers_need_no_warning():
    model = noisify(Mixture(), sigma=0.3, layers="experts.0.tanh", inputs=POSITIVE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(NEGATIVE)


def test_network_with_unobserved_functions_lists_and_measures_its_noisy_layers():
    model = make(AuxiliaryHead())
    assert layers(model, POSITIVE).noisy == ("body.tanh",)
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    assert {row.layer for row in layer_information(model, inputs, draws=4)} == {"body.tanh"}
