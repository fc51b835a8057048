import pytest
import torch

import layerbits

CUDA = layerbits.backends()[1]


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.cuda)
        if not CUDA.usable:
            item.add_marker(pytest.mark.skip(reason=f"no device, and no stand-in for one: {CUDA.reason}"))


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
