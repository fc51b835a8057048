"""Facts about the machine, for reports of times."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from layerbits._base import installed_version
from layerbits.kernels.back_ends import cpu

_PACKAGES = ("layerbits", "numpy", "scipy", "torch", "pykeops", "scikit-learn", "mlpack")


def machine_facts() -> dict[str, str | float]:
    """Return CPU model, cores, threads, load average of the last minute, ISA level, platform and versions."""
    return {
        "cpu": _cpu_model(),
        "cores": cpu().usable_cores(),
        "torch_threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "isa": cpu().level(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    } | {package: installed_version(package) for package in _PACKAGES}


def on_avx512() -> bool:
    """Return whether the kernels of this machine use AVX-512; targets differ between AVX-512 and AVX2."""
    return str(cpu().level()) == "avx512"


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
