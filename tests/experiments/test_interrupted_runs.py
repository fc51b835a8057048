"""An experiment can be interrupted, reported on, resumed and interrupted again."""

import dataclasses
import os

import pytest

from layerbits.experiments import EXPERIMENTS, RunFolder
from layerbits.experiments.framework import tables
from layerbits.report import write_report

# Smaller networks and samples than those of a quick run; the first five tables are those of its first measurements.
NETWORK = {"draws": 2, "queries": 2, "widths": (4, 3)}
SMALL = {
    "szt-tanh": NETWORK, "szt-tanh-orthonormal": NETWORK, "szt-linear": NETWORK, "szt-relu": NETWORK,
    "szt-binning": NETWORK, "digits-cnn": {"channels": (2,), "units": 4},
    "sliced-information": {"widths": (8, 6), "test_images": 40, "epochs": 2, "measurements": 2, "frames": 8},
    "estimator-comparison": {"dims": (2,), "samples": (10, 32), "repeats": 2, "tolerance": 0.05},
}  # fmt: skip


class InterruptingReplace:
    """An os.replace that raises KeyboardInterrupt after a number of written tables."""

    def __init__(self, writes):
        self.remaining = writes
        self.replace = os.replace

    def __call__(self, draft, path):
        self.replace(draft, path)
        self.remaining -= path.suffix == ".csv"
        if self.remaining == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "mnist-cnn"])  # mnist-cnn needs data files
def test_interrupted_run_is_plotted_from_its_tables(name, tmp_path, monkeypatch):
    experiment = EXPERIMENTS[name]
    config = dataclasses.replace(experiment.quick_config(), **SMALL.get(name, {}))
    for writes in (1, 4):
        folder = RunFolder(tmp_path, experiment=name, config=config, resume=writes > 1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", InterruptingReplace(writes))
            patch.setattr(tables, "_SECONDS_BETWEEN_SAVES", 0.0)
            with pytest.raises(KeyboardInterrupt), folder.running():
                experiment.run(config, folder)
        assert write_report(tmp_path).notes == ()
    assert list(tmp_path.glob("*.png"))
