"""The thread pool with many callers, and the number of threads."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu, single_threaded_torch
from layerbits.kernels import threads as default_threads
from tests.support.fresh_process import run_fresh


def mixtures(count):
    generator = np.random.default_rng(0)
    # Pairs times d + 8 are from 2^17, the work of one thread, to 2^22. One shape has few points and many centers.
    shapes = [(40, 300), (300, 1000), (3, 20_000), (1000, 400)]
    return [tuple(generator.standard_normal((rows, 3)) for rows in shapes[i % len(shapes)]) for i in range(count)]


def native(points, centers, threads):
    log_sum = np.empty(len(points))
    _cpu.log_sum_exp_isotropic(points, centers, 0.4, log_sum, threads=threads)
    return log_sum


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_concurrent_calls_give_the_bits_of_a_single_call(threads):
    work = mixtures(48)
    serial = [native(points, centers, 1) for points, centers in work]
    with ThreadPoolExecutor(12) as pool:
        results = list(pool.map(lambda pair: native(*pair, threads), work * 4))
    for result, expected in zip(results, serial * 4, strict=True):
        np.testing.assert_array_equal(result, expected)


def test_errors_and_results_of_concurrent_calls_do_not_mix():
    def evaluate(i):
        sigma = -1.0 if i % 3 == 0 else 0.4
        log_sum = np.empty(300)
        try:
            _cpu.log_sum_exp_isotropic(*points_and_centers, sigma, log_sum, threads=2)
        except ValueError:
            return None
        return log_sum

    points_and_centers = mixtures(2)[1]
    expected = native(*points_and_centers, 1)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(evaluate, range(60)))
    assert [result is None for result in results] == [i % 3 == 0 for i in range(60)]
    assert all((result == expected).all() for result in results if result is not None)


def test_call_releases_the_lock_of_the_interpreter():
    # The call takes at least 100 ms; if it held the lock, the first sleep of 1 ms would last as long as the call.
    points = np.random.default_rng(0).standard_normal((30_000, 10))
    sleeps = 0
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(native, points, points, 1)
        while not call.done():
            time.sleep(0.001)
            sleeps += 1
    assert sleeps > 10


def test_single_threaded_torch_does_not_change_the_threads_of_kernels():
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = default_threads()
        with single_threaded_torch(), single_threaded_torch():
            assert (torch.get_num_threads(), default_threads()) == (1, expected)
        assert (torch.get_num_threads(), default_threads()) == (2, expected)
    finally:
        torch.set_num_threads(torch_threads)


def test_default_number_of_threads_is_the_setting_of_torch(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert default_threads() == 1


def test_default_number_of_threads_never_exceeds_the_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 10_000)
    assert default_threads() == _cpu.usable_cores()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")
def test_affinity_mask_bounds_the_cores():
    script = """
        import os
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        print(_cpu.usable_cores())
    """
    assert run_fresh(script) == ["1"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_pool_has_one_thread_fewer_than_the_argument(threads):
    script = """
        import os
        before = len(os.listdir("/proc/self/task"))
        points = np.random.default_rng(0).standard_normal((2000, 3))
        for _ in range(3):
            native(points, points, 0.5, threads=int(sys.argv[2]))
        print(len(os.listdir("/proc/self/task")) - before)
    """
    # The calling thread works too.
    assert run_fresh(script, threads) == [str(threads - 1)]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_small_call_starts_no_thread():
    script = """
        import os
        before = len(os.listdir("/proc/self/task"))
        native(np.zeros((10, 3)), np.zeros((10, 3)), 0.5, threads=8)
        print(len(os.listdir("/proc/self/task")) - before)
    """
    assert run_fresh(script) == ["0"]


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_process_exits_while_threads_are_idle_or_busy(busy):
    # The call of the daemon thread would last minutes.
    script = """
        import threading, time
        points = np.random.default_rng(0).standard_normal((3000, 3))
        native(points, points, 0.5, threads=4)
        if sys.argv[2] == "True":
            large = np.random.default_rng(0).standard_normal((1_000_000, 10))
            threading.Thread(target=native, args=(large, large, 0.5), kwargs={"threads": 2}, daemon=True).start()
            time.sleep(0.2)
        print("end")
    """
    assert run_fresh(script, busy, timeout=30) == ["end"]


def test_garbage_that_is_collected_while_frames_are_listed_does_not_hang():
    """Up to Python 3.11 a finalizer waits for ever within `sys._current_frames` if it needs the list of threads."""
    run_fresh(
        """
        import gc
        from layerbits.networks.execution.other_threads import is_alone

        class Garbage:
            def __init__(self):
                self.cycle = self

            def __del__(self):
                sys._current_frames()

        gc.freeze()  # the objects of torch, which each collection would visit
        for objects in range(1, 60):  # one of them begins a collection at an allocation within the function
            gc.collect()
            gc.set_threshold(objects)
            Garbage()
            assert is_alone()
        assert gc.isenabled()
        """
    )
