"""Checks that the objects of an ISA level define nothing but their table, and that the module exports only its entry.

    python tools/ci/check_symbols.py BUILD_FOLDER

A function that two levels shared could be merged by the linker, and then run with instructions that the CPU lacks. What
the C++ standard library shares between all modules on purpose, templates of std and type descriptions, may be seen.
"""

import re
import subprocess
import sys
from pathlib import Path

STANDARD = re.compile("_ZT|_ZNK?St")


def defined(path: Path, *flags: str) -> set[str]:
    """Return the global symbols that `path` defines."""
    lines = subprocess.run(
        ["nm", "--extern-only", "--defined-only", *flags, str(path)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return {line.split()[-1] for line in lines if line.strip()}


def violations(build: Path) -> list[str]:
    """Return a line for every symbol that should not be seen; ValueError if there is nothing to look at."""
    objects = sorted(build.rglob("layerbits_kernels_*/**/*.o"))
    modules = sorted(build.glob("_cpu*.so"))
    if not objects or not modules:
        raise ValueError(
            f"{build}: found {len(objects)} kernel objects and {len(modules)} modules, wanted some of each"
        )
    lines = []
    for path in objects:
        strangers = [name for name in defined(path) if not re.fullmatch(r"_ZN9layerbits\d+kKernels\w+E", name)]
        lines += [f"{path}: defines {name}" for name in sorted(strangers)]
    for path in modules:
        strangers = [name for name in defined(path, "--dynamic") if "layerbits" in name or not STANDARD.match(name)]
        lines += [f"{path}: exports {name}" for name in sorted(strangers) if name != "PyInit__cpu"]
    return lines


if __name__ == "__main__":
    found = violations(Path(sys.argv[1]))
    print("\n".join(found) or "symbols: only the tables and the entry are defined")
    sys.exit(bool(found))
