"""The import in a subinterpreter is refused: torch waits there for ever."""

import subprocess
import sys

SCRIPT = """
import sys
name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
interpreters = __import__(name)
interpreters.run_string(interpreters.create(), '''
try:
    import layerbits
except ImportError as error:
    print(error, flush=True)
''')
"""


def test_subinterpreter_is_refused_by_name():
    process = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("layerbits: got a subinterpreter, wanted the main interpreter of a process")
