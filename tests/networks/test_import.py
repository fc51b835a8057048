"""The import of layerbits leaves the compiler of torch alone, whose import takes a second."""

import subprocess
import sys


def test_import_does_not_import_the_compiler():
    code = "import sys, layerbits; assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
