"""Find the folders of runs, and refuse links, FIFOs and devices in place of their files, by name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from layerbits._base import DRAFT_PREFIX, RUN_RECORD, UsageError
from layerbits.experiments import SWEEP_RECORD, is_finished
from layerbits.training import INFORMATION_FILE, SETTINGS_FILE, read_history

_MAX_FOLDERS = 256
_REMEDY = "name the folder of a run, of a Monitor, or a folder of such folders"


def run_folders(directories: Sequence[Path]) -> list[Path]:
    """Return the folders of runs: each directory, or the runs in its subfolders if it is no run itself.

    Of a sweep, only the runs that have finished are returned.

    Raises
    ------
    UsageError
        A directory is missing or contains no run, no run of a sweep has finished, a file of a run is a link or no file,
        or there are too many runs.
    """
    if not directories:
        raise UsageError(f"DIR: got none; {_REMEDY}")
    folders: dict[Path, Path] = {}
    for directory in directories:
        for folder in _runs_in(directory):
            folders.setdefault(folder.resolve(), folder)
    if len(folders) > _MAX_FOLDERS:
        raise UsageError(f"DIR: got {len(folders)} runs, wanted at most {_MAX_FOLDERS}; name fewer folders")
    for folder in folders.values():
        for name in (RUN_RECORD, INFORMATION_FILE, SETTINGS_FILE):
            kind = special_kind(folder / name)
            if kind:
                raise UsageError(f"{folder / name}: got {kind}, wanted a file; copy the content into a file")
    return list(folders.values())


def special_kind(path: Path) -> str:
    """Return the kind of a path that is no file: a link, a FIFO, a device, a socket or a folder; else an empty text.

    A read of a FIFO would not return, and a link may lead to a file outside the folder.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return ""
    if stat.S_ISREG(mode):
        return ""
    kinds = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def list_files(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a run and of its variants, the files of the run first, without drafts and special files."""
    return [path for path in _candidates(folder, suffix) if not special_kind(path)]


def left_out_files(folder: Path, suffix: str) -> list[str]:
    """Return a note on each link, FIFO or device that stands in place of a file of a run."""
    kinds = {path: special_kind(path) for path in _candidates(folder, suffix)}
    return [f"{path}: {kind} in place of a file, left out" for path, kind in kinds.items() if kind]


def _runs_in(directory: Path) -> list[Path]:
    try:
        if not directory.is_dir():
            problem = "not a folder" if os.path.lexists(directory) else "no such folder"
            raise UsageError(f"{directory}: {problem}; {_REMEDY}")
        if _is_run(directory):
            return [directory]
        runs = [folder for folder in directory.iterdir() if folder.is_dir() and _is_run(folder)]
    except OSError as error:
        raise UsageError(f"{error.filename or directory}: cannot be read ({error.strerror}); {_REMEDY}") from error
    if not runs and (directory / SETTINGS_FILE).exists():
        read_history(directory)  # names what the folder of a Monitor lacks
    if not runs:
        raise UsageError(
            f"{directory}: no {RUN_RECORD} and no {INFORMATION_FILE} in it or in its subfolders, so nothing to report "
            f"on; {_REMEDY}"
        )
    runs.sort(key=_with_numbers)
    if not os.path.lexists(directory / SWEEP_RECORD):
        return runs
    finished = [run for run in runs if is_finished(run)]
    if not finished:
        raise UsageError(f"{directory}: no run of the sweep has finished; wait for one, or name the folder of a run")
    return finished


def _with_numbers(path: Path) -> tuple[list[str | float], str]:
    """Return a key that sorts seed=2 before seed=10, and sigma=.05 before sigma=.2."""
    parts = re.split(r"((?<==)[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?=,|$)|\d+)", path.name)
    return [float(part) if index % 2 else part for index, part in enumerate(parts)], path.name


def _is_run(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in (RUN_RECORD, INFORMATION_FILE))


def _candidates(folder: Path, suffix: str) -> list[Path]:
    paths = folder.rglob(f"*.{suffix}")  # rglob follows no link to a folder
    files = [path for path in paths if not path.name.startswith(DRAFT_PREFIX)]
    return sorted(files, key=lambda path: (len(path.parts), path))
