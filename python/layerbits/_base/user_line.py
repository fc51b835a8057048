"""The line of the user that a warning shows."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import Path

import torch

# Prefixes of the files that stand between the user's line and a warning: layerbits, torch, and decorators by `with`.
_INNER_FILES = (
    f"{Path(__file__).parents[1]}{os.sep}",
    f"{Path(torch.__file__).parent}{os.sep}",
    contextlib.__file__,
)


def stacklevel_of_user() -> int:
    """Return the `stacklevel` with which a warning of the caller shows the line that calls layerbits or a network."""
    for level, (frame, _) in enumerate(traceback.walk_stack(sys._getframe(1)), start=1):
        if not frame.f_code.co_filename.startswith(_INNER_FILES):
            return level
    return 1
