"""Results after fork, in child and parent, whether or not the pool was at work before; and multiprocessing."""

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
    want = native(points, points, 0.5)

    def right():
        return bool((native(points, points, 0.5, threads=2) == want).all())

    def child(then):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)  # a child that hangs dies
            os._exit(0 if then() else 1)
        return os.waitpid(pid, 0)[1]
"""


@needs_fork
@pytest.mark.parametrize("used", [False, True], ids=["pool unused before", "pool used before"])
def test_child_and_parent_give_the_bits_of_before(used):
    script = """
    if sys.argv[2] == "True":
        assert right()
    print(child(right), right())
    """
    assert run_fresh(FORK + script, used) == ["0 True"]


@needs_fork
def test_child_of_a_child_gives_the_bits_of_before():
    script = """
    right()
    print(child(lambda: right() and child(right) == 0 and right()))
    """
    assert run_fresh(FORK + script) == ["0"]


@needs_fork
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_child_makes_threads_of_its_own():
    script = """
    right()
    print(child(lambda: right() and len(os.listdir("/proc/self/task")) == 2))
    """
    assert run_fresh(FORK + script) == ["0"]


@needs_fork
def test_fork_amid_the_work_of_another_thread_leaves_a_child_that_works():
    # The fork copies the pool with its lock and queue in whatever state they are in.
    script = """
    stop = False
    def work():
        while not stop:
            right()
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    statuses = {child(right) for _ in range(20)}
    stop = True
    for worker in workers:
        worker.join()
    print(statuses, right())
    """
    assert run_fresh(FORK + script) == ["{0} True"]


def density(shift):
    """Called in the workers; large enough for two threads."""
    points = np.random.default_rng(0).standard_normal((3000, 3)) + shift
    return mixture_log_density(points, points, 0.5)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork beside threads is what is tested
def test_worker_processes_give_the_bits_of_this_one(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    want = [density(0), density(1)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        got = pool.map_async(density, [0, 1]).get(timeout=90)
    np.testing.assert_array_equal(got, want)
