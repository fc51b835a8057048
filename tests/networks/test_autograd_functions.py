"""Autograd functions outside torch that run layers again in their backward pass: the same noise, or a refusal."""

import contextlib
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from layerbits import LayerSelectionError, noise_of, noise_off, noisify, remove_noise

pytestmark = pytest.mark.filterwarnings(
    "ignore:None of the inputs have requires_grad",  # in the pass without gradients
    "ignore:.*should not be instantiated:DeprecationWarning",  # by torch._dynamo
    "ignore:The .grad attribute of a Tensor that is not a leaf",
    "ignore::DeprecationWarning:torch",
)

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
SIGMAS = {"equal": {"activation@*": 0.3}, "different": {"activation": 0.1, "activation@2": 0.5}}
any_sigma = pytest.mark.parametrize("sigma", SIGMAS.values(), ids=SIGMAS)


class Recomputed(torch.autograd.Function):
    """Runs a function without gradients, and again in the backward pass, as reentrant checkpoints do."""

    @staticmethod
    def forward(ctx, function, restores, x, *parameters):
        ctx.function, ctx.state = function, torch.get_rng_state() if restores else None
        ctx.save_for_backward(x, *parameters)
        return function(x)

    @staticmethod
    def backward(ctx, gradient):
        x, *parameters = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad(), torch.random.fork_rng(enabled=ctx.state is not None):
            if ctx.state is not None:
                torch.set_rng_state(ctx.state)
            output = ctx.function(x)
        return (None, None, *torch.autograd.grad(output, [x, *parameters], gradient))


