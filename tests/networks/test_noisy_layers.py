"""noisify: the network stays the same object with the same state; noise is changed, turned off and removed."""

import inspect

import pytest
import torch
from torch import Tensor, nn

from layerbits import LayerSelectionError, NoNoiseError, layers, noise_of, noise_off, noisify, propagate, remove_noise
from layerbits.networks import is_noisy
from tests.support.networks import Twice, tanh_mlp

SIGMA = 0.3
INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)


def mlp():
    return tanh_mlp(4, 3, 3, 2)


def scales(model):
    return {name: noise.scale for name, noise in noise_of(model).items()}


def is_random(model, x=INPUTS):
    return not torch.equal(model(x), model(x))


# Properties that stay


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.act, self.head = nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)

    def forward(self, x: Tensor, *, scale: float = 1.0) -> dict[str, Tensor]:
        return {"logits": self.head(self.act(scale * self.body(x)))}


def test_network_stays_the_same_object_class_and_signature():
    model = Classifier()
    signature = inspect.signature(model.forward)
    assert noisify(model, sigma=SIGMA, inputs=INPUTS) is model
    assert type(model) is Classifier
    assert inspect.signature(model.forward) == signature


@pytest.mark.parametrize("inputs", [None, INPUTS])
def test_state_dict_and_names_of_modules_stay(inputs):
    model, plain = mlp(), mlp()
    noisify(model, sigma=SIGMA, inputs=inputs)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in model.named_modules()] == [name for name, _ in plain.named_modules()]
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in model.state_dict().items())


def test_training_modes_stay():
    model = mlp()
    model[2].eval()
    noisify(model, sigma=SIGMA, inputs=INPUTS)
    assert [module.training for module in model] == [True, True, False, True, True]


def test_arguments_by_name_reach_the_network():
    model = Classifier()
    expected = model(x=INPUTS, scale=2.0)["logits"]
    noisify(model, sigma=1e-30)  # below half an ulp of every activation
    assert torch.equal(model(x=INPUTS, scale=2.0)["logits"], expected)
    assert list(noise_of(model)) == ["act"]


def test_inputs_may_be_arguments_by_name():
    assert list(noise_of(noisify(Classifier(), sigma=SIGMA, inputs={"x": INPUTS}))) == ["act"]


def test_network_that_is_a_part_can_be_noisy():
    model = nn.Sequential(nn.Linear(4, 4), noisify(mlp(), sigma=SIGMA, inputs=INPUTS))
    assert list(noise_of(model)) == ["1.1", "1.3"]
    assert list(propagate(model, INPUTS, draws=1)) == ["1.1", "1.3"]


def test_part_that_runs_twice_is_noisy_twice():
    class Repeating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part, self.between = noisify(mlp(), sigma=SIGMA, layers="1", inputs=INPUTS), nn.Linear(2, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.part(self.between(self.part(x)))

    model = Repeating()
    assert layers(model, INPUTS).noisy == ("part.1", "part.1@2")
    assert list(propagate(model, INPUTS, draws=1)) == ["part.1", "part.1@2"]


# The first call


def test_first_call_has_the_noise_of_a_network_observed_before():
    waiting, observed = noisify(mlp(), sigma=SIGMA), noisify(mlp(), sigma=SIGMA, inputs=INPUTS)
    torch.manual_seed(0)
    output = waiting(INPUTS)
    torch.manual_seed(0)
    assert torch.equal(output, observed(INPUTS))
    assert scales(waiting) == scales(observed) == {"1": SIGMA, "3": SIGMA}


def test_noise_is_not_known_before_the_first_call():
    model = noisify(mlp(), sigma=SIGMA)
    assert is_noisy(model)
    with pytest.raises(ValueError, match="run it once, or pass inputs= to noisify"):
        noise_of(model)


@pytest.mark.parametrize(
    "observe", [layers, lambda model, x: propagate(model, x, draws=1)], ids=["layers", "propagate"]
)
def test_a_measurement_may_come_before_the_first_call(observe):
    model = noisify(mlp(), sigma=SIGMA)
    observe(model, INPUTS)
    assert list(noise_of(model)) == ["1", "3"]


def test_error_of_the_first_call_is_raised_in_every_call():
    model = noisify(mlp(), sigma=SIGMA, layers="absent")
    for _ in range(2):
        with pytest.raises(LayerSelectionError, match="'absent' matches no layer"):
            model(INPUTS)


def test_second_call_observes_the_layers_if_the_first_has_wrong_inputs():
    model = noisify(mlp(), sigma=SIGMA)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model(torch.zeros(2, 5))
    model(INPUTS)
    assert list(noise_of(model)) == ["1", "3"]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_first_call_may_be_in_any_gradient_mode(mode):
    model = noisify(mlp(), sigma=SIGMA)
    with mode():
        model(INPUTS)
    assert list(noise_of(model)) == ["1", "3"]
    model(INPUTS).sum().backward()
    assert model[0].weight.grad is not None


# New noise in place of the old


def test_noisify_again_replaces_the_noise():
    model = noisify(mlp(), sigma=0.1, inputs=INPUTS)
    noisify(model, sigma=0.2, layers="3", inputs=INPUTS)
    assert scales(model) == {"3": 0.2}
    assert [name for name, module in model.named_modules() if module._forward_hooks] == ["", "3"]
    assert len(model._forward_hooks) == 1  # at the end of a pass


def test_noisify_again_without_inputs_replaces_the_noise_in_the_next_call():
    model = noisify(noisify(mlp(), sigma=0.1, inputs=INPUTS), sigma=0.2, layers="3")
    model(INPUTS)
    assert scales(model) == {"3": 0.2}


def test_noise_of_the_whole_replaces_that_of_a_part():
    model = nn.Sequential(noisify(mlp(), sigma=0.1), nn.Tanh(), nn.Linear(2, 2))
    noisify(model, sigma=0.2, inputs=INPUTS)
    assert scales(model) == {"0.1": 0.2, "0.3": 0.2, "1": 0.2}
    assert [name for name, module in model.named_modules() if module._forward_hooks] == ["", "0.1", "0.3", "1"]
    assert len(model._forward_hooks) == 1  # at the end of a pass


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": -1.0},
        {"sigma": {"1": 0.1}},
        {"sigma": torch.ones(7)},
        {"sigma": 0.1, "layers": "absent"},
        {"sigma": 0.1, "inputs": torch.zeros(2, 5)},
    ],
    ids=["sigma", "keys", "units", "layers", "inputs"],
)
def test_noisify_that_fails_leaves_the_old_noise(options):
    model = noisify(mlp(), sigma=0.1, inputs=INPUTS)
    with pytest.raises((ValueError, RuntimeError)):
        noisify(model, **{"inputs": INPUTS, **options})
    assert scales(model) == {"1": 0.1, "3": 0.1}
    assert is_random(model)


