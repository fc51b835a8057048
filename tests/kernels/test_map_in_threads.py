"""`map_in_threads`: calls in several threads, each with kernels of one thread."""

import threading

import pytest
import torch

from layerbits.kernels import map_in_threads, threads


@pytest.mark.usefixtures("two_threads")
def test_results_are_in_order_and_kernels_have_one_thread():
    wanted = threads()
    meeting = threading.Barrier(wanted)

    def call(number):
        meeting.wait(timeout=60)  # the calls run at once
        return number, threads(), torch.get_num_threads()

    assert map_in_threads(call, 2 * wanted) == [(number, 1, 1) for number in range(2 * wanted)]
    assert threads() == wanted
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_an_error_ends_the_calls_and_restores_the_threads():
    def call(number):
        raise ValueError(f"call {number}")

    with pytest.raises(ValueError, match=r"^call 0$"):
        map_in_threads(call, 100)
    assert torch.get_num_threads() == 2


def test_calls_are_in_inference_mode_if_the_caller_is():
    with torch.inference_mode():
        assert map_in_threads(lambda _: torch.is_inference_mode_enabled(), 2) == [True, True]
    assert map_in_threads(lambda _: torch.is_inference_mode_enabled(), 2) == [False, False]
