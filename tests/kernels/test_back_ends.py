"""The description of the back ends agrees with this machine, and errors say how to repair an installation."""

import importlib
import os
from types import SimpleNamespace

import pytest

from layerbits import BackendError
from layerbits.kernels import Backend, back_ends, backends, cuda_devices
from layerbits.kernels.back_ends import cpu


def test_both_back_ends_are_listed():
    assert [backend.name for backend in backends()] == ["cpu", "cuda"]


def test_cpu_is_usable_with_the_level_in_use():
    backend = backends()[0]
    assert backend.usable
    assert backend.isa.startswith(f"{cpu().level()} in use, of ")


def test_cpu_lists_at_most_the_cores_of_this_process():
    cores = len(os.sched_getaffinity(0))
    assert int(backends()[0].devices[0].split()[0]) <= cores


@pytest.mark.parametrize("backend", backends(), ids=lambda backend: backend.name)
def test_reason_is_empty_if_and_only_if_a_back_end_is_usable(backend):
    assert bool(backend.reason) != backend.usable


def test_cuda_devices_are_those_of_the_native_module(monkeypatch):
    devices = [("first", ""), ("second", "no driver")]
    monkeypatch.setattr(back_ends, "cuda", lambda: SimpleNamespace(devices=lambda: devices))
    assert cuda_devices() == devices


def test_usable_back_end_prints_devices_and_level():
    backend = Backend("cpu", built=True, usable=True, isa="avx2 in use, of sse2, avx2", devices=("2 cores",))
    assert str(backend) == "cpu: 2 cores; avx2 in use, of sse2, avx2"


def test_unusable_back_end_prints_the_reason():
    assert str(Backend("cuda", built=False, usable=False, reason="none")) == "cuda: not usable: none"


@pytest.fixture
def _missing_modules(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)


@pytest.mark.usefixtures("_missing_modules")
def test_error_of_a_missing_native_module_says_how_to_install_it():
    with pytest.raises(BackendError, match=r"layerbits\.kernels\._cpu cannot be loaded .*pip install"):
        cpu()


@pytest.mark.usefixtures("_missing_modules")
def test_missing_native_module_is_listed_as_not_usable():
    assert (backends()[0].built, backends()[0].usable) == (False, False)
