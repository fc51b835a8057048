"""The argument `log` of a monitor: a function that gets the numbers of each epoch, and may fail."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from layerbits._base import InformationTable
from layerbits.training.measures import MeasureRow, measure_scalars


class MonitorLog:
    """Sends the numbers of an epoch to a function; the first exception of the function becomes a warning.

    Parameters
    ----------
    function : callable or None
        Gets a dictionary of floats; None for no log.

    Raises
    ------
    TypeError
        `function` is neither callable nor None.
    """

    def __init__(self, function: Callable[[dict[str, float]], object] | None) -> None:
        if function is not None and not callable(function):
            raise TypeError(f"log: got {type(function).__name__}, wanted a function of a dictionary, such as wandb.log")
        self._function = function
        self._has_failed = False

    def send(self, epoch: int, table: InformationTable, measures: Sequence[MeasureRow], path: Path) -> None:
        """Send the numbers of an epoch; a warning names the file `path` that has them too."""
        if self._function is None:
            return
        try:
            self._function({**table.scalars(), **measure_scalars(measures), "information/epoch": epoch})
        except Exception as error:  # a logger may raise any exception
            if not self._has_failed:
                reason = " ".join(str(error).split())
                warnings.warn(
                    f"log: got {type(error).__name__} ({reason}) at epoch {epoch}; the training goes on, and "
                    f"{path} has the numbers",
                    RuntimeWarning,
                    stacklevel=3,
                )
            self._has_failed = True
