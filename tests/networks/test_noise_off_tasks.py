"""Tasks, callbacks and threads that begin in a block of `noise_off` have no noise until the block ends."""

import asyncio
import contextlib
import contextvars
import threading

import torch
from torch.utils.checkpoint import checkpoint

from layerbits import layer_information, noise_off, noisify
from tests.support.networks import tanh_mlp

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
TIMEOUT = 60  # seconds; a test that waits for a task fails after this time


def noisy_network():
    return noisify(tanh_mlp(4, 3, 3, 2), sigma=0.3, inputs=INPUTS)


def is_noisy(model):
    return not torch.equal(model(INPUTS), model(INPUTS))


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, TIMEOUT))


async def states_of_task(model, gate):
    """Return whether the network is noisy before the gate opens, and after."""
    before = is_noisy(model)
    await gate.wait()
    return before, is_noisy(model)


async def start(model, gate):
    task = asyncio.create_task(states_of_task(model, gate))
    await asyncio.sleep(0)  # the task runs until it waits
    return task


def test_task_has_no_noise_until_the_block_ends():
    model = noisy_network()

    async def main():
        gate = asyncio.Event()
        with noise_off(model):
            task = await start(model, gate)
        gate.set()
        return await task

    assert run(main()) == (False, True)


def test_task_has_noise_after_an_exception_ends_the_block():
    model = noisy_network()

    async def main():
        gate = asyncio.Event()
        with contextlib.suppress(KeyError), noise_off(model):
            task = await start(model, gate)
            raise KeyError
        gate.set()
        return await task

    assert run(main()) == (False, True)


def test_task_of_a_nested_block_has_noise_after_the_outer_block():
    model = noisy_network()

    async def main():
        outer_gate, inner_gate = asyncio.Event(), asyncio.Event()
        block = noise_off(model)
        with block:
            with block:
                tasks = [await start(model, inner_gate), await start(model, outer_gate)]
            inner_gate.set()
            await tasks[0]
        outer_gate.set()
        return [await task for task in tasks]

    assert run(main()) == [(False, False), (False, True)]


def test_task_that_is_in_a_block_of_its_own_has_no_noise_until_this_block_ends():
    model = noisy_network()

    async def within(block, gate):
        with block:
            await gate.wait()
            noisy_within = is_noisy(model)
        return noisy_within, is_noisy(model)

    async def main():
        gate, block = asyncio.Event(), noise_off(model)
        with block:
            task = asyncio.create_task(within(block, gate))
            await asyncio.sleep(0)
        noisy_here = is_noisy(model)
        gate.set()
        return noisy_here, await task

    assert run(main()) == (True, (False, True))


def test_callback_and_thread_have_noise_after_the_block():
    model, started, ended = noisy_network(), threading.Event(), threading.Event()

    def in_thread():
        before = is_noisy(model)
        started.set()
        assert ended.wait(TIMEOUT)
        return before, is_noisy(model)

    async def main():
        loop = asyncio.get_running_loop()
        called = loop.create_future()
        with noise_off(model):
            thread = asyncio.create_task(asyncio.to_thread(in_thread))
            while not started.is_set():
                await asyncio.sleep(0.001)
            loop.call_soon(lambda: called.set_result(is_noisy(model)))
        ended.set()
        return await called, await thread

    assert run(main()) == (True, (False, True))


def test_measurement_in_a_task_that_outlives_the_block_equals_others():
    model = noisy_network()

    def intervals():
        return [(row.lower, row.upper) for row in layer_information(model, INPUTS, draws=4)]

    with noise_off(model):
        context = contextvars.copy_context()
    assert context.run(intervals) == intervals()


def test_compiled_network_has_noise_after_the_block_that_a_context_inherits():
    model = noisy_network()
    compiled = torch.compile(model, backend="aot_eager")
    with noise_off(model):
        context = contextvars.copy_context()
        assert not context.run(is_noisy, compiled)
    assert context.run(is_noisy, compiled)
    with noise_off(model):
        assert context.run(is_noisy, compiled)
        assert not is_noisy(compiled)


def test_checkpoint_of_a_context_repeats_its_first_run_after_the_block():
    model, x = noisy_network(), INPUTS.clone().requires_grad_()
    with noise_off(model):
        context = contextvars.copy_context()
        (expected,) = torch.autograd.grad(model(x).sum(), x)
        output = context.run(checkpoint, model, x, use_reentrant=False)
    (gradient,) = context.run(torch.autograd.grad, output.sum(), x)
    assert torch.equal(gradient, expected)
