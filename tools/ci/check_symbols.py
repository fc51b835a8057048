"""Check the symbols of kernel objects and of the module, and the protections of the module.

    python tools/ci/check_symbols.py BUILD_FOLDER

The objects of an ISA level may define only their table: the linker may merge functions of the same name from two
levels, so that a function runs with instructions that the CPU lacks. The module may export its entry point, and
templates of std and type descriptions, which C++ shares between modules.
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
    """Return a line for every forbidden symbol and missing protection.

    Raises
    ------
    ValueError
        `build` contains no objects or no module.
    """
    objects = sorted(build.rglob("layerbits_kernels_*/**/*.o"))
    modules = sorted(build.glob("_cpu*.so"))
    if not objects or not modules:
        raise ValueError(
            f"{build}: got {len(objects)} kernel objects and {len(modules)} modules, wanted at least one of each"
        )
    lines = []
    for path in objects:
        forbidden = [name for name in defined(path) if not re.fullmatch(r"_ZN9layerbits\d+kKernels\w+E", name)]
        lines += [f"{path}: defines {name}" for name in sorted(forbidden)]
    for path in modules:
        forbidden = [name for name in defined(path, "--dynamic") if "layerbits" in name or not STANDARD.match(name)]
        lines += [f"{path}: exports {name}" for name in sorted(forbidden) if name != "PyInit__cpu"]
        lines += _missing_protections(path)
    return lines


def _missing_protections(module: Path) -> list[str]:
    """Return a line for each protection of cmake/Hardening.cmake that a module lacks."""
    dynamic = _output("readelf", "--dynamic", "--wide", str(module))
    segments = _output("readelf", "--segments", "--wide", str(module))
    called = _output("nm", "--dynamic", "--undefined-only", str(module))
    protections = {
        "-z now": "NOW" in dynamic,  # FLAGS BIND_NOW, or FLAGS_1 NOW
        "-z relro": "GNU_RELRO" in segments,
        "a stack that is not executable": re.search(r"GNU_STACK.* RW ", segments) is not None,
        "-fstack-protector-strong": "__stack_chk_fail" in called,
        "-D_FORTIFY_SOURCE": "_chk@" in called.replace("__stack_chk_fail", ""),  # such as __snprintf_chk
    }
    return [f"{module}: lacks {name}" for name, is_there in protections.items() if not is_there]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    lines = violations(Path(sys.argv[1]))
    passed = "symbols: objects define only their tables, the module only its entry point, with all protections"
    print("\n".join(lines) or passed)
    sys.exit(bool(lines))
