"""Count the instructions of a pair in the log-sum-exp kernels of CUDA from their machine code: a bound on the speed.

    python tools/gpu/count_instructions.py MODULE_OR_CUBIN [ARCHITECTURE]

cuobjdump disassembles the module _cuda, or a cubin of csrc/cuda/log_sum_exp_isotropic.cu. The script follows the loop
over tiles of centers on the path of most tiles, which adds terms and does not move a reference. For each kernel it
prints the instructions of a pair by unit, the pairs a second at which the busiest unit of an H200 is always busy, and
their share of the roofline of d subtractions and d multiply-adds (in float32 the exponential is on the special-function
unit). Instructions that run once a stage (copies, barriers) or once a tile of points are not counted.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

CLOCK, SMS = 1.98e9, 132  # highest clock rate and multiprocessors of an H200
LANES = {"all": 128, "float32": 128, "float64": 64, "special": 16, "integer": 64, "shared": 32}  # for each SM and clock
UNITS = {
    "float64": ("DADD", "DMUL", "DFMA", "DSETP", "DMNMX"),
    "float32": ("FADD", "FFMA", "FMUL", "IMAD"),
    "special": ("MUFU", "F2F", "F2I", "I2F", "FRND"),
    "shared": ("LDS", "STS"),
    "other": ("BRA", "BSSY", "BSYNC", "BAR", "U", "NOP", "S2", "LDC", "R2UR", "CS2R"),
}
WORDS = {".128": 4, ".64": 2}  # words of a load from shared memory by suffix; otherwise one
DIMENSIONS = (1, 2, 3, 5, 8, 10, 16, 32)
STEP, BLOCK = 4, 8  # kStep of csrc/cuda/tile_log_sums.h, kBlock of csrc/cuda/arithmetic.h

KERNEL = re.compile(r"sum_all_pairsINS\w+?9TileShapeI([fd])Li(\d+)ELi(\d+)ELi(\d+)EEELi([1-4])E")
INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,5})\*/\s+(?:@!?U?P\w+ )?(\S+)(.*?);", re.MULTILINE)

Loop = tuple[int, int]


class Code:
    """The instructions of a kernel, and the paths through them."""

    def __init__(self, text: str) -> None:
        instructions = list(INSTRUCTION.finditer(text))
        self.names = [match[2] for match in instructions]
        index_of = {int(match[1], 16): i for i, match in enumerate(instructions)}
        self.successors: list[list[int]] = []
        for i, match in enumerate(instructions):
            target = re.search(r"0x([0-9a-f]+)\s*$", match[3]) if match[2] == "BRA" else None
            unconditional = target and "@" not in match[0] and "P" not in match[3]
            following = [] if unconditional else [i + 1]
            self.successors.append(following + ([index_of[int(target[1], 16)]] if target else []))

    def loops(self) -> list[Loop]:
        """Return the first and last instruction of each loop, sorted by length."""
        loops = [(target, i) for i, targets in enumerate(self.successors) for target in targets if target < i]
        return sorted(loops, key=lambda loop: loop[1] - loop[0])

    def shortest_path(self, start: int, end: int) -> list[int]:
        """Return the shortest path from `start` to `end`, both included, without a jump backwards."""
        previous = {start: -1}
        length = {start: 0}
        for i in range(start, end):
            if i not in length:
                continue
            for target in self.successors[i]:
                if i < target <= end and length[i] + 1 < length.get(target, sys.maxsize):
                    length[target], previous[target] = length[i] + 1, i
        path = [end]
        while path[-1] != start:
            path.append(previous[path[-1]])
        return path[::-1]

    def count(self, instructions: list[int]) -> Counter[str]:
        """Return the number of instructions by unit, and for shared memory the number of words that a lane loads."""
        counts: Counter[str] = Counter()
        for i in instructions:
            name = self.names[i]
            unit = next((unit for unit, names in UNITS.items() if name.startswith(names)), "integer")
            words = next((words for suffix, words in WORDS.items() if suffix in name), 1)
            counts[unit] += words if unit == "shared" else 1
            counts["all"] += 1
        return counts


def count_tile(code: Code) -> tuple[Counter[str], Counter[str]]:
    """Count the instructions of a thread for a tile with its first dimensions, and for STEP more dimensions."""
    powers = [i for i, name in enumerate(code.names) if name in ("MUFU.EX2", "DFMA")]
    steps = [loop for loop in code.loops() if any(code.names[i].startswith("LDS") for i in range(*loop))]
    tile, step = next(
        (tile, step)
        for tile in code.loops()
        for step in steps
        if tile[0] < step[0] and any(step[1] < i < tile[1] for i in powers)
    )
    # The code adds terms in two branches; the shorter one is for references that are not below -kFar.
    tile_powers = [i for i in powers if step[1] < i < tile[1]]
    paths = [
        code.shortest_path(tile[0], i) + code.shortest_path(i, tile[1])[1:] for i in (tile_powers[0], tile_powers[-1])
    ]
    step_instructions = set(range(step[0], step[1] + 1))
    tile_instructions = [i for i in min(paths, key=len) if i not in step_instructions]
    return code.count(tile_instructions), code.count(code.shortest_path(*step))


def rows(text: str) -> Iterator[str]:
    """Yield a line for each kernel and each of its dimensions in DIMENSIONS."""
    for part in text.split("Function : ")[1:]:
        kernel = KERNEL.search(part.split("\n", 1)[0])
        if not kernel:
            continue
        dtype = "float32" if kernel[1] == "f" else "float64"
        pairs, first = int(kernel[2]) * BLOCK, int(kernel[5])
        tile, step = count_tile(Code(part))
        for dim in DIMENSIONS:
            if (dim - first) % STEP or dim < first:
                continue
            per_pair = {unit: (tile[unit] + (dim - first) // STEP * step[unit]) / pairs for unit in (*LANES, "other")}
            clocks = {unit: per_pair[unit] / LANES[unit] for unit in LANES}
            busiest = max(clocks, key=clocks.__getitem__)
            bound = SMS * CLOCK / clocks[busiest]
            roof = SMS * CLOCK / max(2 * dim / LANES[dtype], 1 / LANES["special"] if dtype == "float32" else 0)
            cells = "".join(f"{per_pair[unit]:9.2f}" for unit in (*LANES, "other"))
            yield f"{dtype}  {kernel[2]} x {BLOCK}  {dim:3d}{cells}  {bound:9.2e} by {busiest:8s}{bound / roof:5.0%}"


def main() -> int:
    """Print the table; return 1 without cuobjdump or without kernels."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", help="the module _cuda or a cubin")
    parser.add_argument("architecture", nargs="?", help="such as sm_90; by default all of the file")
    options = parser.parse_args()
    tool = shutil.which("cuobjdump")
    if tool is None:
        print("cuobjdump is not on the path; it comes with the CUDA toolkit")
        return 1
    architecture = ["-arch", options.architecture] if options.architecture else []
    run = subprocess.run([tool, "-sass", *architecture, options.file], capture_output=True, text=True, check=True)
    table = sorted(rows(run.stdout))
    head = "".join(f"{unit:>9}" for unit in (*LANES, "other"))
    print(f"dtype    pairs    d{head}  pairs/s of an H200  of the roofline", *table, sep="\n")
    return int(not table)


if __name__ == "__main__":
    sys.exit(main())
