"""Results in child and parent after a fork, whether or not the pool was used before, and in forked workers."""

import multiprocessing
import os

import numpy as np
import pytest

from layerbits import mixture_log_density
from tests.support.fresh_process import run_fresh

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

FORK = """
    import os, signal, threading
    points = np.random.default_rng(0).standard_normal((3000, 3))
    expected = native(points, points, 0.5)

    def is_correct():
        return bool((native(points, points, 0.5, threads=2) == expected).all())

    def child_status(function):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)  # ends a child that hangs
            os._exit(0 if function() else 1)
        return os.waitpid(pid, 0)[1]
"""


@needs_fork
@pytest.mark.parametrize("used", [False, True], ids=["pool unused before", "pool used before"])
def test_child_and_parent_give_the_bits_of_the_parent_before_the_fork(used):
    script = """
    if sys.argv[2] == "True":
        assert is_correct()
    print(child_status(is_correct), is_correct())
    """
    assert run_fresh(FORK + script, used) == ["0 True"]


@needs_fork
def test_child_of_a_child_gives_the_same_bits():
    script = """
    is_correct()
    print(child_status(lambda: is_correct() and child_status(is_correct) == 0 and is_correct()))
    """
    assert run_fresh(FORK + script) == ["0"]


@needs_fork
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_child_starts_its_own_threads():
    script = """
    is_correct()
    print(child_status(lambda: is_correct() and len(os.listdir("/proc/self/task")) == 2))
    """
    assert run_fresh(FORK + script) == ["0"]


@needs_fork
def test_fork_during_the_work_of_other_threads_leaves_a_working_child():
    # The fork copies the lock and the queue of the pool in an arbitrary state.
    script = """
    stop = False
    def work():
        while not stop:
            is_correct()
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    statuses = {child_status(is_correct) for _ in range(20)}
    stop = True
    for worker in workers:
        worker.join()
    print(statuses, is_correct())
    """
    assert run_fresh(FORK + script) == ["{0} True"]


def density(shift):
    """Return log densities at enough points for two threads of a worker."""
    points = np.random.default_rng(0).standard_normal((3000, 3)) + shift
    return mixture_log_density(points, points, 0.5)


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # the test forks a process with threads
def test_forked_workers_give_the_bits_of_this_process():
    # test_dataloader.py also has workers that are spawned.
    expected = [density(0), density(1)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(density, [0, 1]).get(timeout=90)
    np.testing.assert_array_equal(results, expected)
