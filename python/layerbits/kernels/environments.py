"""The versions, threads and instruction sets that results depend on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from layerbits._base import installed_version, shown
from layerbits.kernels.back_ends import cpu


def environment() -> dict[str, str]:
    """Return the versions, threads and instruction sets that results depend on.

    AVX2 and AVX-512 give the same bits in layerbits, but not in torch; SSE2 and NEON round differently.
    """
    return {
        "version of layerbits": installed_version("layerbits"),
        "version of torch": str(torch.__version__),
        "version of numpy": np.__version__,
        "number of torch's threads": str(torch.get_num_threads()),
        "instruction set of torch": torch.backends.cpu.get_cpu_capability(),
        "instruction set of layerbits": str(cpu().level()),
    }


def other_environment(earlier: Mapping[str, object]) -> str:
    """Return the parts of `environment` that differ from an earlier one, with both values; empty if none does."""
    present = environment()
    parts = [part for part, value in present.items() if earlier.get(part, value) != value]
    return ", ".join(f"{part} ({shown(earlier[part])}, now {present[part]})" for part in parts)
