from pathlib import Path

import pytest
import torch

import layerbits

CUDA = layerbits.backends()[1]
USABLE = CUDA.usable and torch.cuda.is_available()
REASON = f"no device for layerbits and torch, and no stand-in: {CUDA.reason or 'torch finds none'}"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:  # pytest gives those of all folders
            item.add_marker(pytest.mark.cuda)
            item.add_marker(pytest.mark.skipif(not USABLE, reason=REASON))


@pytest.fixture
def copies_to_host():
    """Return a function that returns the bytes of each copy from a device to the host since it was last asked."""
    if not hasattr(torch.ops.layerbits_stand_in, "copies_to_host"):
        pytest.skip("only the stand-in counts copies")
    torch.ops.layerbits_stand_in.copies_to_host()
    return torch.ops.layerbits_stand_in.copies_to_host


@pytest.fixture
def second_device():
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one device")
    return "cuda:1"
