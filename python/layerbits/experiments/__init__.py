"""The experiments of the command line (`registry`), their framework, and sweeps over their settings.

"The paper" is Goldfeld et al., Estimating Information Flow in Deep Neural Networks (ICML 2019).
"""

from layerbits.experiments.framework.configuration import (
    Configuration,
    require_needed,
    require_usable_device,
    with_settings,
)
from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.framework.machine_speed import slowdown
from layerbits.experiments.framework.run_folder import RunFolder, settings_as_json, versions
from layerbits.experiments.framework.settings_table import Setting, settings_table
from layerbits.experiments.registry import EXPERIMENTS, experiment_named
from layerbits.experiments.sweeps import (
    SWEEP_RECORD,
    Sweep,
    SweepCell,
    cells_of,
    dask_executor,
    is_finished,
    local_executor,
    parse_grid,
    slurm_executor,
    sweep,
)

__all__ = [
    "EXPERIMENTS",
    "SWEEP_RECORD",
    "Configuration",
    "Experiment",
    "RunFolder",
    "Setting",
    "Sweep",
    "SweepCell",
    "cells_of",
    "dask_executor",
    "experiment_named",
    "is_finished",
    "local_executor",
    "parse_grid",
    "require_needed",
    "require_usable_device",
    "settings_as_json",
    "settings_table",
    "slowdown",
    "slurm_executor",
    "sweep",
    "versions",
    "with_settings",
]
