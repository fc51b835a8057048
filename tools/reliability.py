"""Attack layerbits as docs/reliability.md says, and print the numbers of attempts and of failures.

Run this script in a virtual environment with the extra `test`, cmake, ninja and pybind11:

    python tools/reliability.py [SHARE] [ATTACK ...]

SHARE (default: 1) of these numbers is wanted: 500 ended commands, 2,000 damaged folders, 100,000 public and 1,000,000
native calls, 20 minutes of each sanitizer, and the repetitions of tools/soak.py. Tests and other programs make the
attempts and print their numbers; they run again with the next seed until a number is reached. The script ends with
status 1 if there is a failure, or no attempt.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).resolve().parent.parent
_KILLS = 28  # kills of each of six commands by each of four signals; kills after the end of a command do not count
_EXAMPLES = 100  # calls of each public name, and 1,012 damaged folders, in a run of the tests


class _Attack(NamedTuple):
    """A command, the unit of the numbers that it prints, and the wanted number, 0 for a single run."""

    command: str
    unit: str
    wanted: int = 0


_ATTACKS = {
    "commands": _Attack("pytest --dist=load -m stress tests/reliability/test_killed_commands.py", "kills", 500),
    "processes": _Attack("pytest -m '' -k killed tests/processes", "kills"),
    "folders": _Attack("pytest --dist=load tests/reliability/test_fuzzed_folders.py", "damaged folders", 2_000),
    "settings": _Attack("pytest --dist=load tests/reliability/test_fuzzed_settings.py", "settings, files and scripts"),
    "calls": _Attack("pytest --dist=load tests/reliability/test_fuzzed_calls.py", "public calls", 100_000),
    "native": _Attack("python tools/release/fuzz_native.py {kernels} {minutes} {seed}", "native calls", 1_000_000),
    "address": _Attack("bash tools/sanitize.sh address {minutes} {seed}", "native calls"),
    "undefined": _Attack("bash tools/sanitize.sh undefined {minutes} {seed}", "native calls"),
    "thread": _Attack("bash tools/sanitize.sh thread {minutes} {seed}", "native calls"),
    "soak": _Attack("python tools/soak.py {share}", "repetitions"),
    "numbers": _Attack("pytest --dist=load -m '' tests/reliability/test_same_table.py", "arrangements"),
}


def _run(command: str, environment: dict[str, str]) -> tuple[int, str]:
    """Run a command, print its output, and return its status and output."""
    print(f"\n== {command}", flush=True)
    lines = []
    with subprocess.Popen(
        shlex.split(command), cwd=_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def _kernels() -> str:
    """Return the folder of the native module, without an import of layerbits."""
    package = importlib.util.find_spec("layerbits")
    if package is None or package.origin is None:
        raise SystemExit("layerbits is not installed; install it in this environment")
    return str(Path(package.origin).parent / "kernels")


def _attack(name: str, share: float) -> tuple[str, bool]:
    """Make an attack; return its row in the table, and whether it has failed."""
    attack, started, number, failures = _ATTACKS[name], time.monotonic(), 0, 0
    first = seed = time.time_ns() % 2**32
    while True:
        environment = os.environ | {
            "LAYERBITS_KILLS": str(math.ceil(share * _KILLS)),
            "LAYERBITS_FUZZ_EXAMPLES": str(max(8, round(min(1.0, 10 * share) * _EXAMPLES))),
            "LAYERBITS_FUZZ_SEED": str(seed),
        }
        command = attack.command.format(kernels=shlex.quote(_kernels()), minutes=20 * share, seed=seed, share=share)
        status, output = _run(command, environment)
        counted = sum(map(int, re.findall(rf"(\d+) {attack.unit}\b", output)))
        number += counted
        # Programs other than pytest end at their first failure.
        failures += len(re.findall(r"^(?:FAILED|ERROR) ", output, re.MULTILINE)) or int(status != 0)
        if not counted or number >= share * attack.wanted:
            break
        seed += 1
    seeds = f"{first} to {seed}" if seed > first else str(first)
    minutes = (time.monotonic() - started) / 60
    return f"| {name} | {number:,} {attack.unit} | {failures} | {seeds} | {minutes:.0f} |", failures > 0 or not number


def main() -> int:
    """Make the attacks, print a table, and return the exit status."""
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    results = [_attack(name, share) for name in sys.argv[2:] or _ATTACKS]
    print("\n| attack | attempts | failures | seed | minutes |\n|---|---|---|---|---|")
    for row, _ in results:
        print(row)
    return int(any(failed for _, failed in results))


if __name__ == "__main__":
    sys.exit(main())
