"""The script ends in one line if it is interrupted, or lacks memory, while it imports the package."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def start(folder, imported, redirection=""):
    """Run the script with a package `layerbits` whose import runs `imported`; return the status, stdout and stderr."""
    (folder / "layerbits").mkdir()
    (folder / "layerbits" / "__init__.py").write_text(imported)
    code = "import sys; sys.path[:0] = sys.argv[1:3]; import layerbits_command; sys.exit(layerbits_command.main())"
    arguments = [sys.executable, "-S", "-c", code, str(folder), str(ROOT / "python")]
    shell = ["sh", "-c", f'"$@" {redirection}', "sh", *arguments]
    process = subprocess.run(shell, capture_output=True, text=True, timeout=60)
    return process.returncode, process.stdout, process.stderr


INTERRUPT = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores SIGINT in background jobs
os.kill(os.getpid(), signal.SIGINT)
time.sleep(9)
"""


def test_interrupt_during_the_imports_is_one_line(tmp_path):
    assert start(tmp_path, INTERRUPT) == (130, "", "layerbits: interrupted\n")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ">&- 2>&- <&-"])
def test_interrupt_without_stderr_keeps_its_status(tmp_path, redirection):
    assert start(tmp_path, INTERRUPT, redirection) == (130, "", "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            "ImportError('libtorch_cpu.so: failed to map segment')",
            "ImportError: libtorch_cpu.so: failed to map segment",
        ),
        ("OSError(12, 'Cannot allocate memory')", "OSError: [Errno 12] Cannot allocate memory"),
        ("MemoryError()", "MemoryError"),
    ],
)
def test_full_address_space_is_one_line(tmp_path, error, line):
    remedy = "the memory is full: raise its limit (ulimit -v), end other programs, or choose smaller settings"
    wanted = f"layerbits: cannot start: {line}; {remedy}\n"
    assert start(tmp_path, f"raise {error}") == (2, "", wanted)


def test_missing_library_has_no_other_remedy(tmp_path):
    stderr = "layerbits: cannot start: ModuleNotFoundError: No module named 'torch'\n"
    assert start(tmp_path, "import torch") == (2, "", stderr)


def test_installed_script_is_this_one():
    project = (ROOT / "pyproject.toml").read_text()
    assert '\nlayerbits = "layerbits_command:main"\n' in project
    assert '\nwheel.packages = ["python/layerbits", "python/layerbits_command"]\n' in project
