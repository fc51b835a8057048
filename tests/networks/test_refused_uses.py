"""Uses of noisy networks that are refused because noise would be lost silently, and similar uses that work."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(8, 4, seed=1).float()


def test_the_noise_of_a_part_is_not_turned_off_alone():
    model = lb.noisify(tanh_mlp(4, 3, 3, 2), sigma=0.1, inputs=INPUTS)
    with pytest.raises(ValueError, match=r"^model: got Tanh, a part of a noisy network"), lb.noise_off(model[1]):
        pass
    assert not model(INPUTS).equal(model(INPUTS))


def test_the_noise_of_a_slice_whose_network_lives_is_turned_off_by_the_network():
    model = lb.noisify(tanh_mlp(4, 3, 3, 2), sigma=0.1, inputs=INPUTS)
    part = model[:3]
    with pytest.raises(ValueError, match=r"; turn off the noise of that Sequential, or set .* by noise_of$"):
        lb.noise_off(part).__enter__()
    with pytest.raises(ValueError, match="which the noisy network Sequential shares and which would lose its noise"):
        lb.remove_noise(part)
    with lb.noise_off(model):
        assert part(INPUTS).equal(part(INPUTS))


def test_the_noise_of_a_slice_whose_network_is_gone_has_a_remedy_that_works():
    part = lb.noisify(tanh_mlp(4, 3, 3, 2), sigma=0.1, inputs=INPUTS)[:3]
    with pytest.raises(
        ValueError, match=r"; call noisify on this Sequential, because that network is gone or unknown$"
    ):
        lb.noise_off(part).__enter__()
    lb.noisify(part, sigma=0.1, layers="1", inputs=INPUTS)
    with lb.noise_off(part):
        assert part(INPUTS).equal(part(INPUTS))


def two_with_one_module():
    """Return two networks that share their module 1."""
    shared = nn.ReLU()
    return [nn.Sequential(nn.Linear(4, 3), shared, nn.Linear(3, 2)) for _ in range(2)]


def test_removal_of_noise_that_another_network_shares_is_refused_and_the_remedy_works():
    first, second = two_with_one_module()
    lb.noisify(first, sigma=0.1, inputs=INPUTS)
    with pytest.raises(ValueError, match=r"^model: got ReLU at '1', .* call layerbits.remove_noise on the other"):
        lb.remove_noise(second)
    assert float(lb.noise_of(first)["1"]) == 0.1
    lb.remove_noise(first)
    assert second(INPUTS).equal(second(INPUTS))


def test_networks_that_share_a_noisy_module_of_each_have_a_remedy_that_works():
    first, second = (lb.noisify(tanh_mlp(4, 4, 4), sigma=0.1, layers="0", inputs=INPUTS) for _ in range(2))
    first.append(second[0])
    second.append(first[0])
    for model in (first, second):
        with pytest.raises(ValueError, match=r"wanted modules of this network alone; use a copy.deepcopy of the modul"):
            lb.remove_noise(model)
    first[-1] = copy.deepcopy(first[-1])
    for model in (first, second):
        lb.remove_noise(model)
        assert model(INPUTS).equal(model(INPUTS))


def test_noise_of_a_part_is_removed():
    model = lb.noisify(tanh_mlp(4, 3, 3, 2), sigma=0.1, inputs=INPUTS)
    lb.remove_noise(model[1])
    assert list(lb.noise_of(model)) == ["3"]


@pytest.mark.parametrize("second_inputs", [INPUTS, None], ids=["observed", "waiting"])
@pytest.mark.parametrize("wait", [False, True])
def test_a_module_that_another_noisy_network_shares_is_refused(wait, second_inputs):
    first, second = two_with_one_module()
    words = r"^model: got ReLU at '1', which the noisy network Sequential shares "
    lb.noisify(first, sigma=0.1)
    if wait:
        lb.noisify(second, sigma=0.2)
    first(INPUTS)
    with pytest.raises(ValueError, match=words):
        second(INPUTS) if wait else lb.noisify(second, sigma=0.2, inputs=second_inputs)
    assert float(lb.noise_of(first)["1"]) == 0.1
    with lb.noise_off(first):
        assert first(INPUTS).equal(first(INPUTS))


def test_remedies_for_a_module_that_another_noisy_network_shares_work():
    first, second = two_with_one_module()
    lb.noisify(first, sigma=0.1, inputs=INPUTS)
    second[1] = copy.deepcopy(first[1])
    lb.noisify(second, sigma=0.2, inputs=INPUTS)
    assert (float(lb.noise_of(first)["1"]), float(lb.noise_of(second)["1"])) == (0.1, 0.2)
    second[1] = first[1]
    lb.remove_noise(first)
    assert float(lb.noise_of(lb.noisify(second, sigma=0.3, inputs=INPUTS))["1"]) == 0.3


def test_the_noise_of_a_noisy_network_within_another_is_turned_off_alone():
    inner = lb.noisify(tanh_mlp(4, 3, 4), sigma=0.1, inputs=INPUTS)
    outer = nn.Sequential(inner, nn.Linear(4, 2))
    with lb.noise_off(inner):
        assert outer(INPUTS).equal(outer(INPUTS))


def test_a_function_layer_that_is_called_with_out_is_refused():
    class Writing(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x):
            signal = self.linear(x).detach()
            result = torch.empty_like(signal)
            torch.tanh(signal, out=result)
            return result * 2

    with torch.no_grad(), pytest.raises(lb.LayerSelectionError, match=r"^layers: got .*'tanh' with out="):
        lb.noisify(Writing(), sigma=0.1, inputs=INPUTS)(INPUTS)


@pytest.mark.parametrize(
    "sigma", [0.3, torch.tensor([0.1, 0.2, 0.3]).double(), torch.eye(3).double() * 0.2, lb.DropoutNoise(0.3, 0.1)]
)
def test_noise_that_was_read_can_be_written_back(sigma):
    model = lb.noisify(tanh_mlp(4, 3, 3, 2), sigma=0.1, inputs=INPUTS)
    noise = lb.noise_of(model)
    noise["1"] = sigma
    noise["3"] = noise["1"]
    if not isinstance(sigma, lb.DropoutNoise):
        np.testing.assert_allclose(noise["3"].sigma, sigma, rtol=1e-15)
    again = lb.noisify(tanh_mlp(4, 3, 3, 2), sigma=noise, inputs=INPUTS)
    assert lb.noise_of(again)["3"] is noise["1"]


def test_a_function_selects_its_calls():
    class Functions(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x):
            return torch.tanh(torch.relu(self.linear(x))) * 2

    model = lb.noisify(Functions(), sigma=0.1, layers=torch.tanh, inputs=INPUTS)
    assert list(lb.noise_of(model)) == ["tanh"]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:FutureWarning")
def test_torchscript_of_a_noisy_network_is_refused():
    model = lb.noisify(tanh_mlp(4, 3, 2), sigma=0.1, inputs=INPUTS)
    with pytest.raises(TypeError, match=r"^model: got a noisy network for torch\.jit\.script"):
        torch.jit.script(model)


def test_dropout_noise_refuses_a_tensor_as_sigma():
    with pytest.raises(TypeError, match=r"^sigma: got Tensor"):
        lb.DropoutNoise(0.5, torch.tensor([0.1, 0.2]))
