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
from tests.support.vision import import_transformers

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

    Each linear layer follows noise: its gradient needs the noisy value, which the second run computes.
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


def noisy_network(run=call, sigma=UNIFORM, network=Reused):
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
    assert all(torch.equal(*pair) for pair in zip(gradients, expected, strict=True))


@any_reentrant
@any_sigma
@pytest.mark.parametrize("network", [Reused, Whole])
def test_gradients_equal_those_without_checkpoints(network, sigma, reentrant):
    model, expected = noisy_network(checkpointed(reentrant), sigma, network), gradients(noisy_network(sigma=sigma))
    for _ in range(2):  # the second step fails if the first leaves state behind
        assert_equal(gradients(model), expected)


@any_reentrant
@any_sigma
def test_gradients_of_nested_checkpoints_equal_those_without_checkpoints(sigma, reentrant):
    assert_equal(gradients(noisy_network(nested(reentrant), sigma)), gradients(noisy_network(sigma=sigma)))


@any_reentrant
@any_sigma
def test_gradients_of_two_passes_equal_those_without_checkpoints(sigma, reentrant):
    expected = gradients(noisy_network(sigma=sigma), two_passes)
    assert_equal(gradients(noisy_network(checkpointed(reentrant), sigma), two_passes), expected)


def test_gradients_depend_on_the_noise():
    pairs = zip(gradients(noisy_network()), gradients(noisy_network(), seed=4), strict=True)
    assert not any(torch.equal(*pair) for pair in pairs)


@any_reentrant
def test_noise_set_before_the_pass_has_the_gradients_without_checkpoints(reentrant):
    models = [noisy_network(checkpointed(reentrant)), noisy_network()]
    for model in models:
        noise_of(model)["activation@2"] = 0.9
    assert_equal(*map(gradients, models))


@any_reentrant
def test_noise_set_before_the_backward_pass_does_not_change_the_gradients(reentrant):
    model = noisy_network(checkpointed(reentrant))

    def loss_before_new_noise(model, x):
        loss = square(model, x)
        noise_of(model)["activation@2"] = 0.9
        return loss

    assert_equal(gradients(model, loss_before_new_noise), gradients(noisy_network()))


@any_reentrant
def test_a_second_step_with_other_noise_has_the_gradients_of_that_noise(reentrant):
    model = noisy_network(checkpointed(reentrant))
    gradients(model)
    noise_of(model)["activation@2"] = 0.9
    expected = noisy_network()
    noise_of(expected)["activation@2"] = 0.9
    assert_equal(gradients(model), gradients(expected))


def loss_without_noise(model, x):
    with noise_off(model):
        return square(model, x)


@any_reentrant
@any_sigma
def test_pass_without_noise_has_its_gradients_after_noise_off_ends(sigma, reentrant):
    model = noisy_network(checkpointed(reentrant), sigma)
    assert_equal(gradients(model, loss_without_noise), gradients(Reused()))


@any_reentrant
@any_sigma
def test_noisy_pass_has_its_gradients_within_noise_off(sigma, reentrant):
    model = noisy_network(checkpointed(reentrant), sigma)
    inputs = INPUTS.clone().requires_grad_()
    torch.manual_seed(3)
    loss = square(model, inputs)
    with noise_off(model):
        loss.backward()
    assert_equal(
        [*(parameter.grad for parameter in model.parameters()), inputs.grad], gradients(noisy_network(sigma=sigma))
    )


@any_reentrant
def test_passes_with_and_without_noise_share_a_backward_pass(reentrant):
    def both(model, x):
        return loss_without_noise(model, x) + square(model, x)

    assert_equal(gradients(noisy_network(checkpointed(reentrant)), both), gradients(noisy_network(), both))


@any_reentrant
@pytest.mark.parametrize("validation", [torch.no_grad, contextlib.nullcontext], ids=["no_grad", "with gradients"])
def test_validation_without_noise_does_not_change_the_gradients_of_training(validation, reentrant):
    model = noisy_network(checkpointed(reentrant))

    def validate_and_train(model, x):
        with noise_off(model), validation():
            model(x)
        return square(model, x)

    for _ in range(2):
        assert_equal(gradients(model, validate_and_train), gradients(noisy_network()))


@any_reentrant
def test_noise_off_within_a_checkpoint_has_the_gradients_without_checkpoints(reentrant):
    class FirstBlockWithoutNoise(Whole):
        def blocks(self, x):
            with noise_off(self):
                x = self.block(0, x)
            return self.block(2, self.block(1, x))

    def make(run):
        return noisy_network(run, network=FirstBlockWithoutNoise)

    assert_equal(gradients(make(checkpointed(reentrant))), gradients(make(call)))


@any_reentrant
@any_sigma
def test_retained_graph_gives_the_same_gradients_again(sigma, reentrant):
    loss = square(noisy_network(checkpointed(reentrant), sigma), inputs := INPUTS.clone().requires_grad_())
    loss.backward(retain_graph=True)
    first, inputs.grad = inputs.grad, None
    loss.backward()
    assert torch.equal(inputs.grad, first)


@any_reentrant
def test_states_of_the_generator_that_are_not_preserved_are_refused(reentrant):
    model = noisy_network(checkpointed(reentrant, preserve_rng_state=False))
    with pytest.raises(ValueError, match="preserve_rng_state=False"):
        gradients(model)


def test_states_of_the_generator_need_not_be_preserved_without_gradients():
    model, expected = noisy_network(checkpointed(False, preserve_rng_state=False)), noisy_network()
    with torch.no_grad():
        torch.manual_seed(3)
        output = model(INPUTS)
        torch.manual_seed(3)
        assert torch.equal(output, expected(INPUTS))


@any_reentrant
def test_gradients_of_checkpoint_sequential_equal_those_without_checkpoints(reentrant):
    def loss(model, x):
        return checkpoint_sequential(model, 2, x, use_reentrant=reentrant).square().sum()

    sequence = nn.Sequential(*(module for linear in Reused().linear for module in (nn.Tanh(), linear)))
    noisify(sequence, sigma=0.3, layers=nn.Tanh, inputs=INPUTS)
    assert_equal(gradients(sequence, loss), gradients(sequence))


def test_gradients_of_selective_checkpoints_equal_those_without_checkpoints():
    def keep_products(context, operator, *args, **kwargs):
        return operator == torch.ops.aten.addmm.default

    run = checkpointed(False, context_fn=lambda: create_selective_checkpoint_contexts(keep_products))
    assert_equal(gradients(noisy_network(run)), gradients(noisy_network()))


def test_gradients_of_a_checkpointed_transformer_equal_those_without_checkpoints():
    transformers = import_transformers()

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
