"""torch.compile: guards of the hooks of modules, and discarding compiled code."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

import torch

from layerbits.networks.execution import call_stack, checkpointing, recomputed_calls

_Function = TypeVar("_Function", bound=Callable[..., Any])

# The functions that read Python's stack and its checkpointed passes, and those marked by `not_compiled_alone`.
_not_compiled_alone: list[Any] = [
    function
    for namespace in (call_stack, checkpointing, recomputed_calls, recomputed_calls.RecomputedCalls)
    for function in vars(namespace).values()
    if inspect.isfunction(function)
]


def not_compiled_alone(function: _Function) -> _Function:
    """Mark a function that torch.compile may compile as a part of a pass, but not by itself."""
    _not_compiled_alone.append(function)
    return function


def guard_hooks() -> None:
    """Make torch.compile guard the hooks of modules.

    Torch then compiles again if a hook is added, removed or replaced, or if an attribute of a hook changes. By default
    torch does not guard hooks: if code was compiled for a module without noise, torch runs that code for a noisy module
    of the same class too, without noise. Code that was compiled without guards does not get them afterwards, so the
    first call discards that code.
    """
    from torch._dynamo import config  # imported here because the import takes one second
    from torch._dynamo.eval_frame import skip_code

    # Where the functions run outside of compiled code, torch.compile would compile each by itself.
    for function in _not_compiled_alone:
        skip_code(function.__code__)
    if config.skip_nnmodule_hook_guards:
        config.skip_nnmodule_hook_guards = False
        compile_again()


def is_compiled() -> bool:
    """Return whether torch.compile traces this code, or runs this code uncompiled within a compiled call."""
    return torch.compiler.is_compiling() or callable(torch._C._dynamo.eval_frame.get_eval_frame_callback())


def refuse_in_subgraph(message: str) -> None:
    """Raise an error of torch.compile if it traces a part of a graph, such as a checkpoint, that must not count calls.

    With fullgraph=True torch raises this error; otherwise that part runs uncompiled.
    """
    if any(map(_traces_subgraph, call_stack.frames())):
        from torch._dynamo.exc import Unsupported

        raise Unsupported(message)


def traces_autograd_function() -> bool:
    """Return whether code without gradients, which torch.compile traces, belongs to an autograd function of a forward.

    Otherwise the forward itself disables gradients.
    """
    for frame in call_stack.frames():
        if _traces_subgraph(frame) or checkpointing.runs_autograd_function(frame):
            return True
        if call_stack.runs_module(frame):
            break
    return False


# With this attribute torch.compile calls the functions when it traces a pass.
refuse_in_subgraph._dynamo_marked_constant = True  # type: ignore[attr-defined]
traces_autograd_function._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _traces_subgraph(frame: FrameType) -> bool:
    return frame.f_code.co_name.startswith("speculate_subgraph")


def compile_again() -> None:
    """Discard compiled code, so that compiled networks compile again in their next call.

    The guards of `guard_hooks` detect changed hooks too. But code that was compiled under torch's default setting lacks
    these guards, and each recompilation counts towards torch's `recompile_limit`, beyond which torch does not compile.
    """
    compiler = sys.modules.get("torch._dynamo.convert_frame")
    # Reset only if torch.compile has compiled a frame: an optimizer imports torch._dynamo without compiling.
    if compiler is not None and getattr(compiler, "FRAME_COUNTER", 1) > 0:
        torch.compiler.reset()
