"""A forward hook that is registered after the noise is no part of the layer; a measurement warns if it changes T."""

import warnings

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(20, 4, seed=3).float()
WARNING = r"^model: got a forward hook that changes 1 behind the noise, .*; call noisify after"


def noisy_network():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    return lb.noisify(network, sigma=0.3, inputs=INPUTS)


@pytest.mark.parametrize(
    ("hook", "with_kwargs"),
    [
        (lambda module, args, output: output * 0, False),
        (lambda module, args, output: (output.zero_(), None)[1], False),
        (lambda module, args, kwargs, output: output * 0, True),
    ],
    ids=["returned", "in place", "with arguments"],
)
def test_hook_that_changes_the_noisy_value_has_a_warning(hook, with_kwargs):
    model = noisy_network()
    model[1].register_forward_hook(hook, with_kwargs=with_kwargs)
    with pytest.warns(UserWarning, match=WARNING):
        assert lb.propagate(model, INPUTS, draws=2)["1"].abs().min() > 0


@pytest.mark.filterwarnings("error")
def test_remedies_make_the_hook_part_of_the_layer():
    for prepend in (True, False):
        model = noisy_network()
        model[1].register_forward_hook(lambda module, args, output: output * 0, prepend=prepend)
        if not prepend:
            lb.noisify(model, sigma=0.3, inputs=INPUTS)
        assert not lb.propagate(model, INPUTS, draws=2)["1"].any()


def test_hooks_that_only_observe_and_layers_that_are_not_measured_have_no_warning():
    model, outputs = noisy_network(), []
    model[1].register_forward_hook(lambda module, args, output: outputs.append(output))
    model[1].register_forward_hook(lambda module, args, output: output.clone())
    model[3].register_forward_hook(lambda module, args, output: output + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lb.propagate(model, INPUTS, draws=2, layers="1")
    assert outputs
