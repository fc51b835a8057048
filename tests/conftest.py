"""Settings of all tests: SIGINT raises KeyboardInterrupt, and torch uses few threads."""

import os
import signal

import pytest
import torch


def pytest_configure():
    # A shell starts background jobs with SIGINT ignored, which would hide the interrupts of the tests.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The processes of pytest-xdist share the cores; more threads would wait for each other most of the time.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))


@pytest.fixture
def one_thread():
    """Keep torch to one thread: on busy cores the threads of small operators wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
