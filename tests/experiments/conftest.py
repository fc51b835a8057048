"""Short runs of the experiments."""

import dataclasses
import functools

import pytest

from layerbits.experiments import EXPERIMENTS, RunFolder


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
