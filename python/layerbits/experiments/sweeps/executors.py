"""Executors for `sweep`: processes of this machine, a Dask cluster, and jobs of Slurm."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from layerbits._base import UsageError, check_count, require_package, shown

_CONNECTION_SECONDS = 10.0
_POLL_SECONDS = 1.0
_LARGEST_ARRAY = 1000  # jobs of Slurm at a time


def local_executor(jobs: int) -> Executor:
    """Return an executor that runs `jobs` cells at a time on this machine; its ``with`` block ends them when it ends.

    Threads suffice, because each cell has a process of its own.
    """
    return _LocalExecutor(check_count("jobs", jobs, minimum=1))


class _LocalExecutor(ThreadPoolExecutor):
    """An executor that stops the calls of `run_cell` when its block ends."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs)
        self._stop = threading.Event()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        return super().submit(function, *arguments, self._stop)

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self.shutdown(cancel_futures=True)


@contextlib.contextmanager
def dask_executor(address: str, *, jobs: int = 1) -> Iterator[Executor]:
    """Yield the executor of a Dask cluster.

    Parameters
    ----------
    address : str
        Address of a scheduler, such as ``tcp://host:8786``, or ``local`` for a cluster of `jobs` workers that is
        started here and ends with the block.
    jobs : int, optional
        Number of workers of the cluster ``local``.

    Raises
    ------
    UsageError
        Dask is not installed, the address has another form, or the scheduler does not answer within 10 s.
    """
    require_package("distributed", extra="cluster", purpose="sweeps on Dask")
    distributed: Any = importlib.import_module("distributed")  # its functions have no types
    with contextlib.ExitStack() as stack:
        try:
            if address == "local":
                # A cell has a process of its own; one thread of a worker waits for it.
                cluster = distributed.LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=":0")
                client = distributed.Client(stack.enter_context(cluster))
            else:
                client = distributed.Client(address, timeout=_CONNECTION_SECONDS)
        except ValueError as error:
            raise UsageError(f"dask: got {shown(address)}, wanted tcp://HOST:PORT or local ({error})") from error
        except (OSError, TimeoutError) as error:
            raise UsageError(
                f"dask: got {address}, where no scheduler answers within {_CONNECTION_SECONDS:g} s "
                f"({type(error).__name__}); start one with `dask scheduler`, or use `local`"
            ) from error
        yield stack.enter_context(_DaskExecutor(stack.enter_context(client)))


class _DaskExecutor(Executor):
    """The executor of a client of Dask, which cancels its futures when the client has lost the scheduler.

    Dask itself then cancels the futures, except one whose result is being transferred.
    """

    def __init__(self, client: Any) -> None:
        self._client, self._executor = client, client.get_executor()
        self._futures: list[Future[Any]] = []
        self._stop = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = self._executor.submit(function, *arguments)
        self._futures.append(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._stop.set()
        if self._client.status != "closed":
            self._executor.shutdown(wait=wait)

    def _watch(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            if self._client.status == "closed":
                for future in self._futures:
                    if not future.done() and future.cancel():
                        with contextlib.suppress(RuntimeError):  # Dask has cancelled it
                            future.set_running_or_notify_cancel()


def slurm_executor(
    folder: Path, options: Mapping[str, Any], *, cluster: str = "slurm", jobs: int = _LARGEST_ARRAY
) -> Executor:
    """Return an executor that submits each cell as a job of Slurm, by submitit.

    Parameters
    ----------
    folder : Path
        Folder for the files of submitit, on a file system that all machines share.
    options : mapping
        Parameters of ``submitit.AutoExecutor.update_parameters``, such as ``slurm_partition`` and ``timeout_min``.
    cluster : str, optional
        ``slurm``, or ``local``, which runs the jobs as processes of this machine.
    jobs : int, optional
        Largest number of jobs at a time.

    Raises
    ------
    UsageError
        submitit is not installed, there is no Slurm, or the cluster or an option is unknown.
    """
    require_package("submitit", extra="cluster", purpose="sweeps on Slurm")
    import submitit

    if cluster not in ("slurm", "local"):  # submitit's "debug" runs cells in this process, in its debugger
        raise UsageError(f"slurm: got cluster={shown(cluster)}, wanted slurm or local")
    if cluster == "slurm" and shutil.which("srun") is None:
        raise UsageError(
            "slurm: this machine has no srun, wanted one of a cluster with Slurm; to try without it, use "
            "`--slurm cluster=local`"
        )
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(**options)
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise UsageError(f"slurm: {' '.join(str(error).split())}") from error
    return _JobExecutor(lambda function, arguments: executor.submit(function, *arguments).result(), jobs)


class _JobExecutor(ThreadPoolExecutor):
    """An executor whose threads wait for the jobs of a batch system."""

    def __init__(self, run_job: Callable[[Callable[..., Any], tuple[Any, ...]], Any], jobs: int) -> None:
        super().__init__(check_count("jobs", jobs, minimum=1))
        self._run_job = run_job

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        return super().submit(self._run_job, function, arguments)