def test_refused_network_is_not_changed():
    model = mlp()
    with pytest.raises(LayerSelectionError):
        noisify(model, sigma=SIGMA, layers=["1", "absent"], inputs=INPUTS)
    assert not any((*module._forward_hooks, *module._forward_pre_hooks) for module in model.modules())


def test_sigma_has_no_default():
    with pytest.raises(TypeError, match="sigma"):
        noisify(mlp())


# No noise


def test_network_without_noise_gives_its_original_output():
    model = mlp()
    expected = model(INPUTS)
    noisify(model, sigma=SIGMA, inputs=INPUTS)
    with noise_off(model):
        assert torch.equal(model(INPUTS), expected)
    assert is_random(model)
    assert torch.equal(remove_noise(model)(INPUTS), expected)


@pytest.mark.parametrize("inputs", [None, INPUTS])
def test_removed_noise_leaves_no_hook(inputs):
    model = noisify(mlp(), sigma=SIGMA, inputs=inputs)
    assert remove_noise(model) is model
    assert not is_noisy(model)
    assert not any((*module._forward_hooks, *module._forward_pre_hooks) for module in model.modules())
    with pytest.raises(NoNoiseError, match=r"^model: got Sequential without noise"):
        noise_of(model)


def test_removal_leaves_the_hooks_of_the_user():
    model, calls = mlp(), []
    model[1].register_forward_hook(lambda *args: calls.append(1))
    remove_noise(noisify(model, sigma=SIGMA, inputs=INPUTS))
    calls.clear()
    model(INPUTS)
    assert calls == [1]


def test_removal_from_a_network_without_noise_does_nothing():
    assert not is_noisy(remove_noise(mlp()))


def test_first_call_within_noise_off_observes_and_has_no_noise():
    model, expected = noisify(mlp(), sigma=SIGMA), mlp()(INPUTS)
    with noise_off(model):
        assert torch.equal(model(INPUTS), expected)
    assert list(noise_of(model)) == ["1", "3"]
    assert is_random(model)


# Calls of one module


def outputs_of(model, x):
    outputs = []
    handle = model.module.register_forward_hook(lambda module, args, output: outputs.append(output))
    model(x)
    handle.remove()
    return outputs


def test_calls_that_are_not_selected_have_no_noise():
    model = noisify(Twice(), sigma=SIGMA, layers="module@2", inputs=torch.ones(1, 3))
    assert [bool(output.any()) for output in outputs_of(model, torch.zeros(4, 3))] == [False, True]


def test_call_of_a_module_outside_a_pass_does_not_shift_the_calls_of_the_next_pass():
    model = noisify(Twice(), sigma=SIGMA, layers="module@2", inputs=torch.ones(1, 3))
    with pytest.raises(LayerSelectionError, match=r"outside of a pass of the network"):
        model.module(torch.zeros(4, 3))
    assert [bool(output.any()) for output in outputs_of(model, torch.zeros(4, 3))] == [False, True]


class Repeated(nn.Module):
    """Calls one module x[0, 0] times."""

    def __init__(self) -> None:
        super().__init__()
        self.module, self.head = nn.Tanh(), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(int(x[0, 0])):
            x = self.module(x)
        return self.head(x)


def test_further_calls_of_a_module_have_the_noise_that_all_observed_calls_share():
    model = noisify(Repeated(), sigma=1e-30, inputs=torch.full((2, 3), 2.0))
    assert layers(model, torch.full((2, 3), 4.0)).noisy == ("module", "module@2", "module@3", "module@4")


def test_more_calls_than_observed_are_refused_if_calls_differ():
    model = noisify(Repeated(), sigma=SIGMA, layers="module@2", inputs=torch.full((2, 3), 2.0))
    with pytest.raises(LayerSelectionError, match="got call 3 of 'module' in a pass, wanted at most the 2"):
        model(torch.full((2, 3), 3.0))
