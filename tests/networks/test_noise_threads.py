"""Noise, `noise_off` and measurements of one network in several threads and asyncio tasks."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from layerbits import layer_information, layers, noise_off, noisify
from layerbits.networks.noise import installation
from tests.support.networks import tanh_mlp

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
TIMEOUT = 60  # seconds; a test that waits for another thread fails after this time


def noisy_network():
    return noisify(tanh_mlp(4, 3, 3, 2), sigma=0.3, inputs=INPUTS)


def is_noisy(model):
    return not torch.equal(model(INPUTS), model(INPUTS))


def in_thread(function, *args):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result(TIMEOUT)


def test_noise_off_holds_for_the_thread_that_entered_it():
    model = noisy_network()
    with noise_off(model):
        assert in_thread(is_noisy, model)
        assert not is_noisy(model)


def test_noise_off_in_another_thread_leaves_this_thread_noisy():
    model, entered, finish = noisy_network(), threading.Event(), threading.Event()

    def block():
        with noise_off(model):
            entered.set()
            assert finish.wait(TIMEOUT)
            return is_noisy(model)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(block)
        assert entered.wait(TIMEOUT)
        noisy_here = is_noisy(model)
        finish.set()
        assert (noisy_here, future.result(TIMEOUT)) == (True, False)
    assert is_noisy(model)


def test_noise_off_holds_for_the_task_that_entered_it():
    model = noisy_network()

    async def block(entered, finish):
        with noise_off(model):
            entered.set()
            await finish.wait()
            return is_noisy(model)

    async def both():
        entered, finish = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(block(entered, finish))
        await entered.wait()
        noisy_here = is_noisy(model)
        finish.set()
        return noisy_here, await task, is_noisy(model)

    assert asyncio.run(asyncio.wait_for(both(), TIMEOUT)) == (True, False, True)


def test_overlapping_blocks_of_one_thread_end_with_noise():
    model = noisy_network()
    first, second = noise_off(model), noise_off(model)
    states = []
    for change in (first.__enter__, second.__enter__, lambda: first.__exit__(None, None, None)):
        change()
        states.append(is_noisy(model))
    second.__exit__(None, None, None)
    assert [*states, is_noisy(model)] == [False, False, False, True]


def test_overlapping_blocks_of_two_threads_end_with_noise():
    model, barrier = noisy_network(), threading.Barrier(2, timeout=TIMEOUT)

    def run(order):
        states = []
        for step in range(4):
            if step == order:
                block = noise_off(model)
                block.__enter__()
            if step == order + 2:
                block.__exit__(None, None, None)
            barrier.wait()
            states.append(is_noisy(model))
            barrier.wait()
        return states

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, (0, 1), timeout=TIMEOUT)
    assert first == [False, False, True, True]
    assert second == [True, False, False, True]
    assert is_noisy(model)


def test_overlapping_blocks_of_two_tasks_end_with_noise():
    model = noisy_network()

    async def run(before, within):
        await asyncio.sleep(before)
        with noise_off(model):
            await asyncio.sleep(within)
            noise_is_off = not is_noisy(model)
        return noise_is_off and is_noisy(model)

    async def both():
        return await asyncio.gather(run(0, 0.02), run(0.01, 0.02)), is_noisy(model)

    assert asyncio.run(asyncio.wait_for(both(), TIMEOUT)) == ([True, True], True)


class Trained(nn.Module):
    """Has dropout and a buffer that training changes."""

    def __init__(self):
        super().__init__()
        mlp = tanh_mlp(4, 8, 8, 2)
        self.layers = nn.Sequential(mlp[0], nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), *list(mlp)[2:])

    def forward(self, x):
        return self.layers(x)


def trained():
    return noisify(Trained(), sigma=0.3, inputs=INPUTS)


def losses(model, steps=60):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    torch.manual_seed(3)
    values = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(INPUTS).square().mean()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values


def state_of(model):
    """Return the training modes, hooks and buffers, which a measurement must not change."""
    hooks = [(list(module._forward_hooks), list(module._forward_pre_hooks)) for module in model.modules()]
    return [module.training for module in model.modules()], hooks, [buffer.tolist() for buffer in model.buffers()]


def measure(model, **options):
    return [(row.value, row.lower, row.upper) for row in layer_information(model, INPUTS, draws=4, **options)]


def repeat_until(finished, function, *args):
    count = 0
    while not finished.is_set() or count == 0:
        function(*args)
        count += 1
    return count


OBSERVATIONS = {"layers": lambda model: layers(model, INPUTS), "information": measure}


def assert_same_training(observe, make):
    """Assert that a network has the same losses and buffers beside observations in another thread."""
    model, twin, finished = make(), make(), threading.Event()
    modes, hooks, _ = state_of(model)
    expected = losses(twin)
    with ThreadPoolExecutor(1) as pool:
        count = pool.submit(repeat_until, finished, observe, model)
        try:
            losses_beside_observations = losses(model)
        finally:
            finished.set()
        assert count.result(TIMEOUT) > 0
    assert losses_beside_observations == expected
    assert state_of(model) == (modes, hooks, state_of(twin)[2])


@pytest.mark.parametrize("observe", OBSERVATIONS.values(), ids=OBSERVATIONS)
def test_noisy_training_has_the_same_losses_beside_observations(observe):
    assert_same_training(observe, trained)


def test_training_without_noise_has_the_same_losses_beside_measurements():
    assert_same_training(lambda model: measure(model, sigma=0.3), Trained)


def test_10_measurements_of_a_network_in_two_threads_have_the_same_results():
    model, expected = trained(), measure(trained())
    before, generator = state_of(model), torch.get_rng_state()

    def rounds():
        return [measure(model) for _ in range(5)]

    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(rounds) for _ in range(2)]
        measured = [table for result in results for table in result.result(TIMEOUT)]
    assert measured == [expected] * 10
    assert state_of(model) == before
    assert torch.equal(torch.get_rng_state(), generator)


def test_failed_measurement_does_not_change_the_network():
    model = trained()
    before, generator = state_of(model), torch.get_rng_state()
    wrong_shape, infinite = torch.ones(6, 5), torch.full((6, 4), torch.inf)
    for inputs in (wrong_shape, infinite):
        with pytest.raises(ValueError, match="inputs"):
            layer_information(model, inputs, draws=4)
    with pytest.raises(ValueError, match="inputs"):
        layers(model, wrong_shape)
    assert state_of(model) == before
    assert torch.equal(torch.get_rng_state(), generator)
    assert is_noisy(model)


def test_one_of_several_first_calls_observes_the_layers_for_all(monkeypatch):
    observations, barrier = [], threading.Barrier(3, timeout=TIMEOUT)
    observe = installation.observe

    def observe_slowly(*args, **kwargs):
        observations.append(threading.get_ident())
        time.sleep(0.05)  # the other threads meanwhile reach the first call too
        return observe(*args, **kwargs)

    def first_call(x):
        barrier.wait()
        return model(x)

    monkeypatch.setattr(installation, "observe", observe_slowly)
    model = noisify(nn.Sequential(nn.Tanh(), nn.Tanh()), sigma=0.5, layers="*")
    with ThreadPoolExecutor(3) as pool:
        outputs = list(pool.map(first_call, [torch.ones(1000)] * 3, timeout=TIMEOUT))
    assert len(observations) == 1
    assert all(output.std() > 0.4 for output in outputs)  # 0.31 without the noise of the last layer, 0.6 with it


def test_measurement_within_noise_off_of_another_thread_is_noisy():
    model = noisy_network()
    with noise_off(model):
        assert in_thread(measure, model) == measure(noisy_network())


def test_calls_are_counted_by_thread():
    class Reused(nn.Module):
        def __init__(self):
            super().__init__()
            self.activation, self.barrier = nn.Tanh(), None

        def forward(self, x):
            x = self.activation(x)
            if self.barrier:
                self.barrier.wait()
            return self.activation(x)

    model = noisify(Reused(), sigma={"activation": 1e-3, "activation@2": 1.0}, inputs=INPUTS)
    model.barrier = threading.Barrier(2, timeout=TIMEOUT)
    with ThreadPoolExecutor(2) as pool:
        outputs = pool.map(model, [torch.zeros(1000)] * 2, timeout=TIMEOUT)
    for output in outputs:
        # The variance is 1 within 1e-6; 0.27 is six standard deviations of the mean of 1000 squares, (2 / 1000)^0.5.
        assert abs(output.square().mean() - 1) < 0.27
