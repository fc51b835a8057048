"""Short runs of the experiments."""

import dataclasses
import functools

import pytest

from layerbits.experiments import EXPERIMENTS, RunFolder
from tests.support.short_runs import few_pixels, no_layout, one_probe  # noqa: F401


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
