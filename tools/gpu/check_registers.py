"""Check that no kernel on the critical path spills registers or uses a stack, by the output of ptxas.

    cmake ... -DCMAKE_CUDA_FLAGS=-Xptxas=-v && cmake --build BUILD > LOG 2>&1 && python tools/gpu/check_registers.py LOG

The script prints a line for each of these kernels and each architecture.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

CRITICAL = ("sum_all_pairs", "sum_near_tiles", "sum_over_sources", "sum_components", "visit_pairs", "fill_normal")

ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<architecture>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def critical_kernels(log: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield name, architecture, registers, and bytes of stack and spills of each critical kernel in the log."""
    for entry in ENTRY.finditer(log):
        if any(name in entry["name"] for name in CRITICAL):
            memory = sum(int(entry[key]) for key in ("stack", "stores", "loads"))
            yield entry["name"], entry["architecture"], int(entry["registers"]), memory


def main() -> int:
    """Return 1 if a critical kernel spills registers, uses a stack or is absent from the log."""
    kernels = list(critical_kernels(Path(sys.argv[1]).read_text()))
    for name, architecture, registers, memory in sorted(kernels):
        print(f"{architecture}  {registers:3d} registers, {memory} bytes of stack and spills  {name}")
    missing = [critical for critical in CRITICAL if not any(critical in name for name, *_ in kernels)]
    for name in missing:
        print(f"{name}: got no entry in the log; build with -Xptxas=-v")
    return int(bool(missing) or any(memory for *_, memory in kernels))


if __name__ == "__main__":
    sys.exit(main())
