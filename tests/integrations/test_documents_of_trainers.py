"""The code of docs/in-training.md and of the docstrings runs in the real trainers; missing libraries are named."""

import csv
import doctest
import importlib.util
import operator
import re
from pathlib import Path

import pytest
import torch

import layerbits as lb
from tests.integrations.test_trainers import DATA, OPTIONS, WithLoss, transformers_trainer
from tests.support.networks import INPUTS, LABELS
from tests.support.vision import import_torchvision

PAGE = Path(__file__).parents[2] / "docs" / "in-training.md"


@pytest.fixture(scope="module", autouse=True)
def _torchvision():
    """Import torchvision before torchmetrics does, which Lightning imports; tests import the trainers."""
    import_torchvision()


@pytest.mark.filterwarnings("ignore")
def test_loader_of_the_documents_has_the_numbers_of_the_samples_of_a_trainer(tmp_path):
    import transformers

    (loader,) = re.findall(r"`(torch\.utils\.data\.DataLoader\(data.*?\))`", PAGE.read_text())
    data = [{"x": x.tolist(), "label": int(label)} for x, label in DATA]
    inputs = eval(loader, {"torch": torch, "transformers": transformers, "data": data})
    trainer = transformers_trainer(tmp_path, num_train_epochs=1)
    callback = lb.integrations.transformers.InformationCallback(
        inputs, "labels", directory=tmp_path / "mine", **(OPTIONS | {"at": [1]})
    )
    trainer.add_callback(callback)
    trainer.train()
    table = lb.layer_information(trainer.model, INPUTS, LABELS, sigma=0.5, queries=4)
    assert callback.history[1].scalars() == pytest.approx(table.scalars(), rel=1e-6)  # the loader has float32


@pytest.mark.filterwarnings("ignore")
def test_loggers_of_lightning_get_the_numbers_of_a_monitor_as_the_documents_say(tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    (log,) = re.findall(r"^\| Lightning \| `(.*)` \|$", PAGE.read_text(), re.MULTILINE)
    logger = CSVLogger(tmp_path / "logs", flush_logs_every_n_steps=1)
    options = OPTIONS | {"directory": tmp_path / "mine", "log": eval(log, {"logger": logger})}
    monitor = lb.Monitor(WithLoss(), INPUTS, **options)
    for epoch in range(4):
        monitor.step(epoch)
    with Path(logger.log_dir, "metrics.csv").open() as file:
        logged = [(int(row["step"]), float(row["information/layers.1/I_XT"])) for row in csv.DictReader(file)]
    assert logged == [(epoch, monitor.tables[epoch]["layers.1", "I(X;T)"].value) for epoch in (1, 3)]


@pytest.mark.parametrize("name", ["accelerate", "lightning", "transformers"])
def test_missing_library_is_named_with_its_extra(monkeypatch, name):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(vars(lb.integrations), name, raising=False)
    with pytest.raises(lb.UsageError, match=rf"^{name}: not installed.* pip install 'layerbits\[{name}\]'"):
        getattr(lb.integrations, name)


def test_unknown_integration_is_an_unknown_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'keras'"):
        _ = lb.integrations.keras


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_training_of_the_documents_runs_as_it_stands(library, tmp_path, monkeypatch):
    (block,) = re.findall(rf"```python\n((?:import \w+\n)*import {library}\n.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {}
    with torch.random.fork_rng(devices=[]):
        exec(compile(block, "in-training.md", "exec"), names)
    assert len(names["callback"].history) >= 3
    assert len(list(tmp_path.glob("*.png"))) == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["lightning.InformationCallback", "transformers.InformationCallback", "accelerate.InformationTracker"]
)
def test_example_of_a_callback_prints_the_text_in_its_docstring(name):
    (example,) = doctest.DocTestFinder(recurse=False).find(operator.attrgetter(name)(lb.integrations), name, globs={})
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed == 0
