"""Test layerbits in environments with other versions of Python, torch and NumPy; print a row of a table for each.

    python tools/matrix.py [--tests PATH ...] [--wheel FILE] [--environment PYTHON REQUIREMENT ...] ...

Without --environment, each Python that layerbits supports and this machine has is tested twice: with the lower bounds
of pyproject.toml, and with the newest versions that pip finds. On Linux, PyPI has builds of torch for CUDA, of some
gigabytes each; for CPU builds, give pip their index or folder, by PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS, and name the
version:

    python tools/matrix.py --environment python3.11 torch==2.13.0 numpy==2.1.0 scipy==1.14.0

An environment has the wheel FILE, or one of this source tree, built by its Python. The script ends with status 1 if an
environment fails.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).resolve().parent.parent
_TESTS = ("tests/kernels", "tests/mixtures", "tests/networks", "tests/estimators", "tests/training")
# Packages that these tests need. Tests that need others are skipped, or fail with the name of the package.
_TEST_PACKAGES = ("hypothesis", "mpmath", "pandas", "psutil", "pytest", "pytest-benchmark", "pytest-xdist")
_COLUMNS = ("Python", "torch", "NumPy", "SciPy", "result")
_VERSIONS = """
import platform, numpy, scipy, torch
print(platform.python_version(), torch.__version__, numpy.__version__, scipy.__version__)
"""


class Environment(NamedTuple):
    """An interpreter, and the requirements that are installed beside layerbits."""

    python: str
    requirements: tuple[str, ...]


def lower_bounds(project: str) -> tuple[str, ...]:
    """Return the dependencies of a pyproject.toml, each pinned to its lower bound."""
    dependencies = re.search(r"^dependencies = \[(.*)\]$", project, re.MULTILINE)
    if dependencies is None:
        raise ValueError("pyproject.toml: found no line of dependencies")
    bounds = re.findall(r'"([\w-]+)>=([\d.]+)"', dependencies[1])
    return tuple(f"{name}=={version}.*" for name, version in bounds)


def supported_pythons(project: str) -> list[str]:
    """Return the interpreters of this machine whose version pyproject.toml lists."""
    names = [f"python{version}" for version in re.findall(r"Python :: (3\.\d+)", project)]
    found = [name for name in names if shutil.which(name)]
    return [name for name in found if subprocess.run([name, "-c", ""], capture_output=True).returncode == 0]


class Result(NamedTuple):
    """A row of the table, and whether the environment passed."""

    row: tuple[str, ...]
    passed: bool


def result_of(environment: Environment, tests: Sequence[str], wheel: Path | None, folder: Path) -> Result:
    """Make an environment in `folder`, install layerbits, and run its check and the tests."""
    python, log = str(folder / "venv/bin/python"), folder / "log.txt"
    pip = [python, "-m", "pip"]
    # Packages of the caller would take the place of those of the environment.
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    versions: tuple[str, ...] = (environment.python, "-", "-", "-")

    def run(*command: str) -> bool:
        with log.open("w") as output:
            process = subprocess.run(command, cwd=_ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT)
        return process.returncode == 0

    steps: dict[str, Callable[[], bool]] = {
        "venv": lambda: run(environment.python, "-m", "venv", str(folder / "venv")),
        "requirements": lambda: run(*pip, "install", "--quiet", *environment.requirements, *_TEST_PACKAGES),
        "build": lambda: wheel is not None or run(*pip, "wheel", "--quiet", "--no-deps", "-w", str(folder), str(_ROOT)),
        # The requirements stand here too, so that pip keeps their versions.
        "layerbits": lambda: run(
            *pip, "install", "--quiet", str(wheel or next(folder.glob("*.whl"))), *environment.requirements
        ),
        "check_install": lambda: run(python, "tools/release/check_install.py"),
        "tests": lambda: run(python, "-m", "pytest", "-n0", "--tb=short", "-p", "no:cacheprovider", *tests),
    }
    for name, step in steps.items():
        passed = step()
        if name == "layerbits" and passed:
            versions = _versions(python, variables)
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or [""]
        if not passed:
            print("\n".join(lines[-40:]), file=sys.stderr)
            return Result((*versions, f"{name} failed: {' '.join(environment.requirements)}: {lines[-1][:200]}"), False)
    return Result((*versions, lines[-1]), True)


def _versions(python: str, variables: dict[str, str]) -> tuple[str, ...]:
    output = subprocess.run([python, "-c", _VERSIONS], env=variables, capture_output=True, text=True)
    return tuple(output.stdout.split()) or (python, "-", "-", "-")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def main() -> int:
    """Print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tests", nargs="+", default=_TESTS, metavar="PATH")
    parser.add_argument("--wheel", type=lambda text: Path(text).resolve(), metavar="FILE")
    parser.add_argument("--environment", nargs="+", action="append", default=[], metavar="PYTHON REQUIREMENT")
    options = parser.parse_args()
    project = (_ROOT / "pyproject.toml").read_text()
    environments = [Environment(python, tuple(requirements)) for python, *requirements in options.environment] or [
        Environment(python, requirements)
        for python in supported_pythons(project)
        for requirements in (lower_bounds(project), ())
    ]
    print(f"{_row(_COLUMNS)}\n{_row(['---'] * len(_COLUMNS))}", flush=True)
    results = []
    for environment in environments:
        with tempfile.TemporaryDirectory() as folder:
            results.append(result_of(environment, options.tests, options.wheel, Path(folder)))
        print(_row(results[-1].row), flush=True)
    return int(not all(result.passed for result in results))


if __name__ == "__main__":
    sys.exit(main())
