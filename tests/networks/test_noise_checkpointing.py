"""Activation checkpointing of noisy networks: the same gradients as without it, to the bit, or a refusal."""

import contextlib

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import (
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
)

from layerbits import DropoutNoise, noise_of, noise_off, noisify

# The pass in which noisify observes the layers has no gradients.
pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))

# Noise of the three calls of the one activation function of `Reused`.
UNIFORM = {"activation@*": 0.3}
SIGMAS = {
    "equal": UNIFORM,
    "different": {"activation": 0.1, "activation@2": 0.3, "activation@3": 0.5},
    "second call alone": {"activation@2": 0.3},
    "last call missing": {"activation": 0.1, "activation@2": 0.3},
    "dropout": {"activation": DropoutNoise(0.5, 0.3), "activation@2": 0.3, "activation@3": DropoutNoise(0.2, 0.1)},
}
any_sigma = pytest.mark.parametrize("sigma", SIGMAS.values(), ids=SIGMAS)
any_reentrant = pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])


def call(function, *args):
    return function(*args)


def checkpointed(reentrant, **options):
    return lambda function, *args: checkpoint(function, *args, use_reentrant=reentrant, **options)


def nested(reentrant):
    inner = checkpointed(reentrant)
    return lambda function, *args: inner(lambda *values: inner(function, *values), *args)


class Reused(nn.Module):
    """Calls one activation function before each of three linear layers; `run` runs the blocks.

    The linear layer stands behind the noise: its gradient needs the noisy value, which the second run computes.
    """

    def __init__(self, run=call):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.linear = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.activation, self.run = nn.Tanh(), run

    def block(self, index, x):
        return self.linear[index](self.activation(x))

    def forward(self, x):
        for index in range(3):
            x = self.run(self.block, index, x)
        return x


class Whole(Reused):
    """Runs all blocks in one checkpoint."""

    def blocks(self, x):
        for index in range(3):
            x = self.block(index, x)
        return x

    def forward(self, x):
        return self.run(self.blocks, x)


def noisy(run=call, sigma=UNIFORM, network=Reused):
    return noisify(network(run), sigma=sigma, layers=list(sigma), inputs=INPUTS)


def square(model, x):
    return model(x).square().sum()


def two_passes(model, x):
    return square(model, x) + 2 * square(model, x)


def gradients(model, loss=square, seed=3):
    """Return the gradients of a loss for the parameters and the inputs, with this seed of torch."""
    inputs = INPUTS.clone().requires_grad_()
    model.zero_grad()
    torch.manual_seed(seed)
    loss(model, inputs).backward()
    return [parameter.grad.clone() for parameter in model.parameters()] + [inputs.grad]


def assert_equal(gradients, expected):
    assert all(torch.equal(one, other) for one, other in zip(gradients, expected, strict=True))


def assert_different(gradients, others):
    assert not all(torch.equal(one, other) for one, other in zip(gradients, others, strict=True))


@any_reentrant
@any_sigma
@pytest.mark.parametrize("network", [Reused, Whole])
def test_gradients_equal_those_without_checkpoints(network, sigma, reentrant):
    model, expected = noisy(checkpointed(reentrant), sigma, network), gradients(noisy(sigma=sigma))
    for _ in range(2):  # the second step begins with what the first has left behind
        assert_equal(gradients(model), expected)


@any_reentrant
@any_sigma
def test_gradients_equal_those_of_nested_checkpoints(sigma, reentrant):
    assert_equal(gradients(noisy(nested(reentrant), sigma)), gradients(noisy(sigma=sigma)))


@any_reentrant
@any_sigma
def test_gradients_of_two_passes_equal_those_without_checkpoints(sigma, reentrant):
    expected = gradients(noisy(sigma=sigma), two_passes)
    assert_equal(gradients(noisy(checkpointed(reentrant), sigma), two_passes), expected)


def test_gradients_depend_on_the_noise():
    assert_different(gradients(noisy()), gradients(noisy(), seed=4))


@any_reentrant
def test_noise_set_by_layer_has_its_gradients(reentrant):
    models = [noisy(checkpointed(reentrant)), noisy()]
    for model in models:
        noise_of(model)["activation@2"] = 0.9
    assert_equal(*map(gradients, models))


@any_reentrant
def test_noise_set_between_the_passes_leaves_the_gradients(reentrant):
    model = noisy(checkpointed(reentrant))

    def loss_before_new_noise(model, x):
        loss = square(model, x)
        noise_of(model)["activation@2"] = 0.9
        return loss

    assert_equal(gradients(model, loss_before_new_noise), gradients(noisy()))


@any_reentrant
def test_a_step_with_other_noise_from_the_same_seed_has_its_gradients(reentrant):
    model = noisy(checkpointed(reentrant))
    gradients(model)
    noise_of(model)["activation@2"] = 0.9
    expected = noisy()
    noise_of(expected)["activation@2"] = 0.9
    assert_equal(gradients(model), gradients(expected))


