"""Checks what ptxas says of the CUDA kernels: none of the hot ones may spill registers.

    cmake ... -DCMAKE_CUDA_FLAGS=-Xptxas=-v && cmake --build BUILD > LOG 2>&1 && python tools/check_registers.py LOG

Prints a line for each hot kernel and architecture.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

HOT = ("sum_powers", "sum_near_tiles", "sum_over_sources", "sum_components", "visit_pairs", "draw_normal")

ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<architecture>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def hot_kernels(log: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield name, architecture, registers, and bytes of spills and stack of each hot kernel in the output of ptxas."""
    for entry in ENTRY.finditer(log):
        if any(name in entry["name"] for name in HOT):
            spilled = sum(int(entry[key]) for key in ("stack", "stores", "loads"))
            yield entry["name"], entry["architecture"], int(entry["registers"]), spilled


def main() -> int:
    """Return 1 if a hot kernel spills, or one of them is not in the log."""
    found = list(hot_kernels(Path(sys.argv[1]).read_text()))
    for name, architecture, registers, spilled in sorted(found):
        print(f"{architecture}  {registers:3d} registers, {spilled} bytes spilled  {name}")
    missing = [hot for hot in HOT if not any(hot in name for name, *_ in found)]
    for hot in missing:
        print(f"{hot}: not in the log, which wants -Xptxas=-v")
    return int(bool(missing) or any(spilled for *_, spilled in found))


if __name__ == "__main__":
    sys.exit(main())
