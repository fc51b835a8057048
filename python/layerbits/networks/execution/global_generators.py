"""`global_states_restored`: restore the global generators of torch, NumPy and Python, which any code may use."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def global_states_restored(*, after_success: bool = True) -> Iterator[None]:
    """Restore the global generators after a ``with`` block or a decorated function, or only if it raises an error.

    With `after_success=False`, no generator is reset that another thread may use meanwhile: neither after success nor
    beside other threads of Python.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - others use the global generator
    torch_state = torch.get_rng_state()
    has_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda_states = torch.cuda.get_rng_state_all() if has_cuda else []
    restores = True
    try:
        yield
        restores = after_success
    finally:
        if restores and (after_success or not _others_may_draw()):
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            torch.set_rng_state(torch_state)
            torch.cuda.set_rng_state_all(cuda_states)


def _others_may_draw() -> bool:
    """Return whether another thread of Python runs, apart from the one that watches progress bars."""
    others = set(threading.enumerate()) - {threading.current_thread()}
    return any(not type(thread).__module__.startswith("tqdm.") for thread in others)
