"""Short runs of the experiments."""

import dataclasses
import functools

import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine

from layerbits.experiments import EXPERIMENTS, RunFolder
from layerbits.experiments.framework import run_folder


@pytest.fixture(scope="session", autouse=True)
def few_pixels():
    """Save figures with few pixels, which take a quarter of the time of a figure of the usual size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "_FIGURE_DPI", 30)
        yield


@pytest.fixture(autouse=True)
def _no_layout(monkeypatch):
    """Do not arrange the panels of figures, which takes half the time; fixtures of a module make arranged figures."""
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory):
    """Return a function that runs an experiment with changes of its quick settings, once for each change."""

    @functools.cache
    def run(name, **settings):
        experiment = EXPERIMENTS[name]
        config = dataclasses.replace(experiment.quick_config(), **settings)
        folder = RunFolder(tmp_path_factory.mktemp(name), experiment=name, config=config, resume=False)
        with folder.running():
            experiment.run(config, folder)
        return folder.path

    return run
