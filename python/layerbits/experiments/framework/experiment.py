"""The base class of the experiments."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic

from layerbits._base import UsageError, shown
from layerbits.experiments.framework.configuration import ConfigT, require_needed, with_settings
from layerbits.experiments.framework.run_folder import RunFolder

# Seconds to import the libraries and to plot the figures, on two Zen 4 cores.
START_SECONDS = 6.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Experiment(abc.ABC, Generic[ConfigT]):
    """An experiment that `layerbits run` can run.

    A run has three phases: `train`, `measure` and `plot`. A phase reads the files of the earlier phases from the run's
    folder. `train` and `measure` continue from their own files where the work is long, so that a run can be resumed.

    Attributes
    ----------
    name : str
        Name on the command line.
    description : str
        One sentence for `layerbits list`.
    config_type : type
        Frozen dataclass of the settings; the defaults are those of a full run.
    quick : mapping of str to value
        Settings of a quick run, which takes at most 90 seconds on two cores.
    presets : mapping of str to mapping, optional
        Settings of runs between a quick and a full one, by name.
    """

    name: str
    description: str
    config_type: type[ConfigT]
    quick: Mapping[str, Any]
    presets: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def quick_config(self) -> ConfigT:
        """Return the configuration of a quick run."""
        return self._config(self.quick)

    def configuration(self, texts: Mapping[str, str], *, quick: bool = False, preset: str | None = None) -> ConfigT:
        """Return the configuration of a run, full, quick or of a preset, with the settings in `texts` replaced.

        Raises
        ------
        UsageError
            A name is not a setting or a preset, a value is invalid, or a setting that a run needs is missing.
        """
        if preset is not None and preset not in self.presets:
            wanted = f"wanted one of {', '.join(self.presets)}" if self.presets else f"but {self.name} has no presets"
            raise UsageError(f"preset: got {shown(preset)}, {wanted}")
        settings = self.quick if quick else {} if preset is None else self.presets[preset]
        config = with_settings(self._config(settings), texts)
        require_needed(config)
        return config

    def _config(self, settings: Mapping[str, Any]) -> ConfigT:
        return dataclasses.replace(self.config_type(), **settings)

    @abc.abstractmethod
    def expected_seconds(self, config: ConfigT) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""

    def run(self, config: ConfigT, folder: RunFolder) -> None:
        """Train, measure and plot; continue from the files in `folder`."""
        with folder.phase("training"):
            self.train(config, folder)
        with folder.phase("measurements"):
            self.measure(config, folder)
        with folder.phase("figures"):
            self.plot(config, folder.path)

    def train(self, config: ConfigT, folder: RunFolder) -> None:
        """Train the networks and write their curves and checkpoints; do nothing by default."""

    @abc.abstractmethod
    def measure(self, config: ConfigT, folder: RunFolder) -> None:
        """Write the other tables and fill in `folder.summary`."""

    @abc.abstractmethod
    def plot(self, config: ConfigT, path: Path) -> None:
        """Save all figures in the folder `path`, from its tables alone; the tables may be missing or incomplete."""
