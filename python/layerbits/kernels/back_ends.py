"""Finds the compiled back ends and tells the truth about them. Knows no algorithm."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from types import ModuleType

from layerbits._base import BackendError, UsageError


@dataclasses.dataclass(frozen=True)
class Backend:
    """What one compiled back end can do here.

    Attributes
    ----------
    name : str
        ``"cpu"`` or ``"cuda"``.
    built, usable : bool
        Whether this installation has it, and whether this machine can run it.
    reason : str
        Why it is not usable; empty when it is.
    isa : str
        Instruction set in use, with what else is usable; empty when there is none.
    devices : tuple of str
        What it runs on.
    """

    name: str
    built: bool
    usable: bool
    reason: str = ""
    isa: str = ""
    devices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.usable:
            return f"{self.name}: not usable: {self.reason}"
        return f"{self.name}: {', '.join(self.devices)}; {self.isa}"


def cpu() -> ModuleType:
    """Return the native module of the CPU; BackendError when it is missing."""
    try:
        return importlib.import_module("layerbits.kernels._cpu")
    except ImportError as error:
        raise BackendError(
            f"the native module layerbits.kernels._cpu cannot be loaded ({error}); install layerbits with pip install ."
        ) from error


def cuda() -> ModuleType:
    """Return the native module of CUDA devices; BackendError when it was not built, or cannot be loaded."""
    if importlib.util.find_spec("layerbits.kernels._cuda") is None:
        raise BackendError(
            "this installation has no CUDA kernels: there was no CUDA compiler of version 12 or later, or "
            "LAYERBITS_CUDA=OFF; install layerbits again where nvcc is found, for instance by CUDACXX"
        )
    try:
        return importlib.import_module("layerbits.kernels._cuda")
    except ImportError as error:
        raise BackendError(f"the native module layerbits.kernels._cuda cannot be loaded ({error})") from error


def backends() -> tuple[Backend, ...]:
    """Return what is built, what is usable here, and why something is not.

    Raises
    ------
    UsageError
        The environment variable LAYERBITS_MAX_ISA holds an unknown name.

    Notes
    -----
    Looking for CUDA devices starts CUDA, which no process survives that is forked afterwards.
    """
    return (_cpu_backend(), _cuda_backend())


def _cpu_backend() -> Backend:
    try:
        native = cpu()
    except BackendError as error:
        return Backend("cpu", built=False, usable=False, reason=str(error))
    try:
        level = native.level()
    except ValueError as error:
        raise UsageError(str(error)) from error
    cores, isa = native.usable_cores(), f"{level} in use, of {', '.join(native.levels())}"
    return Backend("cpu", built=True, usable=True, isa=isa, devices=(f"{cores} core{'s' if cores > 1 else ''}",))


def _cuda_backend() -> Backend:
    try:
        native = cuda()
    except BackendError as error:
        return Backend("cuda", built=False, usable=False, reason=str(error))
    isa = f"kernels for {native.architectures()}"
    try:
        found = native.devices()
    except RuntimeError as error:
        return Backend("cuda", built=True, usable=False, reason=str(error), isa=isa)
    usable = tuple(name for name, reason in found if not reason)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in found if reason)
    return Backend("cuda", built=True, usable=bool(usable), reason="" if usable else reasons, isa=isa, devices=usable)
