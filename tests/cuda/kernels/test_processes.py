"""Forked processes, and machines without a driver or a usable device."""

import re
import sys

import pytest

import layerbits
from layerbits.kernels.back_ends import cuda_devices
from tests.cuda.support.emulated_module import load_emulated
from tests.cuda.support.kernel_tests import needs_emulation, output_of

pytestmark = needs_emulation

USE_AFTER_FORK = """
    import os
    import numpy as np
    from tests.cuda.support.emulated_module import EmulatedModule

    module = EmulatedModule()

    def call():
        module.call("log_sum_exp_isotropic", np.zeros((1, 1)), np.zeros((1, 1)), 1.0, np.zeros(1))

    call()
    if os.fork() == 0:
        try:
            call()
        except RuntimeError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
    call()
"""

FORK_WITHOUT_DRIVER = """
    import os
    from tests.cuda.support.emulated_module import load_emulated

    for process in ("parent", "child"):
        try:
            load_emulated().devices()
        except RuntimeError as error:
            print(process, error, flush=True)
        if process == "parent" and os.fork():
            os.wait()
            break
"""


def test_each_device_is_listed_with_the_reason_why_it_is_not_usable(monkeypatch):
    monkeypatch.setitem(sys.modules, "layerbits.kernels._cuda", load_emulated())
    monkeypatch.setenv("LAYERBITS_EMULATED_DEVICES", "2")
    assert [reason for _, reason in cuda_devices()] == ["", ""]
    monkeypatch.setenv("LAYERBITS_EMULATED_MAJOR", "7")
    assert all("older than the architectures" in reason for _, reason in cuda_devices())


def test_error_in_a_forked_process_recommends_spawn():
    assert "spawn" in output_of(USE_AFTER_FORK)


def test_error_in_a_forked_process_names_a_missing_driver():
    output = output_of(FORK_WITHOUT_DRIVER, LAYERBITS_EMULATED_ERROR="35")
    assert re.fullmatch(r"parent .* driver.*\nchild .* driver.*\n", output)


@pytest.mark.parametrize(("number", "words"), [(35, "driver"), (100, "no CUDA device"), (3, "spawn"), (209, "no code")])
def test_message_names_the_cause_of_a_cuda_error(number, words, monkeypatch):
    monkeypatch.setenv("LAYERBITS_EMULATED_ERROR", str(number))
    with pytest.raises(RuntimeError, match=words):
        load_emulated().devices()


@pytest.mark.parametrize(
    ("variable", "number", "words"),
    [("ERROR", 35, "driver"), ("ERROR", 100, "no CUDA device"), ("MAJOR", 7, "older than the architectures")],
)
def test_built_back_end_has_the_reason_why_it_is_not_usable(variable, number, words, monkeypatch):
    monkeypatch.setitem(sys.modules, "layerbits.kernels._cuda", load_emulated())
    assert layerbits.backends()[1].usable
    monkeypatch.setenv(f"LAYERBITS_EMULATED_{variable}", str(number))
    back_end = layerbits.backends()[1]
    assert (back_end.built, back_end.usable) == (True, False)
    assert words in back_end.reason
