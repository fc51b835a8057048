"""The pool under many callers, and never more threads than the process may use."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu
from layerbits.kernels import operations as kernels
from tests.support.fresh_process import run_fresh


def mixtures(count):
    generator = np.random.default_rng(0)
    # From 2^17 operations, one thread's worth, to 2^22; and a few rows against many columns.
    shapes = [(40, 300), (300, 1000), (3, 20_000), (1000, 400)]
    return [tuple(generator.standard_normal((k, 3)) for k in shapes[i % len(shapes)]) for i in range(count)]


def native(points, centers, threads):
    log_sum = np.empty(len(points))
    _cpu.log_sum_exp_isotropic(points, centers, 0.4, log_sum, threads=threads)
    return log_sum


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_calls_from_many_threads_at_once_give_the_bits_of_one(threads):
    work = mixtures(48)
    want = [native(points, centers, 1) for points, centers in work]
    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(lambda pair: native(*pair, threads), work * 4))
    for result, expected in zip(got, want * 4, strict=True):
        np.testing.assert_array_equal(result, expected)


def test_errors_and_results_of_threads_do_not_mix():
    def ask(i):
        sigma = -1.0 if i % 3 == 0 else 0.4
        log_sum = np.empty(300)
        try:
            _cpu.log_sum_exp_isotropic(*points_and_centers, sigma, log_sum, threads=2)
        except ValueError:
            return None
        return log_sum

    points_and_centers = mixtures(2)[1]
    want = native(*points_and_centers, 1)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(ask, range(60)))
    assert [result is None for result in got] == [i % 3 == 0 for i in range(60)]
    assert all((result == want).all() for result in got if result is not None)


def test_a_call_lets_other_threads_of_python_run():
    # Naps of 1 ms in a call of 100 ms and more; were the interpreter's lock held, the first would last as long as it.
    points = np.random.default_rng(0).standard_normal((30_000, 10))
    naps = 0
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(native, points, points, 1)
        while not call.done():
            time.sleep(0.001)
            naps += 1
    assert naps > 10


def test_kernels_keep_their_threads_where_torch_has_one():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        wanted = kernels.threads()
        with kernels.single_threaded_torch(), kernels.single_threaded_torch():
            assert (torch.get_num_threads(), kernels.threads()) == (1, wanted)
        assert (torch.get_num_threads(), kernels.threads()) == (2, wanted)
    finally:
        torch.set_num_threads(before)


def test_default_is_the_setting_of_torch_within_the_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert kernels.threads() == 1


def test_default_never_exceeds_the_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 10_000)
    assert kernels.threads() == _cpu.usable_cores()


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
def test_pool_has_no_more_threads_than_asked(threads):
    script = """
        import os
        before = len(os.listdir("/proc/self/task"))
        points = np.random.default_rng(0).standard_normal((2000, 3))
        for _ in range(3):
            native(points, points, 0.5, threads=int(sys.argv[2]))
        print(len(os.listdir("/proc/self/task")) - before)
    """
    # The caller works too.
    assert run_fresh(script, threads) == [str(threads - 1)]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_small_call_wakes_no_thread():
    script = """
        import os
        before = len(os.listdir("/proc/self/task"))
        native(np.zeros((10, 3)), np.zeros((10, 3)), 0.5, threads=8)
        print(len(os.listdir("/proc/self/task")) - before)
    """
    assert run_fresh(script) == ["0"]


@pytest.mark.parametrize("busy", [False, True], ids=["sleep", "work for a daemon"])
def test_process_ends_while_threads(busy):
    # The long call of the daemon would last minutes.
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
