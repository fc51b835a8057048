"""The mapping from layers to noise that `noise_of` returns: its order, and changes of the noise of a layer."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from layerbits import NoNoiseError, noise_of, noise_off, noisify, propagate, remove_noise
from tests.support.networks import Twice, tanh_mlp

INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)


def noisy_mlp(sigma=0.1):
    return noisify(tanh_mlp(4, 3, 3, 2), sigma=sigma, inputs=INPUTS)


def noise_deviation(model, layer):
    """Return the root mean square of the noise of a layer in 20,000 rows."""
    with noise_off(model):
        activations = model[layer](torch.zeros(20_000, 3))
    return float((model[layer](torch.zeros(20_000, 3)) - activations).square().mean().sqrt())


class Reversed(nn.Module):
    """Registers its modules in the reverse order of the data."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.second, self.first = nn.Linear(4, 2), nn.ReLU(), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(self.second(self.first(x))))


def test_layers_are_in_the_order_of_the_data():
    model = noisify(Reversed(), sigma=0.1, inputs=INPUTS)
    assert list(noise_of(model)) == ["first", "second", "first@2"]


def test_mapping_has_the_noise_of_each_layer():
    noise = noise_of(noisy_mlp({"1": 0.1, "3": 0.2}))
    assert {name: value.sigma for name, value in noise.items()} == {"1": 0.1, "3": 0.2}
    assert len(noise) == 2
    assert "1" in noise
    assert "0" not in noise


def test_layers_without_noise_are_not_in_the_mapping():
    model = noisify(Twice(), sigma=0.1, layers="module@2", inputs=torch.ones(1, 3))
    assert list(noise_of(model)) == ["module@2"]
    with pytest.raises(KeyError, match="layer: got 'module', wanted one of module@2"):
        noise_of(model)["module"]


def test_mapping_prints_layers_with_a_short_text_for_their_noise():
    assert (
        str(noise_of(noisy_mlp({"1": 0.25, "3": torch.eye(3)})))
        == "{'1': GaussianNoise(sigma=0.25), '3': GaussianNoise(covariance of 3 units)}"
    )


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_names_of_a_wrapped_network_are_those_without_the_wrapper(wrap):
    assert list(noise_of(wrap(noisy_mlp()))) == ["1", "3"]


# Changes


def test_changed_noise_is_that_of_passes_and_measurements():
    model = noisy_mlp()
    noise_of(model)["1"] = 0.5
    # The mean of n squared standard normal values has the standard deviation sqrt(2 / n); its root has half of it.
    assert abs(noise_deviation(model, 1) / 0.5 - 1) < 5 * (0.5 / 60_000) ** 0.5
    assert abs(noise_deviation(model, 3) / 0.1 - 1) < 5 * (0.5 / 60_000) ** 0.5
    twin = noisy_mlp({"1": 0.5, "3": 0.1})
    assert torch.equal(propagate(model, INPUTS, draws=2)["3"], propagate(twin, INPUTS, draws=2)["3"])


@pytest.mark.parametrize("sigma", [0.2, torch.full((3,), 0.2), np.eye(3)], ids=["float", "deviations", "covariance"])
def test_gaussian_noise_of_each_kind_can_be_set(sigma):
    model = noisy_mlp()
    noise_of(model)["1"] = sigma
    expected = noisy_mlp({"1": sigma, "3": 0.1})
    assert torch.equal(torch.as_tensor(noise_of(model)["1"].scale), torch.as_tensor(noise_of(expected)["1"].scale))


def test_noise_of_one_call_can_be_set():
    model = noisify(Twice(), sigma=0.1, layers="module@*", inputs=torch.ones(1, 3))
    noise_of(model)["module@2"] = 0.3
    assert {name: noise.sigma for name, noise in noise_of(model).items()} == {"module": 0.1, "module@2": 0.3}


def test_mapping_includes_later_changes():
    model = noisy_mlp()
    noise = noise_of(model)
    noise_of(model)["1"] = 0.7
    assert noise["1"].sigma == 0.7


def test_key_that_is_no_name_is_refused():
    with pytest.raises(KeyError, match=r"layer: got 1, wanted one of 1, 3"):
        noise_of(noisy_mlp())[1] = 0.1


def test_mapping_includes_a_later_noisify():
    model = noisy_mlp()
    noise = noise_of(model)
    noisify(model, sigma=0.2, layers="3", inputs=INPUTS)
    noise["3"] = 0.5
    assert {name: value.sigma for name, value in noise_of(model).items()} == {"3": 0.5}
    assert list(noise) == ["3"]


