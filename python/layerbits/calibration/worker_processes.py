"""The coverage of tasks of the lists in several processes, because small tasks use a single core each.

A task has functions, which cannot be sent to another process; a worker finds the task by its name.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from layerbits._base import check_count, progress
from layerbits.calibration.coverage_check import Coverage, check_seeds, check_tasks, coverage, task_coverage
from layerbits.calibration.tasks import BASELINES, V1, V2, V3, CoverageTask

_MOST_PROCESSES = 1024
_LISTS = (*V1, *V2, *V3, *BASELINES)


def coverage_in_processes(tasks: Sequence[CoverageTask], *, seeds: Sequence[int], processes: int) -> list[Coverage]:
    """Compute the rows of `coverage` with its defaults, in several processes; `tasks` are tasks of the lists.

    Raises
    ------
    TypeError, ValueError
        An argument has a wrong type or value.
    KeyError
        A task is in none of the lists V1, V2, V3 and BASELINES.

    Examples
    --------
    >>> import layerbits as lb
    >>> tasks = lb.calibration.V1[:2]
    >>> rows = lb.calibration.coverage_in_processes(tasks, seeds=[0, 1], processes=1)
    >>> [row.task for row in rows] == [task.name for task in tasks]
    True
    """
    check_tasks(tasks)
    check_seeds(seeds)
    check_count("processes", processes, minimum=1, maximum=_MOST_PROCESSES)
    known = {task.name for task in _LISTS}
    for task in tasks:
        if task.name not in known:
            raise KeyError(
                f"tasks: got {task.name!r}, wanted tasks of V1, V2, V3 and BASELINES; use `coverage` for others"
            )
    if processes == 1:
        return coverage(tasks, seeds=seeds)
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # CUDA and threads do not survive a fork
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker)
    try:
        results = pool.map(partial(_rows, seeds=seeds), [task.name for task in tasks])
        rows = [row for rows in progress(results, name="check", total=len(tasks)) for row in rows]
    except BaseException:
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return rows


def _start_worker() -> None:
    # Ctrl-C reaches all processes of a terminal; the main process ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A worker of a killed main process would wait for its next task for ever.
    threading.Thread(target=_end_with_main_process, daemon=True).start()


def _end_with_main_process() -> None:
    if main_process := multiprocessing.parent_process():
        main_process.join()
        os._exit(1)


def _rows(name: str, seeds: Sequence[int]) -> list[Coverage]:
    task = next(task for task in _LISTS if task.name == name)
    return task_coverage(task, seeds)
