"""Run a script in a new interpreter, for tests that end a process, change its limits, or measure its memory."""

import subprocess
import sys
import textwrap

from layerbits.kernels import _cpu

# NATIVE imports the native module without the package and torch, whose import would take seconds and hundreds of
# megabytes.
NATIVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores SIGINT in background jobs
sys.path.insert(0, sys.argv[1])
import numpy as np
import _cpu

def native(points, centers, sigma, **options):
    log_sum = np.empty(len(points))
    _cpu.log_sum_exp_isotropic(points, centers, sigma, log_sum, **options)
    return log_sum
"""


def run_fresh(script, *arguments, timeout=100):
    """Run NATIVE and `script` with `arguments` in sys.argv[2:], assert success, and return the printed lines."""
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            NATIVE + textwrap.dedent(script),
            _cpu.__file__.rpartition("/")[0],
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.split("\n")[:-1]
