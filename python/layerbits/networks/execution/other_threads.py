"""Other threads: whether one of them may write on a network."""

from __future__ import annotations

import gc
import os
import sys
import sysconfig
import threading
import types
from collections.abc import Mapping

# Folders of code that does not train a network. Other threads that run no other code, such as those of tqdm or of a
# notebook, do not write on it.
_STANDARD_LIBRARY = sysconfig.get_paths()["stdlib"]
_PACKAGES = ("site-packages", "dist-packages")

# Held while garbage collection is off: otherwise a second thread would take that for the user's setting, and keep it.
_collection_off = threading.Lock()


def _replace_lock_in_child() -> None:
    """Replace the lock in a forked child: a thread that the child does not have may hold it."""
    global _collection_off
    _collection_off = threading.Lock()


os.register_at_fork(after_in_child=_replace_lock_in_child)


def is_alone() -> bool:
    """Return whether no other thread runs code of the user or of torch."""
    frames = _frames_of_threads()
    return not any(_may_write(frame) for thread, frame in frames.items() if thread != threading.get_ident())


def may_be_trained() -> bool:
    """Return whether another thread may train a network from now on: the main thread may begin any code at any time."""
    return threading.current_thread() is not threading.main_thread() or not is_alone()


def _frames_of_threads() -> Mapping[int, types.FrameType]:
    """Return the current frame of each thread, without garbage collection meanwhile.

    Up to Python 3.11 a collection within `sys._current_frames` waits for ever if a finalizer needs the list of
    threads, which the function has locked (CPython issue 106883).
    """
    if sys.version_info >= (3, 12):
        return sys._current_frames()
    with _collection_off:
        is_on = gc.isenabled()
        try:
            gc.disable()
            return sys._current_frames()
        finally:
            if is_on:
                gc.enable()


def _may_write(frame: types.FrameType | None) -> bool:
    while frame is not None:
        path = frame.f_code.co_filename
        is_package = any(folder in path for folder in _PACKAGES)
        if "torch" in path or not (is_package or path.startswith((_STANDARD_LIBRARY, "<frozen"))):
            return True
        frame = frame.f_back
    return False
