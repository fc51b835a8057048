"""Settings of all tests: SIGINT raises KeyboardInterrupt, torch uses few threads, and the longest files begin first."""

import gc
import os
import signal
from pathlib import Path

import pytest
import torch

# These files take 14 to 90 seconds, on slow cores. They begin first, so that the processes of pytest-xdist end at
# nearly the same time.
LONGEST_FILES = (
    "processes/test_groups.py",
    "calibration/test_coverage.py",
    "networks/test_vision_networks.py",
    "experiments/test_interrupted_runs.py",
    "test_documents.py",
    "experiments/test_cnn.py",
    "experiments/test_szt_binning.py",
    "reliability/test_fork_after_torch.py",
    "estimators/test_known_layer.py",
    "reliability/test_interrupt.py",
    "calibration/test_true_values_of_modules.py",
    "estimators/between_layers/test_known_information.py",
    "training/test_session.py",
    "networks/test_noise_compiled.py",
    "experiments/test_digits_cnn.py",
    "networks/test_words_of_rows.py",
    "reliability/test_fuzzed_calls.py",
    "networks/test_sparse_experts.py",
    "experiments/test_szt_tanh_orthonormal.py",
    "reliability/test_memory.py",
    "estimators/test_layer_information.py",
    "experiments/test_sweep.py",
    "estimators/known_network/test_small_networks.py",
    "reliability/test_reduction_memory.py",
    "experiments/test_sample_complexity.py",
    "experiments/test_single_neuron.py",
)


def pytest_configure():
    gc.disable()  # until all tests are collected, a sixth of whose time garbage collection takes
    # A shell starts background jobs with SIGINT ignored, which would hide the interrupts of the tests.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The processes of pytest-xdist share the cores; more threads would wait for each other most of the time.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))


def pytest_collection_modifyitems(items):
    place = {Path(__file__).parent / name: index for index, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    gc.enable()


@pytest.fixture
def one_thread():
    """Keep torch to one thread: on busy cores the threads of small operators wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
