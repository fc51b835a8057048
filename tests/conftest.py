import os

import pytest
import torch


def pytest_configure():
    """Share the cores among the processes of pytest-xdist: threads that wait for busy cores take most of the time."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))


@pytest.fixture
def one_thread():
    """Keep torch to one thread: on busy cores the threads of small operators wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
