"""Training with measurements: session, loop, checkpoints, curves, monitor, files of the history, regularizers."""

from layerbits.training.checkpoints import Checkpoints, load_checkpoint
from layerbits.training.curves import TrainingCurves
from layerbits.training.epochs import log_spaced, nearest_epochs
from layerbits.training.history import (
    ENVIRONMENTS,
    INFORMATION_FILE,
    ROWS,
    SETTINGS_FILE,
    WEIGHTS,
    read_history,
    read_information,
    read_training,
)
from layerbits.training.loop import Batches, single_threaded, train
from layerbits.training.measures import MEASURES_FILE, read_measures
from layerbits.training.monitor import Monitor, checked_monitor_options
from layerbits.training.monitor_record import MEASURE_ROWS
from layerbits.training.regularizers import ParsevalRegularizer
from layerbits.training.session import TrainingSession, generator_seed

__all__ = [
    "ENVIRONMENTS",
    "INFORMATION_FILE",
    "MEASURES_FILE",
    "MEASURE_ROWS",
    "ROWS",
    "SETTINGS_FILE",
    "WEIGHTS",
    "Batches",
    "Checkpoints",
    "Monitor",
    "ParsevalRegularizer",
    "TrainingCurves",
    "TrainingSession",
    "checked_monitor_options",
    "generator_seed",
    "load_checkpoint",
    "log_spaced",
    "nearest_epochs",
    "read_history",
    "read_information",
    "read_measures",
    "read_training",
    "single_threaded",
    "train",
]
