"""Public functions in a child that is forked after torch has used threads; torch itself would hang in the child."""

import dataclasses
import functools
import multiprocessing
import os
import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import layerbits as lb
from layerbits.kernels import NormalStream, single_threaded_torch
from layerbits.kernels import threads as kernel_threads
from tests.support.networks import tanh_mlp

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # the tests fork a process with threads
]

# Operators of torch use threads from 32,768 elements on (at::internal::GRAIN_SIZE); 2100 rows of 16 are more.
ROWS, COLUMNS = 2100, 16
POINTS = torch.from_numpy(np.random.default_rng(0).standard_normal((ROWS, COLUMNS), dtype=np.float32))
LABELS = torch.arange(ROWS) % 3


@functools.cache
def noisy_network():
    return lb.noisify(tanh_mlp(COLUMNS, 16, 8, 4), sigma=0.3)


def density_gradient():
    centers = POINTS.clone().requires_grad_()
    return torch.autograd.grad(lb.mixture_log_density(POINTS, centers, 0.5).sum(), centers)


def layer_information():
    rows = lb.layer_information(noisy_network(), POINTS, LABELS, draws=4).rows
    return [dataclasses.replace(row, seconds=0.0) for row in rows]


CALLS = {
    "gradient of mixture_log_density": density_gradient,
    "mixture_information": lambda: lb.mixture_information(POINTS, 0.5, tolerance=0.5),
    "mixture_entropy_bounds": lambda: lb.mixture_entropy_bounds(POINTS, 0.5),
    "layer_information": layer_information,
    "propagate": lambda: list(lb.propagate(noisy_network(), POINTS, draws=2).values()),
    "information_between_layers": lambda: lb.information_between_layers(noisy_network(), POINTS, "1", "3", draws=2),
    "sigma_profile": lambda: lb.sigma_profile(POINTS, [0.3], labels=LABELS).rows,
    "pairwise_distance_histogram": lambda: lb.pairwise_distance_histogram(POINTS, LABELS),
    "class_separation": lambda: lb.class_separation(POINTS, LABELS),
    "binned_information": lambda: lb.binned_information(POINTS, 0.5, labels=LABELS),
    "quantile_edges": lambda: lb.quantile_edges(POINTS),
    "kde_entropy": lambda: lb.baselines.kde_entropy(POINTS, labels=LABELS, folds=2),
    "kozachenko_leonenko_entropy": lambda: lb.baselines.kozachenko_leonenko_entropy(POINTS, labels=LABELS),
    "ksg_information": lambda: lb.baselines.ksg_information(POINTS[:, :2], inputs=POINTS),
    "pairwise_bounds": lambda: lb.baselines.pairwise_bounds(POINTS, sigma=0.5, labels=LABELS),
}


def numbers(result):
    """Return the numbers and texts of a result as nested lists, which a pipe can send."""
    if dataclasses.is_dataclass(result):
        return [numbers(getattr(result, field.name)) for field in dataclasses.fields(result)]
    if isinstance(result, list | tuple):
        return [numbers(value) for value in result]
    return result.tolist() if isinstance(result, torch.Tensor | np.ndarray) else result


def in_child(function):
    """Return the numbers of ``function()``, called in a forked child.

    Raises an AssertionError if the child takes more than a minute, and an EOFError if it fails.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send_bytes(pickle.dumps(numbers(function()))))
    child.start()
    sender.close()
    try:
        assert receiver.poll(60), "the child hangs"
        return pickle.loads(receiver.recv_bytes())
    finally:
        child.kill()
        child.join()


@pytest.fixture(autouse=True)
def torch_has_used_two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(1 << 20).exp()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_child_gives_the_bits_of_its_parent(call):
    expected = numbers(call())
    assert repr(in_child(call)) == repr(expected)


def test_child_of_a_child_gives_the_bits_of_its_parent():
    call = CALLS["mixture_information"]
    assert in_child(lambda: [call(), in_child(call)]) == [numbers(call())] * 2


def test_child_forked_while_threads_of_the_parent_work_does_not_hang():
    calls = [CALLS["mixture_information"], CALLS["sigma_profile"], CALLS["class_separation"]]
    expected, stop = [numbers(call()) for call in calls], threading.Event()

    def work():
        while not stop.is_set():
            for call in calls:
                call()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(4):
            for call, value in zip(calls, expected, strict=True):
                assert repr(in_child(call)) == repr(value)
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def test_child_forked_while_a_cached_property_is_computed_can_compute_it(monkeypatch):
    # Before Python 3.12 the other thread holds a lock at the fork, and no thread of the child would release the copy.
    is_computing, stop, generator = threading.Event(), threading.Event(), vars(NormalStream)["generator"].func

    def slow_in_worker(stream):
        if threading.current_thread() is worker:
            is_computing.set()
            stop.wait()
        return generator(stream)

    monkeypatch.setattr(vars(NormalStream)["generator"], "func", slow_in_worker)
    worker = threading.Thread(target=lambda: NormalStream(0, 1).generator)
    worker.start()
    try:
        assert is_computing.wait(60)
        value = in_child(lambda: NormalStream(0, 2).generator.random())
    finally:
        stop.set()
        worker.join()
    assert value == NormalStream(0, 2).generator.random()


def test_kernels_of_a_child_keep_their_threads_and_torch_uses_one():
    threads = kernel_threads()
    in_new_thread = []

    def settings():
        worker = threading.Thread(target=lambda: in_new_thread.append(kernel_threads()))
        worker.start()
        worker.join()
        with single_threaded_torch():
            inner_threads = kernel_threads()
        return [torch.get_num_threads(), kernel_threads(), inner_threads, *in_new_thread]

    assert in_child(settings) == [1, threads, threads, threads]
    assert in_child(lambda: in_child(settings)) == [1, threads, threads, threads]
    assert (torch.get_num_threads(), kernel_threads()) == (2, threads)


def test_number_of_torch_threads_that_a_child_sets_is_that_of_its_kernels(monkeypatch):
    monkeypatch.setattr("layerbits.kernels.cpu_threads.cpu", lambda: SimpleNamespace(usable_cores=lambda: 64))

    def settings():
        torch.set_num_threads(5)
        return kernel_threads()

    assert in_child(settings) == 5


def test_child_that_leaves_single_threaded_torch_keeps_one_thread_of_torch():
    receiver, sender = os.pipe()
    with single_threaded_torch():
        pid = os.fork()
    try:
        if pid == 0:
            os.write(sender, bytes([torch.get_num_threads()]))
    finally:
        if pid == 0:
            os._exit(0)
    os.waitpid(pid, 0)
    assert [os.read(receiver, 1)[0], torch.get_num_threads()] == [1, 2]
    os.close(receiver)
    os.close(sender)


def kernel_threads_of_worker(_):
    return kernel_threads()


def test_kernels_of_a_dataloader_worker_use_one_thread():
    loader = DataLoader(
        range(2), collate_fn=kernel_threads_of_worker, num_workers=1, multiprocessing_context="fork", timeout=60
    )
    assert list(loader) == [1, 1]
    with single_threaded_torch():
        assert list(loader) == [1, 1]
