"""Settings of all tests: SIGINT raises KeyboardInterrupt, few threads, and the longest files begin first."""

import collections
import gc
import os
import signal
import sys
from pathlib import Path

import pytest

# The processes of pytest-xdist share the cores; threads of OpenBLAS, which NumPy loads, spin while they wait for each
# other: tests/calibration/test_tasks.py took three times the processor's time.
if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import torch

# These files take 8 to 42 seconds, on Zen 4 cores. They begin first, so that the processes of pytest-xdist end at
# nearly the same time.
LONGEST_FILES = (
    "calibration/test_coverage.py",
    "experiments/test_cnn.py",
    "processes/test_groups.py",
    "networks/test_vision_networks.py",
    "experiments/test_szt_binning.py",
    "experiments/test_interrupted_runs.py",
    "training/test_session.py",
    "experiments/test_szt_tanh_orthonormal.py",
    "reliability/test_fork_after_torch.py",
    "reliability/test_interrupt.py",
    "kernels/test_gridded_plane.py",
    "estimators/test_layer_information.py",
    "estimators/test_known_layer.py",
    "networks/test_words_of_rows.py",
    "cli/test_resume.py",
    "experiments/test_sweep.py",
    "experiments/test_cnn_processes.py",
    "networks/test_noise_compiled.py",
    "experiments/test_single_neuron.py",
    "networks/test_sparse_experts.py",
    "experiments/test_digits_cnn.py",
    "test_documents.py",
    "estimators/between_layers/test_known_information.py",
    "estimators/known_network/test_small_networks.py",
    "reliability/test_memory.py",
    "reliability/test_fuzzed_calls.py",
)


def pytest_configure():
    os.environ.pop("PYTHONUNBUFFERED", None)  # programs buffer their output, as on most machines
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
    gc.freeze()  # garbage collection does not look at the tests and their imports again
    gc.enable()


def _torch_threads(number):
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread():
    """Keep torch to one thread: on busy cores the threads of small operators wait for each other."""
    yield from _torch_threads(1)


@pytest.fixture
def two_threads():
    """Let torch have two threads."""
    yield from _torch_threads(2)


@pytest.fixture(autouse=True)
def _no_open_figures():
    """Close the figures of pyplot behind each test: matplotlib warns, which is an error here, of more than 20."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def pytest_terminal_summary(terminalreporter):
    """Print the sums of the numbers that tests record, such as the kills that they sent."""
    counts = collections.Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, number in report.user_properties if report.when == "call" else ():
                counts[name] += number
    for name, number in counts.items():
        terminalreporter.write_line(f"{number} {name}")
