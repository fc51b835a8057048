"""Processes that make the same call together and share its work: the collectives of torch.distributed.

Each process of a group runs the whole call on the same network, data and options. A piece of work that takes long is
computed by one process, and `Processes.gather` hands its result to all. So all processes take the same decisions from
the same numbers, and a result has the same bits for any number of processes if a piece has the same bits in each.

Every exchange carries the name of its step and the error of a process that failed. So an error of one process is raised
by all at their next exchange, and processes that make different calls stop with an error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import torch.distributed

from layerbits._base import GroupError, shown
from layerbits.kernels.digests import digest
from layerbits.kernels.environments import environment

T = TypeVar("T")

_BACK_ENDS = ("gloo", "nccl")

# Longest wait for an answer of the store of a group, which takes less than a millisecond on an idle machine.
_STORE_SECONDS = 10.0

# How to make the parts of a call equal on all ranks.
_REMEDY = "pass the same network, all of the data and the same options on every rank"
_SAME_ENVIRONMENT = (
    "install the same versions, call torch.set_num_threads with one number on every rank, and use machines of one kind"
)
_REMEDIES = {
    "buffers": (
        "the running statistics of batch normalization differ after ranks trained on different rows: before a "
        "measurement, run on every rank: for b in model.buffers(): torch.distributed.broadcast(b, 0); or train with "
        "torch.nn.SyncBatchNorm, which needs GPUs"
    )
}


@dataclasses.dataclass(frozen=True)
class _Report:
    """The part of an exchange that one process sends."""

    step: str
    error: str
    result: Any
    arrivals: int


class _Arrivals:
    """The number of exchanges that each process of a group has reached, in the store of the group.

    The numbers only name a process that another one waits for, in the message of an exchange that failed. So errors of
    the store are ignored, and the numbers are then unknown.
    """

    def __init__(self, group: Any, rank: int, size: int) -> None:
        self._group, self._rank, self._size, self._own = group, rank, size, 0
        self._answers = True

    def add(self, number: int) -> int:
        """Add a number of exchanges of this process, and return their sum."""
        if number:
            self._own = self._of(self._rank, number) or self._own + number
        return self._own

    def missing(self) -> str:
        """Name the ranks that have reached fewer exchanges than this process, as far as known."""
        numbers = {rank: self._of(rank) for rank in range(self._size)}
        late = [str(rank) for rank, number in numbers.items() if number is not None and number < self._own]
        if late:
            return f"rank {', '.join(late)} did not reach this step; "
        if set(numbers.values()) == {None}:
            return "the store of the group does not answer, so the process that has it, often rank 0, may have ended; "
        return ""

    def _of(self, rank: int, added: int = 0) -> int | None:
        numbers: list[int] = []

        def ask() -> None:
            with contextlib.suppress(Exception):
                store = torch.distributed.distributed_c10d._get_process_group_store(self._group)
                numbers.append(int(store.add(f"layerbits/{rank}", added)))

        if self._answers:
            # A store behind a broken link answers neither at once nor within a time-out.
            thread = threading.Thread(target=ask, daemon=True)
            thread.start()
            thread.join(_STORE_SECONDS)
            self._answers = not thread.is_alive()
        return next(iter(numbers), None)


Group = torch.distributed.ProcessGroup | None


class Processes:
    """The processes of a group that share the work of a call; for None, this process alone.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup or None
        The group, with the back end gloo or NCCL.

    Raises
    ------
    TypeError, ValueError
        `group` is something else or has another back end, torch.distributed is not initialized, or the group lacks
        this process.
    """

    def __init__(self, group: object = None) -> None:
        self._group: Any = group
        self._failed = False
        self.rank, self.size = (0, 1) if group is None else _rank_and_size(group)
        self._arrivals = _Arrivals(group, self.rank, self.size)

    @property
    def global_ranks(self) -> tuple[int, ...]:
        """Ranks of the processes among all processes, which a device mesh names."""
        return () if self._group is None else tuple(torch.distributed.get_process_group_ranks(self._group))

    def __deepcopy__(self, memo: dict[int, Any]) -> Processes:
        """Return the object itself: a group of processes cannot be copied."""
        return self

    def gather(self, step: str, compute: Callable[[], T]) -> list[T]:
        """Return the results of `compute` on all processes, in the order of their ranks.

        Raises
        ------
        Exception
            The error of `compute` on this process.
        GroupError
            Another process failed, is at another step, or did not take part before the time-out of the group.
        """
        if self.size == 1:
            return [compute()]
        try:
            result, error = compute(), None
        except Exception as failure:  # all processes learn of any error
            result, error = None, failure
        reports = self._exchange(step, result, error)
        return [report.result for report in reports]

    def agreed(self, step: str, value: T) -> T:
        """Return the value of rank 0, such as a time, which differs between the processes."""
        return self.gather(step, lambda: value)[0]

    @contextlib.contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Tell the other processes of an error of this process in a ``with`` block, and end the block together."""
        self._failed = False
        try:
            yield
        except Exception as error:
            if self.size > 1 and not self._failed:
                self._exchange(name, None, error)
            raise
        self.gather(f"the end of {name}", lambda: None)

    def check_equal(self, name: str, **parts: object) -> None:
        """Compare the arguments of a call, by hashes, and versions and threads on all processes.

        Raises
        ------
        ValueError
            Processes differ; the message, on every process, names the argument and a rank, and shows short values.
        """
        if self.size == 1:
            return
        ours = {part: (digest(value), _short_text(value)) for part, value in (parts | environment()).items()}
        gathered = self.gather(f"the arguments of {name}", lambda: ours)
        for rank, theirs in enumerate(gathered):
            for part, first in gathered[0].items():
                other = theirs.get(part, ("", ""))
                if other[0] != first[0]:
                    self._failed = True
                    got = f"got different {part} on rank 0 and rank {rank}"
                    if "" not in (other[1], first[1]) and other[1] != first[1]:
                        got = f"got {part} = {first[1]} on rank 0 and {other[1]} on rank {rank}"
                    remedy = _SAME_ENVIRONMENT if part in environment() else _REMEDIES.get(part, _REMEDY)
                    raise ValueError(f"group: {got}, wanted the same on every rank; {remedy}")

    def check_result(self, name: str, result: T) -> T:
        """Return a result; GroupError if it differs between the processes."""
        if self.size > 1 and len(set(self.gather(f"the result of {name}", lambda: digest(result)))) > 1:
            self._failed = True
            raise GroupError(
                f"group: got results of {name} that differ between the ranks, wanted the same bits; the machines may "
                "round differently: use machines of one kind"
            )
        return result

    def _exchange(self, step: str, result: Any, error: Exception | None) -> list[_Report]:
        message = "" if error is None else f"{type(error).__name__}: {error}"
        reports: list[Any] = [None] * self.size
        try:
            report = _Report(step, message, result, self._arrivals.add(1))
            torch.distributed.all_gather_object(reports, report, group=self._group)
        except Exception as failure:  # torch raises errors of several types
            self._failed = True
            raise GroupError(
                f"group: rank {self.rank} of {self.size} waited at {step!r} for the other ranks, and one has ended or "
                f"did not take part within the time-out of the group; {self._arrivals.missing()}make the same call on "
                "every rank, and see the output of the other ranks"
            ) from (error or failure)
        self._arrivals.add(max(report.arrivals for report in reports) - reports[self.rank].arrivals)
        failed = [rank for rank, report in enumerate(reports) if report.error]
        self._failed = bool(failed)
        if error is not None:
            raise error
        if failed:
            raise GroupError(f"group: rank {failed[0]} of {self.size} raised {reports[failed[0]].error}")
        for rank, report in enumerate(reports):
            if report.step != reports[0].step:
                self._failed = True
                raise GroupError(
                    f"group: rank {rank} is at {report.step!r} and rank 0 at {reports[0].step!r}, wanted the same call "
                    "on every rank"
                )
        return reports


ALONE = Processes()


def _short_text(value: object) -> str:
    """Return the text of a number, a name or a flag; empty for all other values."""
    return shown(value) if value is None or isinstance(value, int | float | str) else ""


def _rank_and_size(group: object) -> tuple[int, int]:
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        raise ValueError(
            f"group: got {type(group).__name__} without an initialized torch.distributed, wanted a process group; call "
            "torch.distributed.init_process_group first"
        )
    if group is torch.distributed.GroupMember.NON_GROUP_MEMBER:
        raise ValueError("group: got a group without this process, wanted one of its ranks; do not call it here")
    if not isinstance(group, torch.distributed.ProcessGroup):
        raise TypeError(
            f"group: got {type(group).__name__}, wanted a process group of torch.distributed, such as "
            "torch.distributed.group.WORLD, or None; of a DeviceMesh, pass mesh.get_group()"
        )
    back_end = torch.distributed.get_backend_config(group)
    if not any(name in back_end for name in _BACK_ENDS):
        raise TypeError(f"group: got the back end {back_end}, wanted {' or '.join(_BACK_ENDS)}")
    return torch.distributed.get_rank(group), torch.distributed.get_world_size(group)
