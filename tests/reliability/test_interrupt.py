"""Ctrl-C ends a long call within 150 ms of CPU time per thread, and later calls are correct."""

import statistics

import pytest

from layerbits.kernels import _cpu
from tests.support.fresh_process import run_fresh

LONG_CALL = """
import os, signal, threading, time
threads, d, level, operation = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
points = np.random.default_rng(0).standard_normal((300_000 if d < 100 else 30_000, d), np.float32)
components = 20_000 if d < 100 else 1000  # a packed factor has d^2 / 2 values
small = points[: 2000 if d < 100 else 200]
expected = native(small, small, 1.0, level=level)
log_sum, gradient = np.zeros(len(points)), np.empty_like(points)
calls = {
    "pruned": lambda: _cpu.log_sum_exp_isotropic(
        points, points[:50_000], d**0.5, log_sum, method="pruned", threads=threads, level=level),
    "log_sum_exp_isotropic": lambda: _cpu.log_sum_exp_isotropic(
        points, points, 1.0, log_sum, threads=threads, level=level),
    "histogram": lambda: _cpu.distance_histogram(
        points, np.linspace(0, 9, 101), np.zeros((102, 2), np.int64), threads=threads, level=level),
    "gradient": lambda: _cpu.log_sum_exp_isotropic_gradient(
        points, points, 1.0, log_sum, np.ones(len(points)), d_centers=gradient, threads=threads, level=level),
    "log_sum_exp_diagonal": lambda: _cpu.log_sum_exp_diagonal(
        points, points, points, points[:, 0], log_sum, threads=threads, level=level),
    "log_sum_exp_full": lambda: _cpu.log_sum_exp_full(
        points, points[:components], np.broadcast_to(np.eye(d, dtype=np.float32), (components, d, d)),
        points[:components, 0], log_sum, threads=threads, level=level),
}

begin = threading.Event()

def interrupt(delay):
    global sent
    begin.wait()
    time.sleep(delay)
    sent = time.process_time()
    os.kill(os.getpid(), signal.SIGINT)

for delay in (0.05, 0.09, 0.16):  # at different times between two polls
    begin.clear()
    threading.Thread(target=interrupt, args=(delay,)).start()
    try:
        begin.set()  # on busy cores the start of a thread may take longer than the delay
        calls[operation]()
    except KeyboardInterrupt:
        print((time.process_time() - sent) / threads)
    assert (native(small, small, 1.0, threads=threads, level=level) == expected).all()
"""


# Chunks have the most pairs at d = 3 and the most work at d = 784. The last level is the slowest.
@pytest.mark.parametrize(
    "operation",
    ["log_sum_exp_isotropic", "pruned", "gradient", "log_sum_exp_full", "log_sum_exp_diagonal", "histogram"],
)
@pytest.mark.parametrize(("threads", "d"), [(1, 3), (2, 3), (2, 784)])
def test_interrupt_ends_a_call_soon_and_the_next_call_is_correct(operation, threads, d):
    # Up to 15 ms pass between the POSIX signal and the next poll, and then each thread completes a chunk of a few ms.
    # CPU time does not include other programs on the cores. Such programs delay the poll, so one delay may be longer.
    delays = [float(line) for line in run_fresh(LONG_CALL, threads, d, _cpu.levels()[-1], operation)]
    assert len(delays) == 3
    assert statistics.median(delays) < 0.150


def test_interrupt_does_not_change_results_of_other_threads():
    script = """
        import os, signal, threading, time
        points = np.random.default_rng(0).standard_normal((200_000, 3))
        expected = native(points[:20_000], points[:2000], 1.0)
        results = []

        def evaluate():
            for _ in range(5):
                results.append(native(points[:20_000], points[:2000], 1.0, threads=2))

        def interrupt():
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

        workers = [threading.Thread(target=target) for target in (evaluate, evaluate, interrupt)]
        for worker in workers:
            worker.start()
        try:
            native(points, points, 1.0, threads=2)
        except KeyboardInterrupt:
            print("interrupted")
        for worker in workers:
            worker.join()
        print(len(results), all((result == expected).all() for result in results))
    """
    assert run_fresh(script) == ["interrupted", "10 True"]


def test_exception_of_a_handler_of_posix_signals_propagates():
    script = """
        import signal
        def handler(*_):
            raise ZeroDivisionError("from the handler")
        signal.signal(signal.SIGALRM, handler)
        points = np.random.default_rng(0).standard_normal((300_000, 3))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            native(points, points, 1.0, threads=2)
        except ZeroDivisionError as error:
            print(error)
    """
    assert run_fresh(script) == ["from the handler"]


def test_posix_signal_whose_handler_returns_does_not_end_the_call():
    script = """
        import signal
        deliveries = []
        signal.signal(signal.SIGALRM, lambda *_: deliveries.append(1))
        points = np.random.default_rng(0).standard_normal((30_000, 3))
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        log_sum = native(points, points, 1.0, threads=2)
        signal.setitimer(signal.ITIMER_REAL, 0)
        # All POSIX signals since the last poll are one delivery, so a call without polls would give one.
        print(len(deliveries) > 1, bool((log_sum[:9] == native(points[:9], points, 1.0)).all()))
    """
    assert run_fresh(script) == ["True True"]


def test_call_in_another_thread_is_not_interrupted():
    script = """
        import os, signal, threading, time
        points = np.random.default_rng(0).standard_normal((30_000, 3))
        result = []
        worker = threading.Thread(target=lambda: result.append(native(points, points, 1.0)))
        worker.start()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            worker.join()
        print(bool((result[0][:9] == native(points[:9], points, 1.0)).all()))
    """
    assert run_fresh(script) == ["True"]