def test_mapping_of_a_network_whose_noise_is_removed_cannot_be_set():
    model = noisy_mlp()
    noise = noise_of(model)
    remove_noise(model)
    with pytest.raises(KeyError, match="layer: got '1', wanted a layer of a network with noise"):
        noise["1"] = 0.5


def test_first_call_may_be_named_with_its_number():
    model = noisify(Twice(), sigma=0.1, layers="module@*", inputs=torch.ones(1, 3))
    noise_of(model)["module@1"] = 0.3
    assert noise_of(model)["module@1"] is noise_of(model)["module"]
    assert {name: noise.sigma for name, noise in noise_of(model).items()} == {"module": 0.3, "module@2": 0.1}


def test_change_of_a_copy_does_not_change_the_original():
    model = noisy_mlp()
    noise_of(copy.deepcopy(model))["1"] = 0.7
    assert noise_of(model)["1"].sigma == 0.1


@pytest.mark.parametrize("name", ["0", "absent", "1@x", "0@1"])
def test_layer_without_noise_cannot_be_set(name):
    with pytest.raises(KeyError, match=rf"layer: got '{name}', wanted one of 1, 3"):
        noise_of(noisy_mlp())[name] = 0.1


@pytest.mark.parametrize("sigma", [0.0, float("nan"), torch.tensor([0.1, -0.1, 0.1])], ids=str)
def test_noise_that_is_not_positive_cannot_be_set(sigma):
    model = noisy_mlp()
    with pytest.raises(ValueError, match=r"^sigma\['1'\]: got"):
        noise_of(model)["1"] = sigma
    assert noise_of(model)["1"].sigma == 0.1


def test_network_without_noise_is_refused():
    with pytest.raises(NoNoiseError, match=r"^model: got Sequential without noise, wanted a network from layerbits"):
        noise_of(tanh_mlp(4, 3, 2))


@pytest.mark.parametrize("call", [noise_of, lambda model: noise_off(model).__enter__()], ids=["noise_of", "noise_off"])
def test_model_that_is_no_network_is_named(call):
    with pytest.raises(TypeError, match=r"^model: got int, wanted a torch.nn.Module"):
        call(3)


@pytest.mark.parametrize("wrong", [torch.ones(7), torch.eye(2)])
def test_value_for_another_number_of_units_is_refused_at_once(wrong):
    model = noisy_mlp()
    with pytest.raises(ValueError, match=r"^sigma: got noise of \d units for '1', wanted 3 for its signal of shape"):
        noise_of(model)["1"] = wrong
    assert noise_of(model)["1"].sigma == 0.1


class Loop(nn.Module):
    """Calls one module for each token of inputs (n, tokens, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.module, self.head = nn.Tanh(), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros_like(x[:, 0])
        for token in x.unbind(1):
            state = self.module(state + token)
        return self.head(state)


@pytest.mark.parametrize("sigma", [0.2, torch.tensor([0.1, 0.2, 0.3])])
def test_longer_sequences_have_the_noise_that_was_set_for_each_observed_call(sigma):
    model = noisify(Loop(), sigma={"module": 0.1, "module@2": 0.3}, inputs=torch.ones(1, 2, 3))
    noise = noise_of(model)
    for layer in noise:
        noise[layer] = sigma
    assert not torch.equal(model(torch.ones(2, 4, 3)), model(torch.ones(2, 4, 3)))
    assert "module@4" in noise
    assert noise["module@4"] == noise["module"] == noise["module@1"]
    signals = propagate(model, torch.ones(2, 4, 3), draws=1, seed=1)
    assert list(signals) == ["module", "module@2", "module@3", "module@4"]


def test_equal_noise_in_a_mapping_covers_longer_sequences():
    model = noisify(Loop(), sigma={"module": 0.1, "module@2": 0.1}, inputs=torch.ones(1, 2, 3))
    assert not torch.equal(model(torch.ones(2, 4, 3)), model(torch.ones(2, 4, 3)))


def test_calls_that_were_not_observed_cannot_have_noise_of_their_own():
    noise = noise_of(noisify(Loop(), sigma=0.1, inputs=torch.ones(1, 2, 3)))
    assert list(noise) == ["module", "module@2"]
    with pytest.raises(KeyError, match="got 'module@3', wanted one of the 2 calls of 'module' that were observed"):
        noise["module@3"] = 0.2
    noise["module@2"] = 0.2
    assert "module@3" not in noise
    for name in ("module@0", "module@x", "head@2"):
        with pytest.raises(KeyError, match="wanted one of module, module@2"):
            noise[name]
