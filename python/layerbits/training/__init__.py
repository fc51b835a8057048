"""Training with measurements: monitor, loop, curves, regularizers and checkpoints."""

from layerbits.training.checkpoints import Checkpoints, load_checkpoint
from layerbits.training.evaluation import TrainingCurves, read_training
from layerbits.training.loop import single_threaded, train
from layerbits.training.monitor import Monitor, log_spaced, read_information
from layerbits.training.regularizers import ParsevalRegularizer

__all__ = [
    "Checkpoints",
    "Monitor",
    "ParsevalRegularizer",
    "TrainingCurves",
    "load_checkpoint",
    "log_spaced",
    "read_information",
    "read_training",
    "single_threaded",
    "train",
]
