"""Pytest plugin that runs the tests of the CPU kernels, tests/kernels, on the CUDA kernels.

    LAYERBITS_STAND_IN=device PYTHONPATH=. pytest -p tests.cuda.stand_in tests/kernels

LAYERBITS_STAND_IN=emulated uses the emulated kernels at the path in LAYERBITS_CUDA_EMULATED instead. Tests with the
marker cpu_only(reason) are skipped; on a device, tests with the marker host_array(reason) are skipped too.
"""

import os

import pytest

import layerbits.kernels.cpu_operations  # imports the CPU's module before pytest_configure replaces it
from tests.cuda.support.emulated_module import EmulatedModule
from tests.cuda.support.native_modules import CudaAsCpu, DeviceModule

EMULATED = os.environ.get("LAYERBITS_STAND_IN") == "emulated"
SKIPPED_MARKERS = ("cpu_only",) if EMULATED else ("cpu_only", "host_array")


def pytest_configure(config):
    """Replace the native module that the tests import."""
    layerbits.kernels._cpu = CudaAsCpu(EmulatedModule() if EMULATED else DeviceModule())


def pytest_collection_modifyitems(items):
    for item in items:
        for name in SKIPPED_MARKERS:
            for marker in item.iter_markers(name):
                item.add_marker(pytest.mark.skip(reason=f"{name}: {marker.args[0]}"))
