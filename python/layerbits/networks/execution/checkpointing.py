"""Activation checkpointing: recognize passes that a backward pass will run again.

Torch creates one object for each checkpointed pass and uses the same object in the second run: the saved state of the
generator, or the context of the autograd function. A `torch.autograd.Function` outside torch may run layers again in
its backward pass too; its context is the object.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.autograd.function import BackwardCFunction, Function, FunctionCtx
from torch.utils import checkpoint

from layerbits.networks.execution.call_stack import CALL_FILE, frames, is_pre_hook, runs_compiled_graph, runs_module

_FILE = checkpoint.__file__
# The file of the autograd functions of compiled code, whose backward passes may compute noise again.
_COMPILED_FILE = "_aot_autograd/runtime_wrappers.py"
# The module of the function in a checkpoint of a compiled graph that is interpreted.
_COMPILED_MODULE = "torch._higher_order_ops.wrap"
# The code that calls `forward` and `backward` of an autograd function.
_FORWARD = Function.apply.__func__.__code__  # type: ignore[attr-defined]
_BACKWARD = BackwardCFunction.apply.__code__


@dataclasses.dataclass(frozen=True)
class RunningPasses:
    """The checkpointed passes that this thread is in.

    Attributes
    ----------
    first_runs : tuple
        The objects of the passes that run for the first time, from the innermost outwards.
    second_run : object
        The object of the innermost pass that runs a second time, which encloses those of `first_runs`; None if there
        is none.
    run_id : tuple
        Identifier of the second run: graph task and frame.
    functions : tuple of FunctionCtx
        The contexts of autograd functions outside torch whose forward methods run, within the second run.
    is_function : bool
        Whether the second run is the backward method of an autograd function outside torch, which may run the layers
        in another order, with other random numbers, or not at all.
    """

    first_runs: tuple[object, ...] = ()
    second_run: object = None
    run_id: tuple[int, int] = (-1, 0)
    functions: tuple[FunctionCtx, ...] = ()
    is_function: bool = False


@dataclasses.dataclass(frozen=True)
class Caller:
    """The caller of a function.

    Attributes
    ----------
    module : torch.nn.Module or None
        The innermost module that runs, or the innermost candidate of `find_caller`.
    in_checkpoint : bool
        Whether the forward of the module runs the function within torch.utils.checkpoint.
    in_function : bool
        Whether the forward of the module runs the function within an autograd function.
    """

    module: nn.Module | None
    in_checkpoint: bool
    in_function: bool


_NO_PASSES = RunningPasses()


# The remedy for checkpoints in a measurement that differentiates the network.
WITHOUT_CHECKPOINTS = "turn checkpointing off for the measurement, or choose another estimator"


def in_backward_pass() -> bool:
    """Return whether this thread runs a backward pass."""
    return torch._C._current_graph_task_id() != -1


def running_passes() -> RunningPasses:
    """Return the checkpointed passes that this thread is in.

    Raises
    ------
    ValueError
        A checkpointed pass does not restore the generators, so its second run would have other noise; or this
        version of torch runs checkpointed passes in another function.
    """
    # Checkpointing either installs hooks of saved tensors or runs layers without gradients.
    if torch.is_grad_enabled() and not _has_saved_tensor_hooks() and not in_backward_pass():
        return _NO_PASSES
    first_runs: list[object] = []
    functions: list[FunctionCtx] = []
    callee: FrameType = sys._getframe()
    for frame in frames():
        pass_object, is_function = _pass_of(frame), frame.f_code is _BACKWARD and not _is_of_torch(callee)
        if is_function or (pass_object is not None and frame.f_code.co_name in _SECOND_RUNS):
            second_run = frame.f_locals["self"] if is_function else pass_object
            run_id = (torch._C._current_graph_task_id(), id(frame))
            return RunningPasses(tuple(first_runs), second_run, run_id, tuple(functions), is_function)
        if pass_object is not None:
            first_runs.append(pass_object)
        if frame.f_code is _FORWARD and not _is_of_torch(callee):
            functions += _contexts(callee)
        callee = frame
    if not first_runs and _saves_for_checkpoint():
        raise ValueError(
            f"checkpoint: got a pass around a noisy layer that torch {torch.__version__} began in an unknown way, "
            "wanted torch.utils.checkpoint.checkpoint of torch <= 2.14; keep noisy layers out of the checkpoint"
        )
    return RunningPasses(tuple(first_runs), functions=tuple(functions))


def find_caller(is_candidate: Callable[[nn.Module], bool] | None = None) -> Caller:
    """Return the innermost module that runs, and how its forward runs the caller; no module for a forward pre-hook.

    If `is_candidate` is given, modules for which it is false count as functions of the module that calls them.

    Raises
    ------
    ValueError
        A checkpoint does not restore the generators.
    """
    in_checkpoint = in_function = False
    callee: FrameType | None = None  # the last frame outside of the code that calls hooks and forward methods
    for frame in frames():
        # Within the forward of a module torch.compile may run a graph, which has its noise already.
        if runs_module(frame):
            module: Any = frame.f_locals.get("self")
            if is_candidate is None or is_candidate(module) or runs_compiled_graph(frame):
                is_hook = callee is not None and isinstance(module, nn.Module) and is_pre_hook(module, callee)
                return Caller(None if is_hook else module, in_checkpoint, in_function)
        callee = callee if frame.f_code.co_filename == CALL_FILE else frame
        in_checkpoint = in_checkpoint or _is_checkpoint_frame(frame)
        in_function = in_function or runs_autograd_function(frame)
    return Caller(None, in_checkpoint, in_function)


def runs_autograd_function(frame: FrameType) -> bool:
    """Return whether a frame calls the forward method of an autograd function."""
    return frame.f_code is _FORWARD


def _is_of_torch(frame: FrameType) -> bool:
    """Return whether a frame belongs to the checkpoints or the compiled code of torch."""
    return frame.f_code.co_filename.endswith((_FILE, _COMPILED_FILE))


def _contexts(frame: FrameType) -> list[FunctionCtx]:
    """Return the context among the arguments of a forward method, or of a decorator of the method."""
    arguments = [item for value in frame.f_locals.values() for item in (value if type(value) is tuple else (value,))]
    return [argument for argument in arguments if isinstance(argument, FunctionCtx)][:1]


def _is_checkpoint_frame(frame: FrameType) -> bool:
    """Return whether a frame belongs to torch.utils.checkpoint and runs layers that a backward pass will run again."""
    code = frame.f_code
    return code.co_filename == _FILE and code.co_name not in _SECOND_RUNS and _pass_of(frame) is not None


def _pass_of(frame: FrameType) -> object:
    """Return the object of the checkpointed pass that a frame runs, in its first or second run; None for other frames.

    Raises
    ------
    ValueError
        The pass does not restore the generators.
    """
    code = frame.f_code
    if code.co_name not in _READERS or not _is_of_torch(frame):
        return None
    return _READERS[code.co_name](frame.f_locals)


def _has_saved_tensor_hooks() -> bool:
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def _saves_for_checkpoint() -> bool:
    """Return whether torch saves tensors for the second run of a checkpointed pass."""
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
    return hooks is not None and getattr(hooks[0], "__qualname__", "").startswith("_checkpoint_hook.")


def _first_run(variables: dict[str, Any]) -> object:
    """Return the object of a non-reentrant pass; None without hooks of saved tensors, when no second run follows."""
    if "gen" not in variables or not _has_saved_tensor_hooks():
        return None
    if not variables.get("preserve", True):
        if getattr(variables.get("function"), "__module__", None) == _COMPILED_MODULE:
            raise ValueError(
                "checkpoint: got a pass around a noisy layer compiled by the backend 'eager', which does not restore "
                "the generators for the second run, so that it would have other noise, as dropout then has, wanted the "
                "backend 'aot_eager' or 'inductor'; or compile without the checkpoint"
            )
        raise _generator_error()
    return variables["gen"].gi_frame.f_locals.get("fwd_cpu_state")


def _first_run_of_function(variables: dict[str, Any]) -> object:
    """Return the object of a pass of `checkpoint(use_reentrant=True)` or of compiled code; None without gradients."""
    context = variables.get("ctx")
    if context is None or not any(context.needs_input_grad):
        return None
    if not variables.get("preserve_rng_state", True):
        raise _generator_error()
    return context


def _second_run(variables: dict[str, Any]) -> object:
    """Return the object of a non-reentrant pass that a backward pass runs again."""
    if not variables.get("preserve_rng_state", True):
        raise _generator_error()
    return variables.get("fwd_cpu_state")


def _generator_error() -> ValueError:
    return ValueError(
        "checkpoint: got preserve_rng_state=False around a noisy layer, wanted True, because the second run would have "
        "other noise; leave preserve_rng_state at its default"
    )


# Functions that read the object of a pass from the local variables of the function of torch that runs the pass.
_READERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "checkpoint": _first_run,
    "_checkpoint_impl": _first_run,  # torch >= 2.14
    "forward": _first_run_of_function,
    "recompute_fn": _second_run,
    "backward": lambda variables: variables.get("ctx"),
}
_SECOND_RUNS = ("recompute_fn", "backward")
