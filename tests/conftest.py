import pytest
import torch


@pytest.fixture
def one_thread():
    """Keep torch to one thread: on busy cores the threads of small operators wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
