"""Timing, facts of the machine and targets; imports no problem and no method."""

from benchmarks.harness.machine import machine_facts, on_avx512
from benchmarks.harness.targets import Target
from benchmarks.harness.timing import CHUNKS, DEFAULT_CHUNK, Rounds, Spread, fastest_chunk, measure, page_faults, ratio

__all__ = [
    "CHUNKS",
    "DEFAULT_CHUNK",
    "Rounds",
    "Spread",
    "Target",
    "fastest_chunk",
    "machine_facts",
    "measure",
    "on_avx512",
    "page_faults",
    "ratio",
]