def clean_then_backward(model, x):
    with noise_off(model):
        return square(model, x)


@any_reentrant
@any_sigma
def test_pass_without_noise_has_its_gradients_after_the_block(sigma, reentrant):
    model = noisy(checkpointed(reentrant), sigma)
    assert_equal(gradients(model, clean_then_backward), gradients(Reused()))


@any_reentrant
@any_sigma
def test_noisy_pass_has_its_gradients_within_noise_off(sigma, reentrant):
    model = noisy(checkpointed(reentrant), sigma)
    inputs = INPUTS.clone().requires_grad_()
    torch.manual_seed(3)
    loss = square(model, inputs)
    with noise_off(model):
        loss.backward()
    assert_equal([*(parameter.grad for parameter in model.parameters()), inputs.grad], gradients(noisy(sigma=sigma)))


@any_reentrant
def test_passes_with_and_without_noise_share_a_backward_pass(reentrant):
    def both(model, x):
        return clean_then_backward(model, x) + square(model, x)

    assert_equal(gradients(noisy(checkpointed(reentrant)), both), gradients(noisy(), both))


@any_reentrant
@pytest.mark.parametrize("validation", [torch.no_grad, contextlib.nullcontext], ids=["no_grad", "with gradients"])
def test_validation_without_noise_leaves_the_gradients_of_training(validation, reentrant):
    model = noisy(checkpointed(reentrant))

    def validate_and_train(model, x):
        with noise_off(model), validation():
            model(x)
        return square(model, x)

    for _ in range(2):
        assert_equal(gradients(model, validate_and_train), gradients(noisy()))


@any_reentrant
def test_noise_off_within_a_checkpoint_leaves_the_gradients(reentrant):
    class FirstBlockClean(Whole):
        def blocks(self, x):
            with noise_off(self):
                x = self.block(0, x)
            return self.block(2, self.block(1, x))

    def make(run):
        return noisy(run, network=FirstBlockClean)

    assert_equal(gradients(make(checkpointed(reentrant))), gradients(make(call)))


@any_reentrant
@any_sigma
def test_retained_graph_gives_the_same_gradients_again(sigma, reentrant):
    loss = square(noisy(checkpointed(reentrant), sigma), inputs := INPUTS.clone().requires_grad_())
    loss.backward(retain_graph=True)
    first, inputs.grad = inputs.grad, None
    loss.backward()
    assert torch.equal(inputs.grad, first)


@any_reentrant
def test_states_of_the_generator_that_are_not_preserved_are_refused(reentrant):
    model = noisy(checkpointed(reentrant, preserve_rng_state=False))
    with pytest.raises(ValueError, match="preserve_rng_state=False"):
        gradients(model)


def test_states_that_are_not_preserved_are_allowed_without_gradients():
    model, expected = noisy(checkpointed(False, preserve_rng_state=False)), noisy()
    with torch.no_grad():
        torch.manual_seed(3)
        output = model(INPUTS)
        torch.manual_seed(3)
        assert torch.equal(output, expected(INPUTS))


@any_reentrant
def test_gradients_of_checkpoint_sequential_equal_those_without(reentrant):
    def loss(model, x):
        return checkpoint_sequential(model, 2, x, use_reentrant=reentrant).square().sum()

    sequence = nn.Sequential(*(module for linear in Reused().linear for module in (nn.Tanh(), linear)))
    noisify(sequence, sigma=0.3, layers=nn.Tanh, inputs=INPUTS)
    assert_equal(gradients(sequence, loss), gradients(sequence))


def test_gradients_of_selective_checkpoints_equal_those_without():
    def keep_products(context, operator, *args, **kwargs):
        return operator == torch.ops.aten.addmm.default

    run = checkpointed(False, context_fn=lambda: create_selective_checkpoint_contexts(keep_products))
    assert_equal(gradients(noisy(run)), gradients(noisy()))


def test_gradients_of_a_checkpointed_transformer_equal_those_without():
    transformers = pytest.importorskip("transformers")
    settings = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 12}
    model = transformers.BertModel(transformers.BertConfig(vocab_size=11, max_position_embeddings=8, **settings))
    tokens = torch.arange(10).reshape(2, 5)
    noisify(model, sigma=0.3, layers="encoder.**intermediate_act_fn", inputs={"input_ids": tokens})

    def gradients():
        model.train().zero_grad()
        torch.manual_seed(3)
        model(tokens).last_hidden_state.square().sum().backward()
        return [parameter.grad for parameter in model.encoder.parameters()]

    expected = gradients()
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable()
    else:
        model.gradient_checkpointing_enable()
    assert_equal(gradients(), expected)
