"""Compiled noisy networks: the same noise as uncompiled, changes of the noise, and gradients."""

import shutil

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from layerbits import noise_of, noise_off, noisify, remove_noise
from tests.support.networks import tanh_mlp

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
WIDTHS = (4, 3, 3, 2)
# A compiler may add in another order: some roundings of values below 10.
ROUNDING = 100 * torch.finfo(torch.float32).eps

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # from torch's own code

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
# aot_eager does more than eager, which other tests use; inductor takes seconds.
backends = pytest.mark.parametrize(
    "backend", ["aot_eager", pytest.param("inductor", marks=[needs_compiler, pytest.mark.stress])]
)


@pytest.fixture(autouse=True)
def _compile_anew():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class Reused(nn.Module):
    """Calls one activation function before each of two calls of a linear layer."""

    def __init__(self, reentrant=None):
        super().__init__()
        self.linear, self.activation, self.reentrant = tanh_mlp(4, 4)[0], nn.Tanh(), reentrant

    def block(self, x):
        return self.linear(self.activation(self.linear(self.activation(x))))

    def forward(self, x):
        if self.reentrant is None:
            return self.block(x)
        return checkpoint(self.block, x, use_reentrant=self.reentrant)


def noisy_network(sigma=0.3, model=None):
    return noisify(model or tanh_mlp(*WIDTHS), sigma=sigma, inputs=INPUTS)


def compiled(model, backend="eager"):
    return torch.compile(model, fullgraph=True, backend=backend)


def output(model, seed=3):
    torch.manual_seed(seed)
    return model(INPUTS)


def assert_close(tensor, expected):
    torch.testing.assert_close(tensor, expected, rtol=ROUNDING, atol=ROUNDING)


def output_without_noise():
    return tanh_mlp(*WIDTHS)(INPUTS)


@backends
def test_compiled_noise_equals_uncompiled_noise(backend):
    model = compiled(noisy_network(), backend)
    assert_close(output(model), output(noisy_network()))
    assert_close(output(model, seed=4), output(noisy_network(), seed=4))


@backends
def test_network_made_noisy_after_its_compiled_call_has_the_same_noise(backend):
    model = compiled(tanh_mlp(*WIDTHS), backend)
    assert_close(output(model), output_without_noise())
    noisify(model, sigma=0.3, inputs=INPUTS)
    assert_close(output(model), output(noisy_network()))


@backends
def test_compiled_gradients_equal_uncompiled_gradients(backend):
    models = noisy_network(), noisy_network()
    for model in (compiled(models[0], backend), models[1]):
        output(model).square().sum().backward()
    for parameter, expected in zip(*(model.parameters() for model in models), strict=True):
        assert_close(parameter.grad, expected.grad)


class Branches(nn.Module):
    """Returns two noisy values of one signal: of two modules, or of two calls of one module."""

    def __init__(self, same_module):
        super().__init__()
        self.first = nn.Tanh()
        self.second = self.first if same_module else nn.Tanh()

    def forward(self, x):
        return torch.stack([self.first(x), self.second(x)])


@pytest.mark.parametrize("same_module", [False, True])
@backends
def test_equal_signals_have_independent_noise(backend, same_module):
    """torch.compile merges equal calls of an operator in a graph with gradients."""
    model = compiled(noisify(Branches(same_module), sigma=0.3, layers="*@*", inputs=INPUTS), backend)
    first, second = model(INPUTS.clone().requires_grad_())
    assert not torch.equal(first, second)


def test_noise_breaks_no_graph():
    explanation = torch._dynamo.explain(noisy_network())(INPUTS)
    assert (explanation.graph_count, explanation.graph_break_count) == (1, 0)


def compiled_after_a_call(model):
    """Return the compiled network after one call."""
    model = compiled(model)
    output(model)
    return model


def test_other_sigma_takes_effect_after_a_compiled_call():
    model = compiled_after_a_call(noisy_network())
    noisify(model, sigma=0.7, inputs=INPUTS)
    assert_close(output(model), output(noisy_network(0.7)))


def test_other_layers_take_effect_after_a_compiled_call():
    model = compiled_after_a_call(noisy_network())
    noisify(model, sigma=0.3, layers="3", inputs=INPUTS)
    assert_close(output(model), output(noisify(tanh_mlp(*WIDTHS), sigma=0.3, layers="3", inputs=INPUTS)))


def test_noise_of_a_layer_takes_effect_after_a_compiled_call():
    model = compiled_after_a_call(noisy_network())
    noise_of(model)["1"] = 0.7
    assert_close(output(model), output(noisy_network({"1": 0.7, "3": 0.3})))


def test_removed_noise_takes_effect_after_a_compiled_call():
    model = compiled_after_a_call(noisy_network())
    remove_noise(model)
    assert_close(output(model), output_without_noise())


def test_noise_off_and_its_end_take_effect_after_a_compiled_call():
    model = compiled(noisy_network(), "aot_eager")
    output(model)
    with noise_off(model):
        assert_close(output(model), output_without_noise())
    assert_close(output(model), output(noisy_network()))


def test_call_within_noise_off_does_not_use_the_generator():
    model = compiled_after_a_call(noisy_network())
    with noise_off(model):
        output(model)
        state = torch.get_rng_state()
        model(INPUTS)
    assert torch.equal(torch.get_rng_state(), state)


