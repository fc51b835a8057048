"""Random calls of the native module; tools/sanitize.sh makes them for 20 minutes under sanitizers."""

import subprocess
import sys
from pathlib import Path

from layerbits.kernels import _cpu

PROGRAM = Path(__file__).parents[2] / "tools" / "release" / "fuzz_native.py"


def test_native_calls_return_or_raise_and_write_only_their_outputs():
    command = [sys.executable, str(PROGRAM), str(Path(_cpu.__file__).parent), "0.015", "0"]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100).stdout
    assert "failures: none" in output
    assert "'returned'" in output
