"""Parameters that run a test on the emulated kernels and on a device, and the kernels of each kind."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import layerbits
from tests.cuda.support.emulated_module import EmulatedModule, load_emulated
from tests.cuda.support.native_modules import CudaAsCpu, DeviceModule

try:
    load_emulated()
    NO_EMULATION = ""
except ImportError as error:
    NO_EMULATION = str(error)
DEVICE = layerbits.backends()[1]
ROOT = Path(__file__).parents[3]

needs_emulation = pytest.mark.skipif(bool(NO_EMULATION), reason=NO_EMULATION or "built")
needs_device = pytest.mark.skipif(not DEVICE.usable, reason=DEVICE.reason or "usable")
BOTH_KINDS = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("emulated", marks=needs_emulation),
        pytest.param("device", marks=[pytest.mark.cuda, needs_device]),
    ],
)
BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def module_of(kind):
    return EmulatedModule() if kind == "emulated" else DeviceModule()


def kernels_of(kind):
    return CudaAsCpu(module_of(kind))


def output_of(script, **variables):
    """Run a script in a new process with these environment variables; return its output."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout
