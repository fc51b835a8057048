"""The frames of Python's stack, and the modules whose forward they run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType

from torch import nn

_CALL = nn.Module._call_impl.__code__

# Where torch.fx makes the code of graphs.
_GRAPH = "<eval_with_key>"


def frames() -> Iterator[FrameType]:
    """Yield the frames of this thread, from the caller's outwards."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def runs_module(frame: FrameType) -> bool:
    """Return whether a frame calls a module, or runs the graph of a torch.fx module."""
    return frame.f_code is _CALL or frame.f_code.co_filename.startswith(_GRAPH)


def running_modules() -> set[nn.Module]:
    """Return the modules whose forward this thread runs."""
    return {frame.f_locals["self"] for frame in frames() if frame.f_code is _CALL}
