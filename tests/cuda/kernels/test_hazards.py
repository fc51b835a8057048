"""Memory accesses of the emulated kernels: bounds, alignment, uninitialised values, races, barriers.

emulation/hazards.cpp calls every operation on small problems. It has two builds, which detect different faults.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cuda.support.emulated_module import load_emulated
from tests.cuda.support.kernel_tests import needs_emulation

pytestmark = needs_emulation


def run(checker, *fault):
    # A sandbox may forbid the leak check.
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    program = Path(load_emulated().__file__).with_name(checker)
    return subprocess.run([program, *fault], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("checker", ["cuda_memory", "cuda_races"])
def test_kernels_have_no_fault(checker):
    process = run(checker)
    assert process.returncode == 0, process.stderr


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
def test_planted_fault_is_detected(checker, fault, words):
    process = run(checker, fault)
    assert process.returncode != 0
    assert words in process.stderr
