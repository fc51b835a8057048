"""Sweeps: an experiment over a grid of settings, each cell in a process and a run folder of its own.

`grid` makes the cells, `cell_runs` runs one in a process of its own, `runner` submits them to an executor and keeps the
tables, and `executors` has executors for this machine, Dask and Slurm.
"""

from layerbits.experiments.sweeps.cell_runs import is_finished
from layerbits.experiments.sweeps.executors import dask_executor, local_executor, slurm_executor
from layerbits.experiments.sweeps.grid import cells_of, parse_grid
from layerbits.experiments.sweeps.runner import SWEEP_RECORD, Sweep, SweepCell, sweep

__all__ = [
    "SWEEP_RECORD",
    "Sweep",
    "SweepCell",
    "cells_of",
    "dask_executor",
    "is_finished",
    "local_executor",
    "parse_grid",
    "slurm_executor",
    "sweep",
]
