"""Gives a torch without CUDA two devices, and layerbits the emulated kernels, so that tests/cuda/devices run anywhere.

    export LAYERBITS_CUDA_EMULATED="BUILD/_cuda_emulated*.so" PYTHONPATH=.
    pytest -p tests.cuda.stand_in_device tests/cuda/devices

Built by cmake with LAYERBITS_CUDA_EMULATION=ON, which puts torch_device.so beside the kernels. The devices are the
process's from then on, and must be there before torch is: an ordinary run skips these tests, or takes a real device.
"""

import ctypes
import glob
import importlib.util
import os
import sys
from pathlib import Path
from types import SimpleNamespace

DEVICES = 2


def _load():
    found = glob.glob(os.environ.get("LAYERBITS_CUDA_EMULATED", ""))
    if not found:
        raise ImportError("LAYERBITS_CUDA_EMULATED names no module: build with LAYERBITS_CUDA_EMULATION=ON and name it")
    if "torch" in sys.modules:
        raise ImportError("torch was imported before its devices: load it by pytest -p tests.cuda.stand_in_device")
    ctypes.CDLL(str(Path(found[0]).with_name("torch_device.so")))
    os.environ["LAYERBITS_EMULATED_DEVICES"] = str(DEVICES)
    spec = importlib.util.spec_from_file_location("_cuda_emulated", found[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["layerbits.kernels._cuda"] = module


def _complete_torch():
    """Put in place what torch.cuda asks of the part of torch that is not there."""
    import torch

    here, cuda, c = torch.ops.layerbits_stand_in, torch.cuda, torch._C
    c._cuda_getDevice = lambda: here.exchange_device(-1)
    c._cuda_setDevice = cuda._exchange_device = cuda._maybe_exchange_device = here.exchange_device
    cuda._initialized = True
    cuda.default_generators = tuple(here.default_generator(index) for index in range(DEVICES))
    cuda.device_count = cuda.random.device_count = lambda: DEVICES
    cuda.is_available = lambda: True
    torch.UntypedStorage.__new__ = _new_storage
    torch.backends.cudnn.is_acceptable = lambda tensor: False
    cuda.get_device_name = lambda device=None: "stand-in"
    cuda.synchronize = cuda.set_stream = lambda device=None: None
    cuda.current_stream = cuda.default_stream = lambda device=None: SimpleNamespace(cuda_stream=0)


def _new_storage(kind, *arguments, device="cpu", **options):
    """Make a storage on any device: a torch without CUDA knows its tensors alone."""
    import torch

    if torch.device(device).type == "cpu":
        return torch._C.StorageBase.__new__(kind, *arguments, device=device, **options)
    return torch.empty(*arguments, dtype=torch.uint8, device=device).untyped_storage()


_load()
_complete_torch()
