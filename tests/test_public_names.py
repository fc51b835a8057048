"""Public names: every function and class has an example, the examples run, and no function hides a module."""

import doctest
import importlib
import inspect
import pkgutil
import sys

import pytest

import layerbits
from layerbits.experiments.sweeps import cell_runs
from tests.support.vision import import_torchvision

import_torchvision()  # torchmetrics, which Lightning imports, imports it

PACKAGES = ("baselines", "calibration", "data", "theory")
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (layerbits, *(importlib.import_module(f"layerbits.{package}") for package in PACKAGES))
    for name in getattr(module, "__all__", ())
}
PLOTS = ("curves", "distances", "information_plane", "intervals", "scatter", "sigma_profile")  # the rest are parts
PUBLIC |= {f"layerbits.plots.{name}": getattr(layerbits.plots, name) for name in PLOTS}
NAMES = sorted(name for name, value in PUBLIC.items() if inspect.isfunction(value) or inspect.isclass(value))


# Finishes the cell of an example at once; tests/experiments/test_sweep.py runs a cell.
CELL = """
import json, pathlib, sys
run = json.loads(sys.stdin.readline())
folder = pathlib.Path(run["folder"])
folder.mkdir()
record = {key: run[key] for key in ("experiment", "configuration")} | {"status": "finished", "summary": {}}
(folder / "run.json").write_text(json.dumps(record))
"""


def modules():
    names = [module.name for module in pkgutil.walk_packages(layerbits.__path__, "layerbits.")]
    return [name for name in names if not name.endswith("__main__")]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # from torch's forward mode
@pytest.mark.parametrize("name", NAMES)
def test_example_of_a_public_name_prints_the_text_in_its_docstring(name, monkeypatch):
    monkeypatch.setattr(cell_runs, "_COMMAND", (sys.executable, "-c", CELL))
    examples = doctest.DocTestFinder(recurse=False).find(PUBLIC[name], name, globs={})
    assert any(example.examples for example in examples), f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for example in examples:
        assert runner.run(example).failed == 0


def test_import_of_each_module_binds_a_module():
    """`import layerbits.a.b as x` binds the attribute b of layerbits.a, which a function of that name would replace."""
    hidden = []
    for name in modules():
        parent, _, leaf = name.rpartition(".")
        try:
            importlib.import_module(name)
        except layerbits.BackendError:  # the adapter of a back end that is not built
            continue
        if not inspect.ismodule(getattr(importlib.import_module(parent), leaf)):
            hidden.append(name)
    assert hidden == []
