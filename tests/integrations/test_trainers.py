"""Callbacks in the real trainers of Lightning and transformers, with a tiny network."""

import csv
import functools
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import layerbits as lb
from tests.support.networks import INPUTS, LABELS
from tests.support.vision import import_torchvision

OPTIONS = {"at": [1, 3], "sigma": 0.5, "settings": lb.MeasurementSettings(queries=4)}
DATA = TensorDataset(INPUTS, LABELS)


@pytest.fixture(scope="module", autouse=True)
def _torchvision():
    """Import torchvision before torchmetrics does, which Lightning imports; tests import the trainers."""
    import_torchvision()


def lightning_classifier():
    from lightning import pytorch as pl

    class Classifier(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).to(INPUTS.dtype)

        def forward(self, x):
            return self.layers(x)

        def training_step(self, batch, index):
            inputs, labels = batch
            return nn.functional.cross_entropy(self(inputs), labels)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Classifier()


class WithLoss(nn.Module):
    """A network as transformers' Trainer takes it."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).to(INPUTS.dtype)

    def forward(self, x, labels=None):
        logits = self.layers(x)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"logits": logits} if loss is None else {"loss": loss, "logits": logits}


def lightning_trainer(tmp_path, callbacks, max_epochs=3, **options):
    from lightning import pytorch as pl
    from lightning.pytorch.loggers import CSVLogger

    return pl.Trainer(
        max_epochs=max_epochs, callbacks=callbacks, logger=CSVLogger(tmp_path), enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", log_every_n_steps=1, **options,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_lightning_training_is_measured_and_logged(tmp_path):
    callback = lb.integrations.lightning.InformationCallback(INPUTS, LABELS, directory=tmp_path / "mine", **OPTIONS)
    model = lightning_classifier()
    trainer = lightning_trainer(tmp_path, callback)
    trainer.fit(model, DataLoader(DATA, batch_size=10))
    assert callback.history.epochs == (1, 3)
    assert lb.read_history(tmp_path / "mine") == callback.history
    table = lb.layer_information(model, INPUTS, LABELS, sigma=0.5, queries=4)
    assert [row.value for row in callback.history[3]] == [row.value for row in table]
    logged = {name: float(value) for name, value in trainer.logged_metrics.items()}
    assert logged == pytest.approx(table.scalars(), rel=1e-6)  # logged in float32


def fit(library, folder, at):
    """Train for two epochs and return the callback and the trainer."""
    options = {"directory": folder / "mine", **(OPTIONS | {"at": at})}
    if library == "lightning":
        callback = lb.integrations.lightning.InformationCallback(INPUTS, LABELS, **options)
        trainer = lightning_trainer(folder, callback, max_epochs=2)
        trainer.fit(lightning_classifier(), DataLoader(DATA, batch_size=10))
        return callback, trainer
    trainer = transformers_trainer(folder, num_train_epochs=2)
    callback = lb.integrations.transformers.InformationCallback(INPUTS, LABELS, log=trainer.log, **options)
    trainer.add_callback(callback)
    trainer.train()
    return callback, trainer


def logged_information(library, trainer):
    """Return the step and I(X;T) of each entry of a logger with information."""
    name = "information/layers.1/I_XT"
    entries = trainer.state.log_history if library == "transformers" else []
    if library == "lightning":
        with Path(trainer.logger.log_dir, "metrics.csv").open() as file:
            entries = list(csv.DictReader(file))
    return [(int(entry["step"]), float(entry[name])) for entry in entries if entry.get(name)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_network_before_the_training_is_epoch_0(tmp_path, library):
    callback, trainer = fit(library, tmp_path, [0, 1])
    assert callback.history.epochs == (0, 1)
    values = [callback.history[epoch]["layers.1", "I(X;T)"].value for epoch in (0, 1)]
    assert values[0] != values[1]
    steps, logged = zip(*logged_information(library, trainer), strict=True)
    assert steps == ((0, 1) if library == "lightning" else (0, 2))
    assert logged == pytest.approx(values, rel=1e-6)  # logged in float32


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_chosen_epochs_that_a_training_does_not_complete_are_named_once(tmp_path, library):
    with pytest.warns(RuntimeWarning, match=r"^at: .* did not complete are not measured: 5, 6;") as caught:
        callback, _ = fit(library, tmp_path, [1, 5, 6])
    assert len([warning for warning in caught if str(warning.message).startswith("at:")]) == 1
    assert callback.history.epochs == (1,)
    assert callback.left_out == ()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{"max_epochs": 0}, {"max_steps": 0}])
def test_lightning_training_without_steps_names_the_chosen_epochs(tmp_path, options):
    callback = lb.integrations.lightning.InformationCallback(INPUTS, directory=tmp_path / "mine", **OPTIONS)
    with pytest.warns(RuntimeWarning, match=r"^at: .* did not complete are not measured: 1, 3;"):
        lightning_trainer(tmp_path, callback, **options).fit(lightning_classifier(), DataLoader(DATA, batch_size=10))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_epochs_before_a_training_resumed_have_their_own_warning(tmp_path, library):
    callback = getattr(lb.integrations, library).InformationCallback(
        INPUTS, directory=tmp_path / "mine", **(OPTIONS | {"at": [0, 1, 2, 5]})
    )
    if library == "lightning":
        first = lightning_trainer(tmp_path, [], max_epochs=1)
        first.fit(lightning_classifier(), DataLoader(DATA, batch_size=10))
        first.save_checkpoint(tmp_path / "first.ckpt")
        trainer = lightning_trainer(tmp_path, callback, max_epochs=2)
        arguments = (lightning_classifier(), DataLoader(DATA, batch_size=10))
        resume = functools.partial(trainer.fit, *arguments, ckpt_path=tmp_path / "first.ckpt")
        missed = "0, 1"
    else:
        transformers_trainer(tmp_path, num_train_epochs=1, save_strategy="epoch").train()
        trainer = transformers_trainer(tmp_path, num_train_epochs=2)
        trainer.add_callback(callback)
        resume = functools.partial(trainer.train, tmp_path / "trainer/checkpoint-2")
        missed = "0"
    with pytest.warns(RuntimeWarning) as caught:
        resume()
    assert [text for warning in caught if (text := str(warning.message)).startswith("at:")] == [
        f"at: epochs before the training resumed are not measured: {missed}; measure their checkpoints",
        "at: epochs that the training did not complete are not measured: 5; train for longer, or choose others",
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("options", "epochs"), [({"max_steps": 3}, (1,)), ({"max_steps": 3, "limit_train_batches": 1}, (1, 2, 3))]
)
def test_lightning_training_that_ends_within_an_epoch_measures_whole_epochs_alone(tmp_path, options, epochs):
    at = {"at": [1, 2, 3]}
    callback = lb.integrations.lightning.InformationCallback(INPUTS, directory=tmp_path / "mine", **(OPTIONS | at))
    trainer = lightning_trainer(tmp_path, callback, **options)
    trainer.fit(lightning_classifier(), DataLoader(DATA, batch_size=10))  # an epoch has two steps
    assert callback.history.epochs == epochs


@pytest.mark.filterwarnings("ignore", "error:at")
def test_fast_dev_run_of_lightning_leaves_the_folder_to_the_training(tmp_path):
    options = OPTIONS | {"at": [0, 1, 3], "directory": tmp_path / "mine"}
    callback = lb.integrations.lightning.InformationCallback(INPUTS, LABELS, **options)
    loader = DataLoader(DATA, batch_size=10)

    lightning_trainer(tmp_path, callback, fast_dev_run=True).fit(lightning_classifier(), loader)
    assert not (tmp_path / "mine").exists()
    lightning_trainer(tmp_path, callback).fit(lightning_classifier(), loader)
    history = callback.history
    assert history.epochs == (0, 1, 3)
    lightning_trainer(tmp_path, callback, fast_dev_run=True).fit(lightning_classifier(), loader)
    assert lb.read_history(tmp_path / "mine") == callback.history == history


@pytest.mark.parametrize("library", ["lightning", "transformers"])
@pytest.mark.parametrize(
    ("mistake", "error", "message"),
    [
        ({"sigm": 0.3}, TypeError, r"got an unexpected keyword argument 'sigm'"),
        ({"directory": 3}, TypeError, r"directory: got int, wanted the path of a folder"),
        ({"at": []}, ValueError, r"at: got no epoch"),
        ({"settings": {}}, TypeError, r"settings: got dict"),
        ({"log": "wandb"}, TypeError, r"log: got str, wanted a function"),
        ({"seed": 0}, TypeError, r"seed: got a parameter of version 0\.1"),
    ],
)
def test_mistakes_that_need_no_network_are_refused_before_the_training(library, mistake, error, message):
    make = getattr(lb.integrations, library).InformationCallback
    with pytest.raises(error, match=f"^{message}"):
        make(INPUTS, **(OPTIONS | {"directory": "unused"} | mistake))


@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_missing_folder_is_named_before_the_training(library):
    with pytest.raises(TypeError, match=r"^missing a required .*'directory'"):
        getattr(lb.integrations, library).InformationCallback(INPUTS, **OPTIONS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_epochs_of_a_generator_are_measured(tmp_path, library):
    callback, _ = fit(library, tmp_path, (epoch for epoch in (1, 2)))
    assert callback.history.epochs == (1, 2)


@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_results_before_a_training_are_refused(tmp_path, library):
    callback = getattr(lb.integrations, library).InformationCallback(INPUTS, directory=tmp_path, **OPTIONS)
    with pytest.raises(lb.UsageError, match=r"^history: the training has not started"):
        _ = callback.history
    with pytest.raises(lb.UsageError, match=r"^left_out: the training has not started"):
        _ = callback.left_out


@pytest.mark.filterwarnings("ignore")
def test_lightning_training_on_several_processes_is_refused(tmp_path):
    callback = lb.integrations.lightning.InformationCallback(INPUTS, directory=tmp_path, **OPTIONS)
    trainer = lightning_trainer(tmp_path, callback)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(trainer), "world_size", 2)
        with pytest.raises(lb.UsageError, match=r"^trainer: got 2 processes, wanted one"):
            callback.on_fit_start(trainer, lightning_classifier())


def transformers_trainer(tmp_path, **options):
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(tmp_path / "trainer"), per_device_train_batch_size=10, use_cpu=True, report_to=[],
        disable_tqdm=True, **({"save_strategy": "no"} | options),
    )  # fmt: skip
    data = [{"x": x, "labels": label} for x, label in DATA]
    return Trainer(model_init=WithLoss, args=arguments, train_dataset=data)


@pytest.mark.filterwarnings("ignore")
def test_transformers_training_is_measured_and_logged(tmp_path):
    trainer = transformers_trainer(tmp_path, num_train_epochs=3)
    callback = lb.integrations.transformers.InformationCallback(
        INPUTS, LABELS, directory=tmp_path / "mine", log=trainer.log, **OPTIONS
    )
    trainer.add_callback(callback)
    trainer.train()
    assert callback.history.epochs == (1, 3)
    table = lb.layer_information(trainer.model, INPUTS, LABELS, sigma=0.5, queries=4)
    assert [row.value for row in callback.history[3]] == [row.value for row in table]
    logged = [entry for entry in trainer.state.log_history if "information/epoch" in entry]
    assert [entry["information/epoch"] for entry in logged] == [1, 3]
    assert {name: logged[-1][name] for name in table.scalars()} == table.scalars()


@pytest.mark.filterwarnings("ignore")
def test_transformers_training_that_ends_within_an_epoch_measures_whole_epochs_alone(tmp_path):
    trainer = transformers_trainer(tmp_path, max_steps=5)  # an epoch has two steps
    callback = lb.integrations.transformers.InformationCallback(
        INPUTS, directory=tmp_path / "mine", **(OPTIONS | {"at": [1, 2, 3]})
    )
    trainer.add_callback(callback)
    trainer.train()
    assert callback.history.epochs == (1, 2)
