"""Blocks of `noise_off` in which the noise changes, and blocks of generators that other threads close."""

import contextlib
import threading

import pytest
import torch
from torch import nn

from layerbits import (
    LayerSelectionError,
    layer_information,
    mixture_information,
    noise_off,
    noisify,
    remove_noise,
)
from tests.support.networks import tanh_mlp

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


def mlp():
    return tanh_mlp(4, 3, 3, 2)


def is_noisy(model):
    return not torch.equal(model(INPUTS), model(INPUTS))


NETWORKS = {
    "without noise": mlp,
    "noisy": lambda: noisify(mlp(), sigma=0.3, inputs=INPUTS),
    "waiting": lambda: noisify(mlp(), sigma=0.3),
}


@pytest.mark.parametrize("inputs", [INPUTS, None], ids=["observed", "waiting"])
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_noise_that_is_added_within_noise_off_is_off_until_the_block_ends(make, inputs):
    model = make()
    with noise_off(model):
        noisify(model, sigma=0.5, inputs=inputs)
        assert not is_noisy(model)
    assert is_noisy(model)


def test_noise_of_a_part_that_is_added_within_noise_off_of_the_whole_is_off_until_the_block_ends():
    part = mlp()
    whole = nn.Sequential(part, nn.Identity())
    with noise_off(whole):
        noisify(part, sigma=0.5, inputs=INPUTS)
        assert not is_noisy(whole)
    assert is_noisy(whole)


@pytest.mark.parametrize("inputs", [INPUTS, None], ids=["observed", "waiting"])
def test_noise_of_the_whole_within_noise_off_of_a_part_is_refused(inputs):
    part = noisify(mlp(), sigma=0.3, inputs=INPUTS)
    whole = nn.Sequential(part, nn.Identity())
    with noise_off(part), pytest.raises(ValueError, match=r"^model: got Sequential, which contains the Sequential of"):
        noisify(whole, sigma=0.5, inputs=inputs)(INPUTS)
    noisify(whole, sigma=0.5, inputs=inputs)
    assert is_noisy(whole)


def test_noise_that_is_removed_and_added_within_noise_off_is_off():
    model = noisify(mlp(), sigma=0.3, inputs=INPUTS)
    with noise_off(model):
        noisify(remove_noise(model), sigma=0.5, inputs=INPUTS)
        assert not is_noisy(model)


def test_other_network_that_becomes_noisy_within_noise_off_is_noisy():
    with noise_off(mlp()):
        assert is_noisy(noisify(mlp(), sigma=0.5, inputs=INPUTS))


def test_block_of_a_generator_that_another_thread_closes_ends_in_both_threads():
    model = noisify(mlp(), sigma=0.3, inputs=INPUTS)

    def block():
        with noise_off(model):
            yield

    generator, noisy = block(), []
    next(generator)
    assert not is_noisy(model)

    def close():
        generator.close()
        noisy.append(is_noisy(model))
        with noise_off(model):
            noisy.append(is_noisy(model))

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert noisy == [True, False]
    assert is_noisy(model)


def test_one_block_may_be_entered_again_and_within_itself_and_decorate_functions():
    model = noisify(mlp(), sigma=0.3, inputs=INPUTS)
    block = noise_off(model)
    for _ in range(2):
        with block:
            with block:
                assert not is_noisy(model)
            assert not is_noisy(model)
        assert is_noisy(model)
    without_noise = block(is_noisy)
    assert [without_noise(model), without_noise(model), is_noisy(model)] == [False, False, True]


def test_threads_that_share_one_block_leave_it_apart():
    model = noisify(mlp(), sigma=0.3, inputs=INPUTS)
    block, noisy = noise_off(model), []

    def enter_and_leave():
        noisy.append(is_noisy(model))
        with block:
            noisy.append(is_noisy(model))
        noisy.append(is_noisy(model))

    with block:
        thread = threading.Thread(target=enter_and_leave)
        thread.start()
        thread.join()
        assert not is_noisy(model)
    assert noisy == [True, False, True]
    assert is_noisy(model)


def generator():
    yield


async def coroutine():
    pass


async def asynchronous_generator():
    yield


@pytest.mark.parametrize("function", [generator, coroutine, asynchronous_generator])
def test_function_whose_body_runs_after_its_call_is_not_decorated(function):
    """The block would end before the body runs."""
    with pytest.raises(TypeError, match=r"^noise_off: got a generator or async function .* into its body$"):
        noise_off(mlp())(function)


def test_exit_without_an_entry_is_refused():
    block = noise_off(mlp())
    with block:
        pass
    with pytest.raises(RuntimeError, match=r"^noise_off: got an exit without an entry, wanted one exit for each entry"):
        block.__exit__(None, None, None)


class PartlyOff(nn.Module):
    """Turns its own noise off at its first layer, always or in evaluation alone."""

    def __init__(self, always):
        super().__init__()
        self.always, self.first, self.second = always, nn.Tanh(), nn.Tanh()

    def forward(self, x):
        with noise_off(self) if self.always or not self.training else contextlib.nullcontext():
            x = self.first(x)
        return self.second(x) + 0


def test_layer_whose_noise_forward_turns_off_is_no_noisy_layer_of_a_measurement():
    model = noisify(PartlyOff(always=True), sigma=0.5, inputs=INPUTS)
    with pytest.warns(UserWarning, match=r"^layers: None leaves out first, whose noise the forward .* turns off"):
        table = layer_information(model, INPUTS, queries=1000)
    assert table.layers == ("second",)
    expected = mixture_information(torch.tanh(torch.tanh(INPUTS)), sigma=0.5)
    assert table["second", "I(X;T)"].lower <= expected.upper
    assert expected.lower <= table["second", "I(X;T)"].upper


def test_network_that_turns_all_noise_off_in_evaluation_is_refused():
    model = noisify(PartlyOff(always=False), sigma=0.5, layers="first", inputs=INPUTS)
    with pytest.raises(LayerSelectionError, match=r"its forward turns the noise off .* or measure with sigma="):
        layer_information(model, INPUTS)
    assert layer_information(PartlyOff(always=False), INPUTS, sigma=0.5).layers == ("first", "second")
