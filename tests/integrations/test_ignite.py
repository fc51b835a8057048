"""The recipe for PyTorch Ignite in docs/in-training.md runs as it stands."""

import re
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import layerbits as lb
from tests.support.networks import INPUTS, LABELS, tanh_mlp

DOCUMENT = Path(__file__).parents[2] / "docs" / "in-training.md"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # raised by the import of ignite
def test_recipe_measures_the_epochs_of_a_trainer(tmp_path, monkeypatch):
    (recipe,) = re.findall(r"```py\n(from ignite.*?)```", DOCUMENT.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    model = tanh_mlp(4, 3, 3, dtype=INPUTS.dtype)
    names = {
        "lb": lb, "torch": torch, "model": model, "inputs": INPUTS, "labels": LABELS,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "loader": DataLoader(TensorDataset(INPUTS, LABELS), batch_size=10),
    }  # fmt: skip
    exec(recipe, names)
    history = lb.read_history("runs/ignite")
    assert history.epochs == (1, 2)
    table = lb.layer_information(model, INPUTS, LABELS, sigma=1.0)
    assert [row.value for row in history[2]] == [row.value for row in table]