def test_network_compiled_in_place_changes_its_noise():
    class Network(nn.Sequential):
        def forward(self, x):  # torch compiles no forward of its own classes by itself
            return super().forward(x)

    model = noisy_network(model=Network(*tanh_mlp(*WIDTHS)))
    model.compile(backend="eager", fullgraph=True)
    assert_close(output(model), output(noisy_network()))
    noise_of(model)["3"] = 0.7
    assert_close(output(model), output(noisy_network({"1": 0.3, "3": 0.7})))
    remove_noise(model)
    assert_close(output(model), output_without_noise())


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch._dynamo reads it
def test_network_with_compiled_modules_changes_its_noise():
    model = tanh_mlp(*WIDTHS)
    model[2] = torch.compile(model[2], backend="eager")
    model[3].compile(backend="eager")
    noisy_network(model=model)
    assert_close(output(model), output(noisy_network()))
    noise_of(model)["3"] = 0.7
    assert_close(output(model), output(noisy_network({"1": 0.3, "3": 0.7})))
    remove_noise(model)
    assert_close(output(model), output_without_noise())


SIGMAS = {"units": torch.tensor([0.1, 0.2, 0.3]), "covariance": torch.tensor([[1.0, 0.5, 0], [0.5, 1, 0], [0, 0, 2]])}


@pytest.mark.parametrize("sigma", SIGMAS.values(), ids=SIGMAS)
def test_noise_that_is_not_isotropic_equals_uncompiled_noise(sigma):
    model = compiled(noisy_network(sigma), "aot_eager")
    for seed in (3, 4):
        assert_close(output(model, seed), output(noisy_network(sigma), seed))


@pytest.mark.parametrize(
    ("sigma", "backend"),
    [({"activation": 0.1, "activation@2": 0.9}, "aot_eager"), ({"activation@2": 0.9}, "eager")],
    ids=["two", "one"],
)
def test_calls_of_a_module_have_their_own_noise(sigma, backend):
    plain = noisify(Reused(), sigma=sigma, layers=list(sigma), inputs=INPUTS)
    model = compiled(noisify(Reused(), sigma=sigma, layers=list(sigma), inputs=INPUTS), backend)
    for seed in (3, 4, 5):  # calls are counted anew in each pass
        assert_close(output(model, seed), output(plain, seed))


def gradient(function, model, backward_off=False):
    inputs = INPUTS.clone().requires_grad_()
    torch.manual_seed(3)
    loss = function(inputs).square().sum()
    if backward_off:
        with noise_off(model):
            loss.backward()
    else:
        loss.backward()
    return inputs.grad


def reused(sigma=0.3, reentrant=None):
    return noisify(Reused(reentrant), sigma=sigma, layers="activation@*", inputs=INPUTS)


SIGMA_OF_CALLS = {"activation": 0.1, "activation@2": 0.9}


@pytest.mark.parametrize("backward_off", [False, True], ids=["on", "off"])
def test_gradients_of_a_checkpoint_in_compiled_code_equal_those_without_checkpoint(backward_off):
    model = reused(reentrant=False)
    assert_close(gradient(compiled(model, "aot_eager"), model, backward_off), gradient(plain := reused(), plain))


def test_validation_without_noise_does_not_change_the_gradients_of_a_compiled_checkpoint():
    model = reused(reentrant=False)
    function = compiled(model, "aot_eager")
    with noise_off(model):
        function(INPUTS)
    assert_close(gradient(function, model), gradient(plain := reused(), plain))


def test_checkpoint_for_which_compiled_code_saves_no_generator_state_is_refused():
    model = reused(reentrant=False)
    with pytest.raises(ValueError, match=r"compiled by the backend 'eager', .* wanted the backend 'aot_eager' or"):
        gradient(compiled(model), model)


def test_checkpoint_in_compiled_code_with_noise_that_differs_by_call_is_refused():
    model = reused(SIGMA_OF_CALLS, reentrant=False)
    with pytest.raises(Exception, match=r"^layers: got 'activation', whose calls differ in their noise, in a check"):
        gradient(compiled(model, "aot_eager"), model)
    grad = gradient(torch.compile(model, backend="aot_eager"), model)
    assert_close(grad, gradient(plain := reused(SIGMA_OF_CALLS), plain))


def test_checkpoint_in_compiled_code_around_functions_is_refused():
    class Block(nn.Sequential):
        def forward(self, x):
            return torch.tanh(super().forward(x))

    class Checkpointed(Block):
        def forward(self, x):
            return checkpoint(self[0], x, use_reentrant=False).square()

    model = noisify(Checkpointed(Block(nn.Linear(4, 3))), sigma=0.3, inputs=INPUTS)
    with pytest.raises(
        Exception, match=r"^layers: got Block, in a network whose functions are layers, in a checkpoint"
    ):
        gradient(compiled(model, "aot_eager"), model)


# Each pair of values; tests/networks/test_noise_checkpointing.py has all combinations without a compiler.
@pytest.mark.parametrize(
    ("sigma", "backward_off", "reentrant"),
    [(0.3, False, False), (0.3, True, True), (SIGMA_OF_CALLS, False, True), (SIGMA_OF_CALLS, True, False)],
    ids=["equal-on-non-reentrant", "equal-off-reentrant", "different-on-reentrant", "different-off-non-reentrant"],
)
def test_gradients_of_a_checkpointed_compiled_network_equal_those_without_checkpoint(sigma, backward_off, reentrant):
    model = reused(sigma)
    function = compiled(model)
    grad = gradient(lambda x: checkpoint(function, x, use_reentrant=reentrant), model, backward_off)
    assert_close(grad, gradient(plain := reused(sigma), plain))