class WithoutContext(Recomputed):
    """The same with `setup_context`: the forward method has no context."""

    @staticmethod
    def forward(function, restores, x, *parameters):
        return function(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.function, ctx.state = inputs[0], torch.get_rng_state()
        ctx.save_for_backward(*inputs[2:])


class Network(nn.Module):
    """Calls one activation function before each of two linear layers; `run` runs both."""

    def __init__(self, run=None):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.linear, self.activation = nn.ModuleList(nn.Linear(4, 4) for _ in range(2)), nn.Tanh()
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.run = run or (lambda function, x, parameters: function(x))

    def blocks(self, x):
        return self.linear[1](self.activation(self.linear[0](self.activation(x))))

    def forward(self, x):
        return self.run(self.blocks, x, list(self.parameters()))


def recomputed(function, x, parameters, *, restores=True, recomputation=Recomputed):
    return recomputation.apply(function, restores, x, *parameters)


without_restoring = functools.partial(recomputed, restores=False)


def in_checkpoint(reentrant):
    def run(function, x, parameters):
        parameters = list(parameters)
        return checkpoint(lambda x: recomputed(function, x, parameters), x, use_reentrant=reentrant)

    return run


def noisy(run=None, sigma=SIGMAS["equal"]):
    return noisify(Network(run), sigma=sigma, layers=list(sigma), inputs=INPUTS)


def loss_of(model, seed=3):
    """Return a loss of a pass with this seed of torch; generators go on to other numbers afterwards."""
    torch.manual_seed(seed)
    loss = model(INPUTS.clone().requires_grad_()).square().sum()
    torch.rand(5)
    return loss


def gradients(model, forward=contextlib.nullcontext, backward=contextlib.nullcontext):
    model.zero_grad()
    with forward():
        loss = loss_of(model)
    with backward():
        loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def assert_equal(gradients, expected):
    assert all(torch.equal(*pair) for pair in zip(gradients, expected, strict=True))


@any_sigma
@pytest.mark.parametrize(
    "run", [recomputed, in_checkpoint(False), in_checkpoint(True)], ids=["alone", "non-reentrant", "reentrant"]
)
def test_gradients_of_a_recomputation_equal_those_without(run, sigma):
    model = noisy(run, sigma)
    for _ in range(2):  # the second step fails if the first leaves state behind
        assert_equal(gradients(model), gradients(noisy(sigma=sigma)))


@pytest.mark.parametrize("restores", [True, False])
def test_recomputation_of_a_compiled_part_repeats_its_noise_or_is_refused(restores):
    def compiled(function, x, parameters):
        return recomputed(torch.compile(function, backend="aot_eager"), x, parameters, restores=restores)

    model = noisy(compiled)
    if restores:
        assert_equal(gradients(model), gradients(noisy()))
    else:
        with pytest.raises(LayerSelectionError, match="in the backward pass of the autograd function"):
            gradients(model)


@any_sigma
@pytest.mark.parametrize("run", [recomputed, without_restoring])
def test_pass_without_noise_has_its_gradients_after_noise_off_ends(run, sigma):
    model = noisy(run, sigma)
    assert_equal(gradients(model, forward=lambda: noise_off(model)), gradients(Network()))


def test_noisy_pass_has_its_gradients_within_noise_off():
    model = noisy(recomputed)
    assert_equal(gradients(model, backward=lambda: noise_off(model)), gradients(noisy()))


def test_noise_set_before_the_backward_pass_does_not_change_the_gradients():
    model = noisy(recomputed)

    @contextlib.contextmanager
    def other_noise():
        noise_of(model)["activation@2"] = 0.9
        yield

    assert_equal(gradients(model, backward=other_noise), gradients(noisy()))


@pytest.mark.parametrize("change", [remove_noise, lambda model: noisify(model, sigma=0.1, inputs=INPUTS)])
def test_other_noise_before_the_backward_pass_is_refused(change):
    model = noisy(recomputed)
    loss = loss_of(model)
    with pytest.raises(ValueError, match=r"^model: got a network with a checkpointed pass"):
        change(model)
    loss.backward()
    change(model)


@any_sigma
def test_recomputation_that_does_not_restore_the_generator_is_refused(sigma):
    loss = loss_of(noisy(without_restoring, sigma))
    with pytest.raises(LayerSelectionError, match=r"^layers: got 'activation' in the backward pass of the autograd fu"):
        loss.backward()


def test_recomputation_without_a_context_in_forward_is_refused():
    loss = loss_of(noisy(lambda *arguments: recomputed(*arguments, recomputation=WithoutContext)))
    with pytest.raises(LayerSelectionError, match=r"'WithoutContext' .*in forward\(ctx, \.\.\.\)"):
        loss.backward()


class InReverse(torch.autograd.Function):
    """Two residual steps, of which the backward pass runs the last first, as reversible networks do."""

    @staticmethod
    def forward(ctx, steps, x):
        ctx.steps, ctx.states, ctx.values = steps, [], []
        for step in steps:
            ctx.states.append(torch.get_rng_state())
            ctx.values.append(x)
            x = x + step(x)
        return x

    @staticmethod
    def backward(ctx, gradient):
        for step, state, value in zip(ctx.steps[::-1], ctx.states[::-1], ctx.values[::-1], strict=True):
            value = value.detach().requires_grad_()
            with torch.enable_grad():
                torch.set_rng_state(state)
                output = value + step(value)
            (gradient,) = torch.autograd.grad(output, value, gradient)
        return None, gradient


class Reversible(nn.Module):
    def __init__(self, in_reverse):
        super().__init__()
        self.activation, self.in_reverse = nn.Tanh(), in_reverse

    def forward(self, x):
        if self.in_reverse:
            return InReverse.apply([self.step, self.step], x)
        return (x := x + self.step(x)) + self.step(x)

    def step(self, x):
        return self.activation(x).square()


def test_calls_that_are_recomputed_in_reverse_have_their_own_noise():
    grads = []
    for in_reverse in (False, True):
        model = noisify(Reversible(in_reverse), sigma=SIGMAS["different"], inputs=INPUTS)
        x = INPUTS.clone().requires_grad_()
        torch.manual_seed(3)
        model(x).square().sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(*grads, rtol=1e-5, atol=0)  # sums of positive and negative terms, some roundings


class Block(nn.Module):
    """Calls a function in a method that `run` runs."""

    def __init__(self, run):
        super().__init__()
        self.linear, self.run = nn.Linear(4, 4), run

    def method(self, x):
        return functional.relu(self.linear(x))

    def forward(self, x):
        return self.run(self.method, x, list(self.parameters()))


class Sigmoid(torch.autograd.Function):
    """A function of torch with a formula for its gradient."""

    @staticmethod
    def forward(ctx, function, restores, x, *parameters):
        ctx.save_for_backward(output := torch.sigmoid(x))
        return output

    @staticmethod
    def backward(ctx, gradient):
        (output,) = ctx.saved_tensors
        return None, None, gradient * output * (1 - output), None, None


def noisy_block(run, layer):
    return noisify(nn.Sequential(nn.Linear(4, 4), Block(run), nn.Linear(4, 4)), sigma=0.3, layers=layer, inputs=INPUTS)


with_formula = functools.partial(recomputed, recomputation=Sigmoid)


@pytest.mark.parametrize("compiled", [False, True], ids=["uncompiled", "compiled"])
@pytest.mark.parametrize(("run", "layer"), [(recomputed, "1.relu"), (with_formula, "1.sigmoid")])
def test_function_of_forward_in_an_autograd_function_is_refused(run, layer, compiled):
    model = noisy_block(run, layer)
    with pytest.raises(LayerSelectionError, match=rf"the function '{layer[2:]}' in an autograd function in forward of"):
        loss_of(torch.compile(model, backend="eager") if compiled else model)


def test_function_of_forward_in_an_autograd_function_has_noise_without_gradients():
    model = noisy_block(recomputed, "1.relu")
    with torch.no_grad():
        assert not model(INPUTS).equal(model(INPUTS))
        with noise_off(model):
            assert model(INPUTS).equal(model(INPUTS))


def test_gradients_of_a_recomputed_module_with_functions_equal_those_without():
    def run_block(block, x, recompute):
        return recomputed(block, x, block.parameters()) if recompute else block(x)

    class Outer(nn.Module):
        def __init__(self, recompute):
            super().__init__()
            self.block, self.recompute = Block(lambda method, x, parameters: method(x)), recompute

        def forward(self, x):
            return run_block(self.block, x, self.recompute)

    models = [Outer(False), Outer(True)]
    models[1].load_state_dict(models[0].state_dict())
    expected, found = (gradients(noisify(model, sigma=0.3, layers="block.relu", inputs=INPUTS)) for model in models)
    assert_equal(found, expected)
