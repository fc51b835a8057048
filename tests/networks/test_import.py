"""The import of layerbits does not import the compiler of torch, which would take a second."""

import subprocess
import sys


def test_import_does_not_import_the_compiler():
    code = "import sys, layerbits; assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
