"""What the emulated kernels do to memory: bounds, alignment, values that were never written, races, barriers.

emulation/hazards.cpp calls every verb at small sizes; it is built twice, and each build looks for its own faults.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cuda import stand_in

try:
    FOLDER = Path(stand_in.emulated().__file__).parent
except ImportError as error:
    pytest.skip(str(error), allow_module_level=True)


def run(checker, *fault):
    # Whether anything leaks is not asked: a sandbox may forbid it.
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    return subprocess.run([FOLDER / checker, *fault], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("checker", ["cuda_memory", "cuda_races"])
def test_kernels_are_free_of(checker):
    found = run(checker)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("checker", "fault", "words"),
    [
        ("cuda_memory", "out_of_bounds", "use-after-poison"),
        ("cuda_memory", "shared_out_of_bounds", "heap-buffer-overflow"),
        ("cuda_memory", "misaligned", "misaligned address"),
        ("cuda_memory", "divergent_barrier", "a barrier that not all threads of a block reach"),
        ("cuda_races", "race_in_a_block", "race: thread 1 of block 0"),
        ("cuda_races", "race_of_blocks", "race: thread 0 of block 1"),
        ("cuda_races", "race_with_an_atomic", "race: thread 1 of block 0"),
        ("cuda_races", "never_written", "never written: thread 0 of block 0"),
    ],
)
def test_planted_fault_is_found(checker, fault, words):
    found = run(checker, fault)
    assert found.returncode != 0
    assert words in found.stderr
