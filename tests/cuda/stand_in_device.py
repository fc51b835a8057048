"""Pytest plugin that gives two devices to a torch without CUDA, and the emulated kernels to layerbits.

    export LAYERBITS_CUDA_EMULATED="BUILD/_cuda_emulated*.so" PYTHONPATH=.
    pytest -p tests.cuda.stand_in_device tests/cuda/devices

cmake builds torch_device.so beside the emulated kernels with LAYERBITS_CUDA_EMULATION=ON. The library must be loaded
before torch is imported, and cannot be unloaded. Without this plugin, pytest skips these tests or uses a real device.
"""

import ctypes
import os
import sys
from pathlib import Path
from types import SimpleNamespace

from tests.cuda.support.emulated_module import load_emulated

DEVICES = 2


def _load():
    if "torch" in sys.modules:
        raise ImportError("torch was imported before its devices: load them by pytest -p tests.cuda.stand_in_device")
    os.environ["LAYERBITS_EMULATED_DEVICES"] = str(DEVICES)
    module = load_emulated()
    ctypes.CDLL(str(Path(module.__file__).with_name("torch_device.so")))
    sys.modules["layerbits.kernels._cuda"] = module


def _complete_torch():
    """Replace functions of torch.cuda that need a torch with CUDA."""
    import torch

    stand_in, cuda, native = torch.ops.layerbits_stand_in, torch.cuda, torch._C
    native._cuda_getDevice = lambda: stand_in.exchange_device(-1)
    native._cuda_setDevice = cuda._exchange_device = cuda._maybe_exchange_device = stand_in.exchange_device
    cuda._initialized = True
    cuda.default_generators = tuple(stand_in.default_generator(index) for index in range(DEVICES))
    cuda.device_count = cuda.random.device_count = lambda: DEVICES
    cuda.is_available = lambda: True
    torch.UntypedStorage.__new__ = _new_storage
    torch.backends.cudnn.is_acceptable = lambda tensor: False
    cuda.get_device_name = lambda device=None: "stand-in"
    cuda.synchronize = cuda.set_stream = lambda device=None: None
    cuda.current_stream = cuda.default_stream = lambda device=None: SimpleNamespace(cuda_stream=0)


def _new_storage(kind, *arguments, device="cpu", **options):
    """Make a storage on any device; the constructor of a torch without CUDA makes storages of the CPU only."""
    import torch

    if torch.device(device).type == "cpu":
        return torch._C.StorageBase.__new__(kind, *arguments, device=device, **options)
    return torch.empty(*arguments, dtype=torch.uint8, device=device).untyped_storage()


_load()
_complete_torch()
