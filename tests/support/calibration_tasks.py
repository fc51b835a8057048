"""Parametrization of a test by calibration tasks."""

import pytest


def by_name(tasks):
    """Run a test with the argument `task` for each task, under its name."""
    return pytest.mark.parametrize("task", tasks, ids=[task.name for task in tasks])
