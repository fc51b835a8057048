"""Fixtures that shorten the probe and the figures of a run; a conftest.py imports them for the tests of its folder."""

import functools

import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine

from layerbits.cli import run_command
from layerbits.experiments.framework import run_folder


@pytest.fixture(scope="session", autouse=True)
def one_probe():
    """Measure the speed of the machine once, not in every command that runs an experiment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_command, "slowdown", functools.cache(run_command.slowdown))
        yield


@pytest.fixture(scope="session", autouse=True)
def few_pixels():
    """Save figures with few pixels, which take a quarter of the time of a figure of the usual size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "_FIGURE_DPI", 30)
        yield


@pytest.fixture(autouse=True)
def no_layout(monkeypatch):
    """Do not arrange the panels of figures, which takes half the time; fixtures of a module make arranged figures."""
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)
