"""`global_states_restored`: restore the global generators of torch, NumPy and Python, which any code may use."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from layerbits.networks.execution.other_threads import is_alone


@contextlib.contextmanager
def global_states_restored(*, after_success: bool = True) -> Iterator[None]:
    """Restore the global generators after a ``with`` block or a decorated function.

    With `after_success=False`, the generators are restored only after an error, and only if no other thread, which may
    use them meanwhile, runs code of the user or of torch.
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
        if restores and (after_success or is_alone()):
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            torch.set_rng_state(torch_state)
            torch.cuda.set_rng_state_all(cuda_states)
