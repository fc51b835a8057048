"""Detect the compiled back ends: built, usable on this machine, and if not, why."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from types import ModuleType

from layerbits._base import BackendError, UsageError


@dataclasses.dataclass(frozen=True)
class Backend:
    """The state of one compiled back end on this machine.

    Attributes
    ----------
    name : str
        ``"cpu"`` or ``"cuda"``.
    built, usable : bool
        Whether the native module can be loaded, and whether this machine can run its kernels.
    reason : str
        Why the back end is not usable; empty if it is usable.
    isa : str
        CPU: the instruction set in use, and all usable sets. CUDA: the architectures of this build. Empty if the module
        cannot be loaded.
    devices : tuple of str
        CPU: the number of usable cores, as a text. CUDA: the names of the usable devices.

    Examples
    --------
    >>> import layerbits as lb
    >>> cpu, cuda = lb.backends()
    >>> cpu.name, cpu.usable
    ('cpu', True)
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
    """Return the native module of the CPU; BackendError if it cannot be loaded."""
    try:
        return importlib.import_module("layerbits.kernels._cpu")
    except ImportError as error:
        raise BackendError(
            f"the native module layerbits.kernels._cpu cannot be loaded ({error}); {_remedy(error)}"
        ) from error


def _remedy(error: ImportError) -> str:
    # The loader of the system has no error type of its own for a full address space.
    if "failed to map" in str(error) or "cannot allocate" in str(error).lower():
        return "the address space is full: raise the limit of memory (ulimit -v)"
    return "install layerbits with pip install ."


def cuda() -> ModuleType:
    """Return the native module of CUDA; BackendError if it was not built or cannot be loaded."""
    if importlib.util.find_spec("layerbits.kernels._cuda") is None:
        raise BackendError(
            "this installation has no CUDA kernels: the machine of the build had no CUDA device, or no CUDA compiler "
            "of version 12 or later, or LAYERBITS_CUDA was OFF; install layerbits again with nvcc on the PATH or named "
            "in CUDACXX, and with -C cmake.define.LAYERBITS_CUDA=ON if no device is visible there"
        )
    try:
        return importlib.import_module("layerbits.kernels._cuda")
    except ImportError as error:
        raise BackendError(f"the native module layerbits.kernels._cuda cannot be loaded ({error})") from error


def cuda_devices() -> list[tuple[str, str]]:
    """Return the name of each CUDA device, and why the device is not usable (empty if it is usable).

    Raises
    ------
    BackendError
        The CUDA kernels were not built or cannot be loaded.
    RuntimeError
        There is no driver or no device, or this process was forked from one that uses CUDA.
    """
    devices: list[tuple[str, str]] = cuda().devices()
    return devices


def backends() -> tuple[Backend, ...]:
    """Return for each back end whether it is built and usable on this machine, and if not, why.

    Returns
    -------
    tuple of Backend
        The CPU, then CUDA.

    Raises
    ------
    UsageError
        The environment variable LAYERBITS_MAX_ISA holds an unknown name.

    Notes
    -----
    The search for CUDA devices starts CUDA. A process that is forked afterwards cannot use CUDA.

    Examples
    --------
    >>> import layerbits as lb
    >>> [backend.name for backend in lb.backends()]
    ['cpu', 'cuda']
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
        devices = native.devices()
    except RuntimeError as error:
        return Backend("cuda", built=True, usable=False, reason=str(error), isa=isa)
    usable = tuple(name for name, reason in devices if not reason)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in devices if reason)
    return Backend("cuda", built=True, usable=bool(usable), reason="" if usable else reasons, isa=isa, devices=usable)
