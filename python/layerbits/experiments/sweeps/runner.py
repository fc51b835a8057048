"""Run all cells of a grid on an executor, try failed cells again, and keep the tables of the sweep."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerbits._base import (
    LOCK_FILE,
    FolderLock,
    UsageError,
    check_count,
    check_positive,
    data_frame,
    progress,
    read_json,
    shown_repr,
    write_csv,
    write_json,
)
from layerbits.experiments.framework.child_processes import FAILED, FINISHED
from layerbits.experiments.framework.run_folder import settings_as_json
from layerbits.experiments.registry import experiment_named
from layerbits.experiments.sweeps.cell_runs import NOT_RUN, CellRun, run_cell, wait_for_end
from layerbits.experiments.sweeps.executors import local_executor
from layerbits.experiments.sweeps.grid import cells_of

if TYPE_CHECKING:
    import pandas

SWEEP_RECORD, _TABLE = "sweep.json", "sweep.csv"
_COLUMNS = ("cell", "status", "attempts", "reason")
_DISK_FULL = os.strerror(errno.ENOSPC)
_WANTED_EXECUTOR = "an executor of concurrent.futures, such as layerbits.experiments.local_executor(4)"


@dataclasses.dataclass(frozen=True)
class SweepCell:
    """A cell of a sweep.

    Attributes
    ----------
    name : str
        Name of its folder, such as ``seed=0,sigma=0.05``.
    settings : mapping of str to str
        The settings of the grid, as texts.
    status : str
        "finished", "failed", "timed out", or "not run".
    attempts : int
        Processes that were started by this sweep; 0 if the cell had finished before.
    summary : mapping of str to float
        The main numbers of the run; empty unless it has finished.
    reason : str
        Reason why it has not finished; empty if it has.

    Examples
    --------
    >>> import layerbits as lb
    >>> cell = lb.SweepCell("seed=0", {"seed": "0"}, "failed", attempts=2, summary={}, reason="out of memory")
    >>> cell.status, cell.reason
    ('failed', 'out of memory')
    """

    name: str
    settings: Mapping[str, str]
    status: str
    attempts: int
    summary: Mapping[str, float]
    reason: str


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The cells of a sweep, in the order of the grid, and the folder with a run's folder for each.

    Examples
    --------
    >>> from pathlib import Path
    >>> import layerbits as lb
    >>> finished = lb.SweepCell("seed=0", {"seed": "0"}, "finished", attempts=1, summary={"accuracy": 0.9}, reason="")
    >>> failed = lb.SweepCell("seed=1", {"seed": "1"}, "failed", attempts=2, summary={}, reason="out of memory")
    >>> [cell.name for cell in lb.Sweep(Path("runs"), (finished, failed)).unfinished]
    ['seed=1']
    """

    directory: Path
    cells: tuple[SweepCell, ...]

    @property
    def unfinished(self) -> tuple[SweepCell, ...]:
        """The cells that have not finished."""
        return tuple(cell for cell in self.cells if cell.status != FINISHED)

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame with a row for each cell: name, status, attempts, reason, settings and summary.

        Raises
        ------
        UsageError
            pandas is missing.
        """
        columns, rows = _table(self.cells)
        return data_frame([dict(zip(columns, row, strict=True)) for row in rows], columns)


def sweep(
    experiment: str,
    grid: Mapping[str, Iterable[object]],
    directory: str | os.PathLike[str],
    *,
    quick: bool = False,
    executor: Executor | None = None,
    threads: int = 1,
    timeout: float | None = None,
    retries: int = 1,
    resume: bool = False,
    on_end: Callable[[SweepCell, Path], None] | None = None,
) -> Sweep:
    """Run an experiment with all combinations of the settings of a grid.

    Each cell runs in a process of its own and in a run folder of its own, ``directory/seed=0,sigma=0.05``; its output
    is in the file of this name with the suffix ``.log``. A cell that fails or is killed is tried again and continues
    from its files. A sweep that was killed continues with `resume`, to the same numbers.

    Parameters
    ----------
    experiment : str
        Name of the experiment.
    grid : mapping of str to list
        Values of each setting, such as ``{"seed": range(20), "sigma": [0.005, 0.05]}``.
    directory : path
        Folder of the sweep, which all workers must share. It has ``sweep.json`` and ``sweep.csv``, a row for each cell.
    quick : bool, optional
        Whether the other settings are those of a quick run.
    executor : concurrent.futures.Executor, optional
        Runs the cells, such as ``dask.distributed.Client(...).get_executor()``. By default one cell at a time runs on
        this machine; `layerbits.experiments.local_executor` runs several at a time.
    threads : int, optional
        Threads of torch and of the kernels in each cell. With another number, numbers may differ by rounding.
    timeout : float, optional
        Seconds after which an attempt is ended; None for no limit.
    retries : int, optional
        Largest number of further attempts for a cell that does not finish.
    resume : bool, optional
        Whether to continue the sweep in `directory`. Its grid may have grown.
    on_end : callable, optional
        Called with each cell that has ended, finished or failed for good, and with the path of its output.

    Returns
    -------
    Sweep
        The cells. A cell that has not finished does not raise an exception: see `Sweep.unfinished`.

    Raises
    ------
    UsageError
        No such experiment or setting, an invalid value, or a folder that is not empty, is in use by another process,
        or holds a sweep of another experiment; or `executor` accepts no call, or returns no Future.
    TypeError, ValueError
        `executor`, `threads`, `timeout` or `retries` has the wrong type or value.

    Examples
    --------
    >>> import tempfile
    >>> import layerbits as lb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cells = lb.sweep("szt-tanh", {"seed": [0], "epochs": [3]}, folder, quick=True).cells
    >>> [(cell.name, cell.status) for cell in cells]
    [('seed=0,epochs=3', 'finished')]
    """
    check_count("threads", threads, minimum=1)
    check_count("retries", retries, minimum=0)
    if timeout is not None:
        check_positive("timeout", timeout)
    if isinstance(executor, type) or not (executor is None or callable(getattr(executor, "submit", None))):
        raise TypeError(f"executor: got {shown_repr(executor)}, wanted {_WANTED_EXECUTOR}")
    settings = cells_of(grid)
    definition = experiment_named(experiment)
    # All settings are checked before the first run.
    configurations = {
        name: settings_as_json(definition.configuration(texts, quick=quick)) for name, texts in settings.items()
    }
    path = Path(directory).absolute()
    record = {"experiment": experiment, "quick": quick, "threads": threads}
    state = record | {"settings": list(grid), "cells": len(settings)}
    with _owned(path, record, resume=resume):
        runs = {
            name: CellRun(experiment, texts, configurations[name], str(path / name), quick, threads, timeout)
            for name, texts in settings.items()
        }
        cells: dict[str, SweepCell] = {}
        failures: dict[str, str] = {}
        write_json(path / SWEEP_RECORD, state | {"failures": failures})
        with contextlib.closing(_ended(runs, executor, retries)) as ended:
            for cell in progress(ended, name=f"sweep of {experiment}", total=len(runs)):
                cells[cell.name] = cell
                if cell.status != FINISHED:
                    failures[cell.name] = f"{cell.status}: {cell.reason}"
                    write_json(path / SWEEP_RECORD, state | {"failures": failures})
                if on_end is not None:
                    on_end(cell, runs[cell.name].log)
                table = _table([cells[name] for name in runs if name in cells])
                write_csv(path / _TABLE, *table, checksum=False)
    return Sweep(path, tuple(cells[name] for name in runs))


@contextlib.contextmanager
def _owned(path: Path, record: dict[str, Any], *, resume: bool) -> Iterator[None]:
    """Lock the folder of a sweep; raise UsageError if the folder is not empty or has another record."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        _require_fitting(path, record, resume=resume)  # a folder that is refused gets no lock file
        lock = FolderLock(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written to ({error.strerror}); name another folder") from error
    try:
        _require_fitting(path, record, resume=resume)
        yield
    finally:
        lock.release()


def _require_fitting(path: Path, record: Mapping[str, Any], *, resume: bool) -> None:
    if resume and (path / SWEEP_RECORD).exists():
        _require_equal(read_json(path / SWEEP_RECORD), record)
    elif any(file.name not in (LOCK_FILE, SWEEP_RECORD) for file in path.iterdir()):  # no run was started
        raise UsageError(
            f"{path}: not empty; name another folder, or continue the sweep in it with resume=True, --resume"
        )


def _require_equal(earlier_record: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    for name, value in record.items():
        if earlier_record.get(name) != value:
            raise UsageError(
                f"{name}: the sweep to resume has {earlier_record.get(name)!r}, got {value!r}; give the same, or "
                "another folder"
            )


def _ended(runs: Mapping[str, CellRun], executor: Executor | None, retries: int) -> Generator[SweepCell, None, None]:
    """Yield each cell when it has finished, or has failed more than `retries` times."""
    waiting = {}
    for name, run in runs.items():
        summary = run.summary()
        if summary is None:
            waiting[name] = run
        else:
            yield SweepCell(name, run.settings, FINISHED, 0, summary, "")
    with contextlib.nullcontext(executor) if executor is not None else local_executor(1) as pool:
        pending: dict[Future[tuple[str, str]], tuple[str, int]] = {}
        try:
            for name, run in waiting.items():
                pending[_submit(pool, run, is_first=not pending)] = name, 1
            while pending:
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    name, attempt = pending.pop(future)
                    status, reason = _outcome(future, runs[name])
                    summary = runs[name].summary()
                    if status in (FAILED, NOT_RUN) and summary is not None:
                        status, reason = FINISHED, ""  # the cell has finished, and its outcome was lost on the way
                    elif status == FINISHED and summary is None:
                        status, reason = FAILED, f"{runs[name].folder} has no finished run; share it with all workers"
                    run = runs[name]
                    reason = reason.replace(f"{run.folder}/", "").replace(str(run.log), run.log.name)
                    reason = reason.removeprefix("layerbits: ")
                    if _DISK_FULL in reason:
                        reason += "; not tried again: free space, and resume the sweep"
                    elif status not in (FINISHED, NOT_RUN) and attempt <= retries:
                        pending[_submit(pool, runs[name])] = (name, attempt + 1)
                        continue
                    attempts = 0 if status == NOT_RUN else attempt
                    yield SweepCell(name, runs[name].settings, status, attempts, summary or {}, reason)
        finally:
            for future in pending:
                future.cancel()


def _submit(executor: Executor, run: CellRun, *, is_first: bool = False) -> Future[tuple[str, str]]:
    """Submit a cell; if the executor raises an exception, return a future with the exception.

    Raises
    ------
    UsageError
        The executor raises an exception at the first call, or returns no Future.
    """
    name = type(executor).__name__
    try:
        submitted = executor.submit(run_cell, run)
    except Exception as error:
        if is_first:
            raise UsageError(f"executor: submit of {name} raised {error!r}, wanted {_WANTED_EXECUTOR}") from error
        future: Future[tuple[str, str]] = Future()
        future.set_exception(error)
        return future
    if not isinstance(submitted, Future):
        is_of_submitit = type(executor).__module__.startswith("submitit")
        remedy = "; for submitit, use layerbits.experiments.slurm_executor" if is_of_submitit else ""
        raise UsageError(
            f"executor: submit of {name} returned {type(submitted).__name__}, wanted {_WANTED_EXECUTOR}{remedy}"
        )
    return submitted


def _outcome(future: Future[tuple[str, str]], run: CellRun) -> tuple[str, str]:
    """Return the status and the reason of an ended cell."""
    try:
        status, reason = future.result()
        return str(status), str(reason)
    except CancelledError:
        return NOT_RUN, "the executor cancelled it"
    except BrokenExecutor as error:
        wait_for_end(run)  # the cell may still finish
        return NOT_RUN, f"the executor is broken ({error}); resume the sweep with another one"
    except Exception as error:
        return FAILED, f"{type(error).__name__}: {error}"


def _table(cells: Sequence[SweepCell]) -> tuple[list[str], list[list[object]]]:
    """Return the columns and rows of a table of the cells; None stands for a number that a summary lacks."""
    settings = list(dict.fromkeys(name for cell in cells for name in cell.settings))
    numbers = list(dict.fromkeys(name for cell in cells for name in cell.summary if name not in settings))
    rows: list[list[object]] = [
        [cell.name, cell.status, cell.attempts, cell.reason]
        + [cell.settings.get(name) for name in settings]
        + [cell.summary.get(name) for name in numbers]
        for cell in cells
    ]
    return [*_COLUMNS, *settings, *numbers], rows
