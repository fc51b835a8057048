"""The folder of a run and its `run.json`: experiment, settings, seeds, versions, machine, timings and summary."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from layerbits._base import (
    DRAFT_PREFIX,
    LOCK_FILE,
    RUN_RECORD,
    FolderLock,
    UsageError,
    damaged_file,
    installed_version,
    read_json,
    replacing,
    shown,
    shown_path,
    stacklevel_of_user,
    write_json,
)
from layerbits.experiments.framework.configuration import Configuration, device_of
from layerbits.kernels import backends, cuda_devices, environment, other_environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURE_DPI = 150


class RunFolder:
    """A folder that one run writes to.

    Parameters
    ----------
    path : path
        Made if it is missing.
    experiment : str
        Name of the experiment.
    config : Configuration
        Settings of the experiment.
    resume : bool
        True: continue the run in `path`, or begin one if `path` is empty. False: `path` must be empty.

    Attributes
    ----------
    path : pathlib.Path
        The folder.
    summary : dict
        The main numbers of the run, which the experiment fills in.

    Raises
    ------
    UsageError
        The folder cannot be written to, is not empty, holds a run of another experiment or with other settings, or
        another process writes to it.
    """

    def __init__(self, path: str | os.PathLike[str], *, experiment: str, config: Configuration, resume: bool) -> None:
        self.path = Path(path)
        self.summary: dict[str, float] = {}
        self._phases: list[str] = []
        self._phase_started = 0.0
        self._earlier_environments: list[dict[str, object]] = []
        self._record: dict[str, Any] = {
            "experiment": experiment,
            "status": "running",
            "configuration": settings_as_json(config),
            "seeds": {"seed": config.seed},
            "versions": versions(),
            "machine": _machine(device_of(config)),
            "environments": [environment()],
            "timings": {},
            "summary": self.summary,
        }
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            prepare = self._resume if resume else self._require_empty
            prepare()  # first without the lock: a folder that is refused gets no lock file
            self._lock = FolderLock(self.path)
            try:
                prepare()
                self._warn_of_other_environment()
                self._write()
            except BaseException:
                self._lock.release()
                raise
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written to ({error.strerror}); name another folder") from error

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Record the status ``finished`` if the block ends, ``interrupted`` if it raises; release the folder."""
        try:
            yield
            self._record["status"] = "finished"
            self._write()
        except BaseException:
            self._record["status"] = "interrupted"
            with contextlib.suppress(UsageError):  # the error of the block names the file that failed
                self._write()
            raise
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the duration of the block, less the phases inside it, to the timing `name`."""
        self._add_time()
        self._phases.append(name)
        try:
            yield
        except BaseException:
            self._leave_phase()
            with contextlib.suppress(UsageError):  # the error of the block names the file that failed
                self._write()
            raise
        self._leave_phase()
        self._write()

    def _leave_phase(self) -> None:
        self._add_time()
        self._phases.pop()

    def _add_time(self) -> None:
        now = time.perf_counter()
        if self._phases:
            timings, name = self._record["timings"], self._phases[-1]
            timings[name] = timings.get(name, 0.0) + now - self._phase_started
        self._phase_started = now

    def _write(self) -> None:
        write_json(self.path / RUN_RECORD, self._record)

    def _require_empty(self) -> None:
        if any(file.name != LOCK_FILE for file in self.path.iterdir()):
            raise UsageError(f"{self.path}: not empty; name another folder, or continue the run in it with --resume")

    def _resume(self) -> None:
        if not (self.path / RUN_RECORD).exists():
            # A run that was killed at its start left only a draft and the lock file, and begins again.
            if all(file.name.startswith((DRAFT_PREFIX, LOCK_FILE)) for file in self.path.iterdir()):
                return
            raise UsageError(
                f"{self.path}: no run.json, so no run to resume; leave out --resume, or name a run's folder"
            )
        earlier_record = read_json(self.path / RUN_RECORD)
        require_same_run(self.path, earlier_record, self._record["experiment"], self._record["configuration"])
        timings = earlier_record.get("timings")
        if not isinstance(timings, dict) or not all(
            type(time) in (int, float) and time >= 0 for time in timings.values()
        ):
            raise damaged_file(self.path / RUN_RECORD, f"its timings are {shown(timings)}, wanted an object of seconds")
        environments = earlier_record.get("environments", [])
        if not isinstance(environments, list) or not all(isinstance(item, dict) for item in environments):
            raise damaged_file(
                self.path / RUN_RECORD, f"its environments are {shown(environments)}, wanted a list of objects"
            )
        self._record["timings"] = timings
        self._earlier_environments = environments

    def _warn_of_other_environment(self) -> None:
        """Add the present environment to those of the earlier parts of the run, and warn if the last one differs."""
        earlier, present = self._earlier_environments, environment()
        self._record["environments"] = [*(item for item in earlier if item != present), present]
        if earlier and (changes := other_environment(earlier[-1])):
            warnings.warn(
                f"{shown_path(self.path)}: the run had another {changes}; new numbers may differ",
                RuntimeWarning,
                stacklevel=stacklevel_of_user(),
            )


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure as a PNG file."""
    for axes in figure.axes:
        # matplotlib may choose invalid limits for a panel without data, for example early in a run.
        if axes.get_xscale() == "log" and axes.get_xlim()[0] <= 0:
            axes.set_xlim(0.1, 1)
        if axes.get_yscale() == "log" and axes.get_ylim()[0] <= 0:
            axes.set_ylim(0.1, 1)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=_FIGURE_DPI)


def versions() -> dict[str, str]:
    """Return the versions of Python, layerbits and its main dependencies."""
    packages = ("layerbits", "torch", "numpy", "scipy", "matplotlib")
    return {"python": platform.python_version(), **{name: installed_version(name) for name in packages}}


def _machine(device: str) -> dict[str, Any]:
    index = torch.device(device).index or 0
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device if device == "cpu" else f"{device}: {cuda_devices()[index][0]}",
        "backends": [str(backend) for backend in backends()],
    }


def _processor() -> str:
    with contextlib.suppress(OSError):  # on Linux platform.processor() is empty
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def settings_as_json(config: Configuration) -> dict[str, Any]:
    """Return the settings as in run.json, with lists in place of tuples."""
    settings: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return settings


def require_same_run(path: Path, record: Mapping[str, Any], experiment: str, configuration: Mapping[str, Any]) -> None:
    """Raise a UsageError unless a folder has the record of this experiment with this configuration, as in run.json."""
    _require_equal("experiment", record.get("experiment"), experiment)
    settings = record.get("configuration")
    if not isinstance(settings, dict):
        raise damaged_file(path / RUN_RECORD, f"its configuration is {shown(settings)}, wanted an object")
    for name, value in configuration.items():
        _require_equal(name, settings.get(name), value)


def _require_equal(name: str, earlier_value: object, value: object) -> None:
    if earlier_value != value:
        raise UsageError(
            f"{name}: the run to resume has {earlier_value!r}, got {value!r}; give the same, or another folder"
        )
