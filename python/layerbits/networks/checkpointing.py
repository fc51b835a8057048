"""Activation checkpointing: recognize passes that will be run again in the backward pass, and those second runs.

`torch.utils.checkpoint` restores torch's generators before the second run. So a call in a second run is recognized by
the state of the generator from which it draws, however the calls are counted by then.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils import checkpoint

from layerbits._base import LayerSelectionError

# The states of this many calls are kept: those of the passes whose backward pass is still to come.
_MOST_CALLS = 2**16

_FILE = checkpoint.__file__


def is_second_run() -> bool:
    """Return whether this thread runs a backward pass, in which checkpointing runs layers again."""
    return torch._C._current_graph_task_id() != -1


def has_second_run() -> bool:
    """Return whether the backward pass will run again what this thread runs now.

    Raises
    ------
    ValueError
        The second run would draw other noise, because the generators are not restored.
    """
    with_gradients = torch.is_grad_enabled()
    # Checkpointing either installs hooks of saved tensors or runs layers without gradients.
    if with_gradients and torch._C._autograd._top_saved_tensors_default_hooks(True) is None:
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_checkpoint_frame(frame):
            return True
        frame = frame.f_back
    return with_gradients


def is_checkpoint_frame(frame: FrameType) -> bool:
    """Return whether a frame belongs to torch.utils.checkpoint and runs layers that a backward pass will run again.

    Raises
    ------
    ValueError
        As `has_second_run`.
    """
    if frame.f_code.co_filename != _FILE:
        return False
    if frame.f_code.co_name == "checkpoint" and torch.is_grad_enabled():
        preserved = frame.f_locals.get("preserve", True)
    elif frame.f_code.co_name == "forward" and any(frame.f_locals["ctx"].needs_input_grad):
        preserved = frame.f_locals["preserve_rng_state"]
    else:
        return False
    if not preserved:
        raise ValueError(
            "checkpoint: got preserve_rng_state=False around a noisy layer, wanted True: without it the gradient is "
            "that of other noise"
        )
    return True


class RecomputedCalls:
    """The noise of calls in checkpointed passes, by the state of the generator from which each call draws.

    Copies and pickles are empty: a copy has run no pass.
    """

    def __init__(self) -> None:
        self._noise_by_state: dict[int, Any] = {}

    def __reduce__(self) -> tuple[type[RecomputedCalls], tuple[()]]:
        """Pickle no states."""
        return RecomputedCalls, ()

    def remember(self, signal: Tensor, noise: object) -> None:
        """Keep the noise of a call, None for a call without noise; `signal` tells the device of the generator."""
        state = _generator_state(signal)
        if self._noise_by_state.get(state, noise) is not noise:
            noise = _AMBIGUOUS
        self._noise_by_state[state] = noise
        if len(self._noise_by_state) > _MOST_CALLS:
            del self._noise_by_state[next(iter(self._noise_by_state))]

    def recall(self, layer: str, signal: Tensor, otherwise: object) -> Any:
        """Return the noise of the call that this second run repeats; `otherwise` if the call was not kept.

        Raises
        ------
        LayerSelectionError
            Calls with other noise, or without, drew from the same state.
        """
        noise = self._noise_by_state.get(_generator_state(signal), otherwise)
        if noise is _AMBIGUOUS:
            raise LayerSelectionError(
                f"layers: got {layer!r} in a checkpointed pass, but passes with and without its noise, or with two "
                "noises, began from one state of torch's generator; wanted a backward pass before the noise changes"
            )
        return noise


_AMBIGUOUS = object()


def _generator_state(signal: Tensor) -> int:
    state = torch.cuda.get_rng_state(signal.device) if signal.is_cuda else torch.get_rng_state()
    return hash(state.numpy().tobytes())
