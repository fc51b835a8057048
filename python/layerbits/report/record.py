"""Read and check run.json, the record of a run, or read information.json, the settings of a `Monitor`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerbits._base import RUN_RECORD, UsageError, counted, read_json
from layerbits.experiments import EXPERIMENTS, Experiment, settings_as_json, with_settings
from layerbits.report.information_figure import plot_information
from layerbits.training import ENVIRONMENTS, MEASURE_ROWS, ROWS, SETTINGS_FILE, WEIGHTS

_MONITOR = "Information of the layers of a network at the epochs of its training."

_FIELDS = {
    "experiment": str, "status": str, "configuration": dict, "versions": dict, "machine": dict, "timings": dict,
    "summary": dict,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The content of run.json, and its experiment and configuration as objects.

    For the folder of a `Monitor`, the experiment is None and the content has the fields of a run.json.
    """

    content: Mapping[str, Any]
    experiment: Experiment[Any] | None
    config: Any

    @property
    def description(self) -> str:
        """Description of the tables in the folder."""
        return _MONITOR if self.experiment is None else self.experiment.description

    @property
    def defaults(self) -> dict[str, Any]:
        """Default settings of the experiment, empty without an experiment."""
        return {} if self.experiment is None else settings_as_json(self.experiment.config_type())

    def plot(self, folder: Path) -> None:
        """Plot the figures from the tables in a folder."""
        if self.experiment is None:
            plot_information(folder)
        else:
            self.experiment.plot(self.config, folder)


def read_record(folder: Path) -> RunRecord:
    """Read run.json, or the settings in the folder of a `Monitor`, which has an information.csv and no run.json.

    Raises
    ------
    UsageError
        A file or a field is missing or damaged, or this version has no such experiment or other settings.
    """
    path = folder / RUN_RECORD
    try:
        content = read_json(path)
    except FileNotFoundError:
        return RunRecord(_monitor_record(folder), None, None)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    for name, kind in _FIELDS.items():
        if not isinstance(content.get(name), kind):
            raise UsageError(f"{path}: {name}: got {content.get(name)!r}, wanted the entry that `layerbits run` writes")
    if content["experiment"] not in EXPERIMENTS:
        raise UsageError(f"{path}: experiment: got {content['experiment']!r}, wanted one of {', '.join(EXPERIMENTS)}")
    experiment = EXPERIMENTS[content["experiment"]]
    return RunRecord(content, experiment, _configuration(path, experiment, content))


def _monitor_record(folder: Path) -> dict[str, Any]:
    """Return the fields of a run.json for the folder of a `Monitor`; raise UsageError if its settings are damaged."""
    path = folder / SETTINGS_FILE
    settings = read_json(path) if path.exists() else {}
    weights = settings.pop(WEIGHTS, {})
    for name in (ENVIRONMENTS, ROWS, MEASURE_ROWS):  # lists of epochs, no settings
        settings.pop(name, None)
    if not isinstance(weights, dict):
        raise UsageError(f"{path}: {WEIGHTS}: got {type(weights).__name__}, wanted hashes by epoch; use another folder")
    n_epochs = counted(len(weights), "epoch")
    measured = f"{n_epochs} measured" if weights else "measured by another program, or an earlier version"
    empty: dict[str, Any] = {"versions": {}, "machine": {}, "timings": {}, "summary": {}}
    return {"experiment": "Information of layers", "status": measured, "configuration": settings} | empty


def _configuration(path: Path, experiment: Experiment[Any], content: Mapping[str, Any]) -> Any:
    """Return the configuration of the run; raise UsageError if this version has other settings."""
    settings: dict[str, Any] = content["configuration"]
    texts = {name: as_text(value) for name, value in settings.items()}
    try:
        config = with_settings(experiment.config_type(), texts)
        for name, value in settings_as_json(config).items():
            if name not in settings:
                raise UsageError(f"{name}: missing")
            if value != settings[name]:
                raise UsageError(f"{name}: got {settings[name]!r}")
    except UsageError as error:
        version = content["versions"].get("layerbits", "unknown")
        raise UsageError(
            f"{path}: not the settings of {experiment.name} in this version ({error}); "
            f"use the version of the run, {version}"
        ) from error
    return config


def as_text(value: object) -> str:
    """Return a value of run.json as `with_settings` reads it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
