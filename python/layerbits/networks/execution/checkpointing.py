"""Activation checkpointing: recognize passes that a backward pass will run again, and store their noise.

Torch creates one object for each checkpointed pass and uses the same object in the second run: the saved state of the
generator, or the context of the autograd function. A weak dictionary maps that object to the distribution of each
call's noise (in compiled code, to whether the noise was off), so that the second run uses the same distributions; torch
restores the generator.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils import checkpoint
from torch.utils.weak import WeakIdKeyDictionary

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.call_stack import frames, runs_module

_FILE = checkpoint.__file__
# The file of the autograd functions of compiled code, whose backward passes may compute noise again.
_COMPILED_FILE = "_aot_autograd/runtime_wrappers.py"


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
    """

    first_runs: tuple[object, ...] = ()
    second_run: object = None
    run_id: tuple[int, int] = (-1, 0)


_NO_PASSES = RunningPasses()


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
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        pass_object = _pass_of(frame)
        if pass_object is not None and frame.f_code.co_name in _SECOND_RUNS:
            return RunningPasses(tuple(first_runs), pass_object, (torch._C._current_graph_task_id(), id(frame)))
        if pass_object is not None:
            first_runs.append(pass_object)
        frame = frame.f_back
    if not first_runs and _saves_for_checkpoint():
        raise ValueError(
            f"checkpoint: got a pass around a noisy layer that torch {torch.__version__} began in an unknown way, "
            "wanted torch.utils.checkpoint.checkpoint of torch <= 2.14; keep noisy layers out of the checkpoint"
        )
    return RunningPasses(tuple(first_runs))


def calling_module() -> tuple[nn.Module | None, bool]:
    """Return the innermost module that runs, and whether its forward runs the caller in a checkpoint.

    Raises
    ------
    ValueError
        The checkpoint does not restore the generators.
    """
    in_checkpoint = False
    for frame in frames():
        # Within the forward of a module torch.compile may run a graph, which has its noise already.
        if runs_module(frame):
            return frame.f_locals.get("self"), in_checkpoint
        in_checkpoint = in_checkpoint or _is_checkpoint_frame(frame)
    return None, in_checkpoint


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
    if code.co_name not in _READERS or not code.co_filename.endswith((_FILE, _COMPILED_FILE)):
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


@dataclasses.dataclass
class _Calls:
    """The distribution of the noise of each call in a pass, and the number of calls that its second run repeated."""

    noise: list[Any] = dataclasses.field(default_factory=list)
    run_id: tuple[int, int] = (-1, 0)
    n_repeated: int = 0


class RecomputedCalls:
    """The distribution of the noise of each call of a layer in checkpointed passes, in the order of the calls.

    The distribution is a `GaussianNoise` or a `DropoutNoise`, or None for a call without noise; for compiled code it is
    replaced by whether the noise was off. Copies and pickles are empty: a copy has run no pass.
    """

    def __init__(self) -> None:
        self._calls: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __reduce__(self) -> tuple[type[RecomputedCalls], tuple[()]]:
        """Pickle no calls."""
        return RecomputedCalls, ()

    def remember(self, passes: RunningPasses, noise: object) -> None:
        """Store the distribution of the noise of a call, for each checkpointed pass that runs for the first time."""
        for pass_object in passes.first_runs:
            self._calls_of(pass_object).noise.append(noise)

    def recall(self, layer: str, passes: RunningPasses) -> Any:
        """Return the distribution that the noise of this call had in the first run of the pass.

        Raises
        ------
        LayerSelectionError
            The first run had no such call.
        """
        calls = self._calls_of(passes.second_run)
        if calls.run_id != passes.run_id:
            calls.run_id, calls.n_repeated = passes.run_id, 0
        if calls.n_repeated >= len(calls.noise):
            raise LayerSelectionError(
                f"layers: got {layer!r} more often in the second run of a checkpointed pass than in its first run, "
                "wanted equal runs; run the backward pass before noisify changes the noise"
            )
        calls.n_repeated += 1
        return calls.noise[calls.n_repeated - 1]

    def is_waiting(self) -> bool:
        """Return whether the second run of a pass is still to come."""
        passes = self._calls.items()  # type: ignore[no-untyped-call]
        return any(calls.n_repeated < len(calls.noise) for _, calls in passes)

    def _calls_of(self, pass_object: object) -> _Calls:
        if pass_object not in self._calls:
            self._calls[pass_object] = _Calls()
        calls: _Calls = self._calls[pass_object]
        return calls
