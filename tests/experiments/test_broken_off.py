"""Every experiment can be reported on while it is under way."""

import dataclasses
import itertools

import pytest

from layerbits._base import files as records
from layerbits.experiments import EXPERIMENTS, RunFolder
from layerbits.experiments.framework import tables
from layerbits.report import write_report


@pytest.mark.parametrize("writes", [1, 5])
@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "mnist-cnn"])  # which needs files
def test_run_broken_off_is_drawn_as_far_as_its_tables_go(name, writes, tmp_path, monkeypatch):
    def replace_and_count(draft, path):
        replace(draft, path)
        if path.suffix == ".csv" and next(written) == writes:
            raise KeyboardInterrupt

    written, replace = itertools.count(1), records.os.replace
    experiment = EXPERIMENTS[name]
    config = dataclasses.replace(experiment.Config(), **experiment.QUICK)
    folder = RunFolder(tmp_path, experiment=name, config=config, resume=False)
    monkeypatch.setattr(records.os, "replace", replace_and_count)
    monkeypatch.setattr(tables, "_SECONDS_BETWEEN_SAVES", 0.0)
    with pytest.raises(KeyboardInterrupt), folder.running():
        experiment.run(config, folder)
    monkeypatch.undo()
    assert write_report(tmp_path).notes == ()
    assert writes == 1 or list(tmp_path.glob("*.png"))
