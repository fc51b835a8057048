"""Trainings of Lightning and transformers that resume from a checkpoint replace the results of later epochs."""

import pytest
import torch
from torch.utils.data import DataLoader

import layerbits as lb
from tests.integrations.test_trainers import (
    DATA,
    OPTIONS,
    lightning_classifier,
    lightning_trainer,
    transformers_trainer,
)
from tests.support.networks import INPUTS
from tests.support.vision import import_torchvision


@pytest.fixture(scope="module", autouse=True)
def _torchvision():
    """Import torchvision before torchmetrics does, which Lightning imports; tests import the trainers."""
    import_torchvision()


@pytest.mark.filterwarnings("ignore")
def test_lightning_training_from_a_checkpoint_replaces_the_later_epochs(tmp_path):
    def fit(epochs, **options):
        folder = tmp_path / "mine"
        callback = lb.integrations.lightning.InformationCallback(INPUTS, directory=folder, **(OPTIONS | {"at": [1, 2]}))
        trainer = lightning_trainer(tmp_path, callback, max_epochs=epochs)
        trainer.fit(lightning_classifier(), DataLoader(DATA, batch_size=10, shuffle=True), **options)
        return trainer, callback.history

    torch.manual_seed(0)
    trainer, first = fit(1)
    trainer.save_checkpoint(tmp_path / "epoch1.ckpt")
    fit(2, ckpt_path=tmp_path / "epoch1.ckpt")
    torch.manual_seed(1)  # another order of the inputs, so epoch 2 ends with other weights
    _, last = fit(2, ckpt_path=tmp_path / "epoch1.ckpt")
    assert last.epochs == (1, 2)
    assert last[1] == first[1]
    assert lb.read_history(tmp_path / "mine") == last


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("saves", [{"save_strategy": "epoch"}, {"save_strategy": "steps", "save_steps": 1}])
def test_transformers_training_from_a_checkpoint_replaces_the_later_epochs(tmp_path, saves):
    def train(resume_from_checkpoint=None, **options):
        trainer = transformers_trainer(tmp_path, num_train_epochs=3, **saves, **options)
        callback = lb.integrations.transformers.InformationCallback(
            INPUTS, directory=tmp_path / "mine", measures=["binned_entropy"], **(OPTIONS | {"at": [1, 2, 3]})
        )
        trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=resume_from_checkpoint)
        return callback.history

    def values(table):
        return [(row.value, row.lower, row.upper) for row in table]

    first = train()
    last = train(tmp_path / "trainer/checkpoint-2", data_seed=7)  # an epoch has two steps
    assert last.epochs == (1, 2, 3)
    assert values(last[1]) == values(first[1])
    assert values(last[2]) != values(first[2])
    assert lb.read_history(tmp_path / "mine") == last
