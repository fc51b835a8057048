"""Check that no inner-loop kernel spills registers or uses a stack, by the output of ptxas.

    cmake ... -DCMAKE_CUDA_FLAGS=-Xptxas=-v && cmake --build BUILD > LOG 2>&1 && python tools/gpu/check_registers.py LOG

The script prints a line for each template instantiation of these kernels and each architecture.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

INNER_LOOP_KERNELS = (
    "sum_all_pairs",
    "sum_near_tiles",
    "sum_over_sources",
    "sum_components",
    "visit_pairs",
    "fill_normal",
)

ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<architecture>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def inner_loop_kernels(log: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield name, architecture, registers, and bytes of stack and spills of each inner-loop kernel in the log."""
    for entry in ENTRY.finditer(log):
        if any(name in entry["name"] for name in INNER_LOOP_KERNELS):
            memory = sum(int(entry[key]) for key in ("stack", "stores", "loads"))
            yield entry["name"], entry["architecture"], int(entry["registers"]), memory


def main() -> int:
    """Return 1 if an inner-loop kernel spills registers, uses a stack or is absent from the log."""
    kernels = list(inner_loop_kernels(Path(sys.argv[1]).read_text()))
    for name, architecture, registers, memory in sorted(kernels):
        print(f"{architecture}  {registers:3d} registers, {memory} bytes of stack and spills  {name}")
    missing = [kernel for kernel in INNER_LOOP_KERNELS if not any(kernel in name for name, *_ in kernels)]
    for kernel in missing:
        print(f"{kernel}: got no entry in the log; build with -Xptxas=-v")
    return int(bool(missing) or any(memory for *_, memory in kernels))


if __name__ == "__main__":
    sys.exit(main())
